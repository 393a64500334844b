"""The header scanner sees what Python's tarfile writes, in every format and every chunking, and refuses what is dangerous."""

import io
import tarfile

import pytest

from kogia.runtime.images.tarscan import BadLayer, TarScanner, clean


def tar(members, fmt=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, kind, extra in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(extra)
                archive.addfile(info, io.BytesIO(extra))
                continue
            if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                info.linkname = extra
            if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                info.devmajor, info.devminor = extra
            archive.addfile(info)
    return out.getvalue()


def scan(data, step=10_000):
    scanner = TarScanner()
    for start in range(0, len(data), step):
        scanner.feed(data[start : start + step])
    scanner.finish()
    return scanner


LONG = "d" * 90 + "/" + "e" * 90 + "/" + "f" * 90


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 511, 512, 513, 10_000])
def test_what_it_finds(fmt, step):
    long = LONG if fmt != tarfile.USTAR_FORMAT else "d" * 90 + "/" + "e" * 90
    found = scan(
        tar(
            [
                ("./", tarfile.DIRTYPE, None),
                ("etc/", tarfile.DIRTYPE, None),
                ("etc/passwd", tarfile.REGTYPE, b"x" * 700),
                ("usr/lib/.wh.gone", tarfile.REGTYPE, b""),
                ("var/.wh..wh..opq", tarfile.REGTYPE, b""),
                (".wh..wh.plnk", tarfile.REGTYPE, b""),
                ("dev/null", tarfile.CHRTYPE, (1, 3)),
                ("dev/sda", tarfile.BLKTYPE, (8, 0)),
                ("dev/mem", tarfile.CHRTYPE, (1, 1)),
                ("gone", tarfile.CHRTYPE, (0, 0)),
                (long, tarfile.REGTYPE, b"1"),
                ("link", tarfile.SYMTYPE, "../../etc/passwd"),
                ("hard", tarfile.LNKTYPE, "etc/passwd"),
            ],
            fmt,
        ),
        step,
    )
    assert found.entries == 13
    assert found.whiteouts == ["usr/lib/gone"]
    assert found.opaque == ["var"]
    assert found.devices == ["dev/sda", "dev/mem", "gone"]
    assert found.implied() == sorted({"usr", "usr/lib", "var", "dev", *([long.rsplit("/", n)[0] for n in range(1, long.count("/") + 1)])})


@pytest.mark.parametrize(
    "members",
    [
        [("../x", tarfile.REGTYPE, b"")],
        [("a/../../x", tarfile.REGTYPE, b"")],
        [("a", tarfile.LNKTYPE, "../../etc/shadow")],
        [(".wh...", tarfile.REGTYPE, b"")],
        [("d/.wh.", tarfile.REGTYPE, b"")],
        [(LONG + "/../../../../x", tarfile.REGTYPE, b"")],
    ],
)
def test_escapes_are_refused(members):
    with pytest.raises(BadLayer):
        scan(tar(members))


def test_truncated_corrupt_and_crowded():
    data = tar([("a", tarfile.REGTYPE, b"x" * 2000)])
    with pytest.raises(BadLayer, match="unexpected end"):
        scan(data[:1200])
    with pytest.raises(BadLayer, match="invalid tar header"):
        scan(b"\x01" + data[1:])
    scanner = TarScanner(max_entries=2)
    with pytest.raises(BadLayer, match="more than 2 files"):
        scanner.feed(tar([(f"f{n}", tarfile.REGTYPE, b"") for n in range(3)]))


def test_absolute_names_count_from_the_root():
    assert clean("/etc//x/./y/") == "etc/x/y"
    assert clean("./") == ""


def test_whatever_tarfile_writes_is_read_alike():
    """Random archives: the scanner counts the entries tarfile wrote and finds the directories it named."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    part = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=60).filter(
        lambda p: p not in (".", "..") and not p.startswith(".wh.")
    )
    path = st.lists(part, min_size=1, max_size=5).map("/".join)
    member = st.tuples(path, st.binary(max_size=1500) | st.none())

    @settings(max_examples=60, deadline=None)
    @given(st.lists(member, max_size=8), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 3000))
    def check(members, fmt, step):
        found = scan(tar([(p, tarfile.DIRTYPE if c is None else tarfile.REGTYPE, c) for p, c in members], fmt), step)
        assert found.entries == len(members)
        assert found.directories == {p for p, c in members if c is None}
        assert found.parents >= {p.rpartition("/")[0] for p, _ in members}

    check()


def test_random_damage_never_surprises():
    """Flipped bytes give BadLayer or a reading, never another exception."""
    import random

    source = random.Random(7)
    data = tar([("a/b", tarfile.REGTYPE, b"x" * 900), (LONG, tarfile.SYMTYPE, LONG), ("d", tarfile.DIRTYPE, None)])
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(source.randint(1, 6)):
            broken[source.randrange(len(broken))] = source.randrange(256)
        try:
            scan(bytes(broken))
        except BadLayer:
            pass
