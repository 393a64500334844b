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
