"""Outlook messages and other OLE files, written by the layout that MS-CFB and MS-OXMSG describe."""

import struct
from collections.abc import Mapping, Sequence

Tree = Mapping[str, "bytes | Tree"]

SECTOR, MINI_SECTOR, CUTOFF = 512, 64, 4096
FREE, END, IS_FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
ROOT, STORAGE, STREAM = 5, 1, 2


class _Chains:
    """Content in sectors of one size, and for each sector the next one."""

    def __init__(self, sector_bytes: int) -> None:
        self.sector_bytes, self.content, self.table = sector_bytes, bytearray(), list[int]()

    def add(self, content: bytes) -> int:
        if not content:
            return END
        start = len(self.table)
        num_sectors = -(-len(content) // self.sector_bytes)
        self.content += content.ljust(num_sectors * self.sector_bytes, b"\0")
        self.table += [*range(start + 1, start + num_sectors), END]
        return start


def make_ole(tree: Tree) -> bytes:
    """A file with these storages and streams."""
    large, small = _Chains(SECTOR), _Chains(MINI_SECTOR)
    entries: list[list[object]] = []

    def add(name: str, kind: int, node: "bytes | Tree") -> int:
        number = len(entries)
        entry: list[object] = [name, kind, FREE, FREE, END, 0]  # right sibling, child, start, size
        entries.append(entry)
        if isinstance(node, bytes):
            chains = large if len(node) >= CUTOFF else small
            entry[4], entry[5] = chains.add(node), len(node)
            return number
        before: list[object] | None = None
        for inner, content in node.items():
            child = add(inner, STREAM if isinstance(content, bytes) else STORAGE, content)
            if before is None:
                entry[3] = child
            else:
                before[2] = child
            before = entries[child]
        return number

    add("Root Entry", ROOT, tree)
    entries[0][4], entries[0][5] = large.add(bytes(small.content)), len(small.content)
    mini_start = large.add(struct.pack(f"<{len(small.table)}I", *small.table))
    num_mini = -(-4 * len(small.table) // SECTOR)
    directory_start = large.add(b"".join(map(_entry, entries)))
    num_fat = 1
    while num_fat * SECTOR // 4 < len(large.table) + num_fat:
        num_fat += 1
    first_fat = len(large.table)
    table = large.table + [IS_FAT] * num_fat
    table += [FREE] * (num_fat * SECTOR // 4 - len(table))
    head = struct.pack(
        *("<8s16s5H6s9I", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, bytes(6)),
        *(0, num_fat, directory_start, 0, CUTOFF, mini_start, num_mini, END, 0),
    )
    places = [*range(first_fat, first_fat + num_fat)] + [FREE] * (109 - num_fat)
    return head + struct.pack("<109I", *places) + bytes(large.content) + struct.pack(f"<{len(table)}I", *table)


def _entry(entry: Sequence[object]) -> bytes:
    name, kind, right, child, start, size = entry
    assert isinstance(name, str)
    encoded = name.encode("utf-16-le") + b"\0\0"
    fields = (encoded, len(encoded), kind, 1, FREE, right, child, bytes(16), 0, 0, 0, start, size, 0)
    return struct.pack("<64sHBB3I16sI2Q3I", *fields)


def storage(
    head_bytes: int, properties: Mapping[int, "str | bytes | int"], codec: str = ""
) -> dict[str, "bytes | Tree"]:
    """A storage with these properties; texts are in UTF-16, or in a code page."""
    streams: dict[str, bytes | Tree] = {}
    numbers = bytes(head_bytes)
    for number, value in properties.items():
        if isinstance(value, int):
            numbers += struct.pack("<HHIQ", 0x40 if value > 2**32 else 0x03, number, 6, value)
            continue
        kind = 0x102 if isinstance(value, bytes) else 0x1E if codec else 0x1F
        content = value if isinstance(value, bytes) else value.encode(codec or "utf-16-le")
        streams[f"__substg1.0_{number:04X}{kind:04X}"] = content
        numbers += struct.pack("<HHIQ", kind, number, 6, len(content))
    return {"__nameid_version1.0": {}} | streams | {"__properties_version1.0": numbers}


def message(
    properties: Mapping[int, "str | bytes | int"],
    attachments: Sequence[Mapping[str, "bytes | Tree"]] = (),
    head_bytes: int = 32,
    codec: str = "",
) -> dict[str, "bytes | Tree"]:
    """A message with attachments as the tree of an OLE file."""
    named = {f"__attach_version1.0_#{number:08X}": dict(each) for number, each in enumerate(attachments)}
    return storage(head_bytes, properties, codec) | named


def attachment(name: str, content: bytes, **more: int) -> dict[str, "bytes | Tree"]:
    """A file that is attached. `hidden=1`: the text shows it."""
    return storage(8, {0x3707: name, 0x3701: content, 0x3705: 1} | ({0x7FFE: 1} if more.get("hidden") else {}))


def attached_message(tree: Mapping[str, "bytes | Tree"]) -> dict[str, "bytes | Tree"]:
    return storage(8, {0x3705: 5}) | {"__substg1.0_3701000D": dict(tree)}
