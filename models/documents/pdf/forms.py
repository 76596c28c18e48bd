"""Finds PDF files whose drawings (form XObjects) draw each other without end, before pdfium is asked to.

pdfium follows them 40 levels deep. A form of 100 bytes that draws itself twice is then drawn 2^40 times. The walk here
reads the file's objects as bytes, once, and decides nothing about what it does not understand: the limits of the
Parser's child process hold for such files.
"""

import base64
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from models.errors.requests import UnreadableDocumentError

MAX_LEVELS = 40  # of pdfium
MAX_DRAWN_BYTES = 64 * 2**20  # of drawing instructions; a form counts as 1,000 bytes at least
MIN_FORM_BYTES = 1_000
MAX_STREAM_BYTES = 4 * 2**20  # of one form that are read
MAX_READ_BYTES = 64 * 2**20  # of all streams
MAX_FILTERS = 3
MAX_KEYS_BYTES = 64 * 2**10  # of the dictionary of one object

OBJECT = re.compile(rb"(?<!\d)(\d{1,10})\s+\d{1,5}\s+obj\b")
IS_FORM = re.compile(rb"/Subtype\s*/Form\b")
# Letters of a name may be written as numbers.
FORM_NAME = re.compile(rb"/(?:F|#46)(?:o|#6[fF])(?:r|#72)(?:m|#6[dD])(?![A-Za-z0-9])")
STREAM_BEGIN = re.compile(rb"stream\r?\n")
OBJECT_STREAM = re.compile(rb"/Type\s*/ObjStm\b")
FIRST_OBJECT, NUM_OBJECTS = re.compile(rb"/First\s+(\d{1,9})"), re.compile(rb"/N\s+(\d{1,9})")
FILTER = re.compile(rb"/(?:Filter|F)\s*(\[[^\]]{0,200}\]|/[^\s/<>\[\]()]+)")
DRAWN = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do\b")
REFERENCE = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+(\d{1,10})\s+\d{1,5}\s+R\b")
ESCAPED = re.compile(rb"#([0-9a-fA-F]{2})")


@dataclass
class _Form:
    """A form: its size in bytes, and how often it draws which other forms."""

    num_bytes: int
    drawn: Counter[int] = field(default_factory=Counter)


def refuse_forms_without_end(content: bytes, filename: str) -> None:
    """Raises UnreadableDocumentError with cause too_complex if a form draws others, or itself, too often."""
    if not FORM_NAME.search(content):
        return
    forms = _Objects(content).forms()
    if any(form.drawn for form in forms.values()) and _max_drawn_bytes(forms) > MAX_DRAWN_BYTES:
        detail = "its drawings (form XObjects) draw each other without end; print it to a new PDF file"
        raise UnreadableDocumentError(filename, "invalid_file", detail, "too_complex")


def _max_drawn_bytes(forms: dict[int, _Form]) -> int:
    """The instructions that pdfium reads to draw the costliest form, up to a little more than the limit."""
    own = {number: max(form.num_bytes, MIN_FORM_BYTES) for number, form in forms.items()}
    costs = dict(own)
    drawing = {number: form.drawn for number, form in forms.items() if form.drawn}
    for _ in range(MAX_LEVELS):
        above = {
            number: own[number] + sum(count * costs[inner] for inner, count in drawn.items())
            for number, drawn in drawing.items()
        }
        costs.update(above)
        if max(above.values()) > MAX_DRAWN_BYTES:
            break
    return max(costs.values())


class _Objects:
    """The objects of a file as bytes: those in the file itself, and those in its compressed object streams."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._room = MAX_READ_BYTES
        self._spans = list(_spans(content))
        self._keys: dict[int, bytes] = {}
        self._streams: dict[int, int] = {}  # where the stream of a form begins
        self._shared: dict[bytes, int] = {}
        for number, start, end in self._spans:
            self._take(number, start, end)

    def forms(self) -> dict[int, _Form]:
        """The forms by the numbers of their objects."""
        instructions = {number: self._instructions(number) for number in self._streams}
        forms = {number: _Form(len(text)) for number, text in instructions.items()}
        self._shared = self._unique_names()
        for number, text in instructions.items():
            names = Counter(_plain(name) for name in DRAWN.findall(text))
            targets = self._drawable(number) if names else {}
            for name, count in names.items():
                if targets.get(name) in forms:
                    forms[number].drawn[targets[name]] += count
        return forms

    def _take(self, number: int, start: int, end: int) -> None:
        keys = self._content[start : min(end, start + MAX_KEYS_BYTES)]
        begin = STREAM_BEGIN.search(keys)
        head = keys[: begin.start()] if begin else keys
        if begin and OBJECT_STREAM.search(head):
            self._unpack(head, start + begin.end())
        elif begin and IS_FORM.search(_plain(head)):
            self._keys[number], self._streams[number] = _plain(head), start + begin.end()
        elif not begin and b"<<" in head:
            self._keys[number] = _plain(head)

    def _unpack(self, keys: bytes, start: int) -> None:
        """The dictionaries of an object stream."""
        text = self._decoded(keys, start)
        first, count = FIRST_OBJECT.search(keys), NUM_OBJECTS.search(keys)
        if not text or not first or not count:
            return
        numbers = text[: int(first[1])].split()[: 2 * int(count[1])]
        places = [(int(number), int(offset)) for number, offset in _pairs(numbers)]
        ends = [offset for _, offset in places[1:]] + [len(text)]
        for (number, offset), end in zip(places, ends, strict=True):
            self._keys[number] = _plain(text[int(first[1]) + offset : int(first[1]) + end][:MAX_KEYS_BYTES])

    def _instructions(self, number: int) -> bytes:
        return self._decoded(self._keys[number], self._streams[number])

    def _decoded(self, keys: bytes, start: int) -> bytes:
        """The beginning of a stream, up to a limit; empty for filters of images, and of encrypted files."""
        limit = min(MAX_STREAM_BYTES, self._room)
        filters = FILTER.search(keys)
        names = re.findall(rb"/(\w+)", filters[1]) if filters else []
        if limit <= 0 or len(names) > MAX_FILTERS or not all(name in DECODERS for name in names):
            return b""
        end = self._content.find(b"endstream", start)
        text = _decoded(self._content[start : end if end >= 0 else len(self._content)], names, limit)
        self._room -= len(text)
        return text

    def _drawable(self, number: int) -> dict[bytes, int]:
        """The objects that a form may draw, by name: those of its own resources, else of its page."""
        keys = self._keys[number]
        if b"/Resources" not in keys:
            return self._shared
        drawable = self._value(self._value(keys, b"Resources"), b"XObject")
        return {name: int(target) for name, target in REFERENCE.findall(drawable)}

    def _unique_names(self) -> dict[bytes, int]:
        """The forms by the names that no other form has: a form without resources uses those of its page."""
        targets: dict[bytes, set[int]] = {}
        for keys in self._keys.values():
            for name, target in REFERENCE.findall(keys):
                if int(target) in self._streams:
                    targets.setdefault(name, set()).add(int(target))
        return {name: numbers.pop() for name, numbers in targets.items() if len(numbers) == 1}

    def _value(self, keys: bytes, name: bytes) -> bytes:
        """The dictionary under a key, also if it is an object of its own; empty without one."""
        match = re.search(rb"/%b\s*(?:(<<)|(\d{1,10})\s+\d{1,5}\s+R\b)" % name, keys)
        if match is None:
            return b""
        return _dictionary(keys[match.start(1) :]) if match[1] else self._keys.get(int(match[2]), b"")


def _spans(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Each object: its number, where it begins, and where the next one does."""
    before: tuple[int, int] | None = None
    for match in OBJECT.finditer(content):
        if before is not None:
            yield *before, match.start()
        before = (int(match[1]), match.end())
    if before is not None:
        yield *before, len(content)


def _pairs(numbers: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for number, offset in zip(numbers[::2], numbers[1::2], strict=False):
        if number.isdigit() and offset.isdigit():
            yield number, offset


def _decoded(text: bytes, filters: list[bytes], limit: int) -> bytes:
    """The stream behind its filters; empty if it is broken."""
    for name in filters:
        try:
            text = DECODERS[name](text, limit)
        except (zlib.error, ValueError):
            return b""
    return text[:limit]


def _inflate(text: bytes, limit: int) -> bytes:
    return zlib.decompressobj().decompress(text, limit)


def _from_hex(text: bytes, limit: int) -> bytes:
    digits = text[: 2 * limit].partition(b">")[0].translate(None, b" \t\r\n\0\x0c")
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("latin-1"))


def _from_base85(text: bytes, limit: int) -> bytes:
    return base64.a85decode(text[: 2 * limit].partition(b"~>")[0].strip())


DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    **dict.fromkeys((b"FlateDecode", b"Fl"), _inflate),
    **dict.fromkeys((b"ASCIIHexDecode", b"AHx"), _from_hex),
    **dict.fromkeys((b"ASCII85Decode", b"A85"), _from_base85),
}


def _plain(name: bytes) -> bytes:
    """Names without escapes: /#46orm is /Form."""
    return ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), name) if b"#" in name else name


def _dictionary(text: bytes) -> bytes:
    """The dictionary that a text begins with, with those inside it."""
    depth = 0
    for match in re.finditer(rb"<<|>>", text):
        depth += 1 if match.group() == b"<<" else -1
        if depth == 0:
            return text[: match.end()]
    return text
