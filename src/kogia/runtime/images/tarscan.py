"""Reading tar headers as the bytes flow past, so that a layer is judged before GNU tar acts on it.

Finds what overlayfs needs converted (whiteouts), what must not be there (escapes, device nodes) and which directories the archive
names itself. Pure: bytes in, facts out. GNU tar's own guards (no `..`, no absolute names, dangerous links made last) are the
second line. Source: POSIX.1 pax, GNU tar's manual on its extensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BLOCK = 512
META_LIMIT = 1 << 20  #: of one extended header or long name
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
RESERVED = ".wh..wh."
#: (major, minor) of the character devices an image may carry: null zero full random urandom tty console ptmx
SAFE_DEVICES = frozenset({(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)})


class BadLayer(ValueError):
    """The archive is malformed, tries to leave its directory, or is larger than allowed."""


@dataclass(slots=True)
class TarScanner:
    """Feed it the whole stream, in pieces of any size; then `finish`."""

    max_entries: int = 2_000_000
    whiteouts: list[str] = field(default_factory=list)  #: paths without the prefix: what is to vanish from lower layers
    opaque: list[str] = field(default_factory=list)  #: directories that hide what is below them
    devices: list[str] = field(default_factory=list)  #: nodes to remove again after unpacking
    directories: set[str] = field(default_factory=set)  #: directories the archive names ("" is the root)
    parents: set[str] = field(default_factory=set)  #: directories it needs
    entries: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _skip: int = 0
    _meta_kind: str = ""
    _meta_size: int = 0
    _sparse_skip: int = 0
    _overrides: dict[str, str] = field(default_factory=dict)
    _zeros: int = 0
    _ended: bool = False

    def feed(self, data: bytes) -> None:
        """Errors: BadLayer."""
        if self._ended:
            return
        view, position, size = memoryview(data), 0, len(data)
        while position < size:
            if self._skip:
                step = min(self._skip, size - position)
                self._skip -= step
                position += step
                continue
            wanted = self._meta_size if self._meta_kind else BLOCK
            step = min(wanted - len(self._buffer), size - position)
            self._buffer += view[position : position + step]
            position += step
            if len(self._buffer) < wanted:
                return
            block = bytes(self._buffer)
            self._buffer.clear()
            if self._meta_kind:
                self._meta(block)
            else:
                self._header(block)
                if self._ended:
                    return

    def finish(self) -> None:
        """Errors: BadLayer when the stream stopped in the middle of an entry."""
        if self._skip or self._buffer or self._meta_kind:
            raise BadLayer("unexpected end of the layer's archive")

    def implied(self) -> list[str]:
        """Directories the archive needs but does not describe, parents first; their attributes come from lower layers."""
        return sorted(self.parents - self.directories)

    def _meta(self, block: bytes) -> None:
        kind, self._meta_kind = self._meta_kind, ""
        if kind == "S":  # one more map block of an old GNU sparse file; its flag says whether another follows
            self._sparse(bool(block[504]), self._sparse_skip)
            return
        padded = -len(block) % BLOCK
        self._skip = padded
        if kind == "L":
            self._overrides["path"] = block.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        elif kind == "K":
            self._overrides["linkpath"] = block.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        elif kind == "x":
            self._overrides |= _pax(block)

    def _sparse(self, more: bool, skip: int) -> None:
        if more:
            self._meta_kind, self._meta_size, self._sparse_skip = "S", BLOCK, skip
        else:
            self._skip = skip

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._zeros += 1
            self._ended = self._zeros >= 2
            return
        self._zeros = 0
        if not _checksum_ok(block):
            raise BadLayer("invalid tar header")
        kind = chr(block[156]) if block[156] else "0"
        size = _number(block[124:136])
        if size < 0:
            raise BadLayer("invalid size in tar header")
        if kind in "LKxg":
            if not 0 < size <= META_LIMIT:
                raise BadLayer(f"extended tar header of {size} bytes")
            self._meta_kind, self._meta_size = kind, size
            return
        overrides, self._overrides = self._overrides, {}
        if "size" in overrides:
            size = _decimal(overrides["size"])
        if kind in "123456":
            size = 0
        self._sparse(kind == "S" and bool(block[482]), size + (-size % BLOCK))
        self.entries += 1
        if self.entries > self.max_entries:
            raise BadLayer(f"more than {self.max_entries} files in one layer")
        self._entry(kind, overrides.get("GNU.sparse.name") or overrides.get("path") or _name(block), overrides.get("linkpath"), block)

    def _entry(self, kind: str, name: str, link: str | None, block: bytes) -> None:
        path = clean(name)
        parent, _, base = path.rpartition("/")
        self._need(parent)
        if kind == "1":
            clean(link if link is not None else _text(block[157:257]))
        elif kind == "5":
            self.directories.add(path)
        elif kind in "34":
            device = (_number(block[329:337]), _number(block[337:345]))
            if kind == "4" or device not in SAFE_DEVICES:
                self.devices.append(path)
        if base == OPAQUE:
            self.opaque.append(parent)
        elif base.startswith(WHITEOUT) and not base.startswith(RESERVED):
            target = base[len(WHITEOUT) :]
            if target in ("", ".", ".."):
                raise BadLayer(f"invalid whiteout name {base!r}")
            self.whiteouts.append(f"{parent}/{target}" if parent else target)

    def _need(self, parent: str) -> None:
        while parent not in self.parents:
            self.parents.add(parent)
            if not parent:
                return
            parent = parent.rpartition("/")[0]


def clean(name: str) -> str:
    """`./usr//bin/` → `usr/bin`; `.` → "". Errors: BadLayer for names that leave the directory."""
    if "\0" in name:
        raise BadLayer("invalid name in layer")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadLayer(f"path {name!r} in layer escapes the root")
    return "/".join(parts)


def _checksum_ok(block: bytes) -> bool:
    return _number(block[148:156]) == 256 + sum(block[:148]) + sum(block[156:])


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _name(block: bytes) -> str:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        return f"{prefix}/{name}"
    return name


def _number(raw: bytes) -> int:
    """An octal field, or GNU's base-256 for large values."""
    if raw[:1] and raw[0] & 0x80:
        value = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
        return value - (1 << (8 * len(raw) - 1)) if raw[0] & 0x40 else value
    text = raw.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError:
        raise BadLayer("invalid number in tar header") from None


def _decimal(text: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise BadLayer("invalid size in tar header")
    return int(text)


def _pax(block: bytes) -> dict[str, str]:
    """Records `length key=value\\n`."""
    records: dict[str, str] = {}
    position = 0
    while position < len(block):
        space = block.find(b" ", position, position + 20)
        digits = block[position:space] if space > 0 else b""
        if not digits.isdigit():
            if not block[position:].strip(b"\0"):
                break
            raise BadLayer("invalid pax header")
        end = position + int(digits)
        if end <= space or end > len(block):
            raise BadLayer("invalid pax header")
        key, equals, value = block[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise BadLayer("invalid pax header")
        if key in (b"path", b"linkpath", b"size", b"GNU.sparse.name"):
            records[key.decode()] = value.decode("utf-8", "surrogateescape")
        position = end
    return records
