"""Bytes to text: byte-order mark, then UTF-8, then what the file declares, then detection."""

import codecs
import re

from charset_normalizer import from_bytes

from models.errors import UnreadableDocumentError

# UTF-32's mark begins with UTF-16's, so it is checked first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings that detection may choose. If two fit equally well, the earlier wins. cp1252 includes Latin-1's letters.
DETECTED = (
    *("cp1252", "cp1251", "cp1250", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "cp949"),
)
# Encodings that a file may declare: no codec that runs code, warns or is slow. Like browsers, we read Latin-1 and
# ASCII as cp1252.
DECLARED = frozenset(DETECTED) | {"cp866", "koi8-r", "koi8-u", "gbk", "gb2312", "euc_kr", "mac-cyrillic"}
DECLARATION = re.compile(rb"""(?:charset|encoding)\s{0,9}=\s{0,9}["']?([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
DECLARATION_BYTES = 2048  # HTML requires it in the first 1,024 bytes, but real pages have it later

MAX_CONTROL_FRACTION = 0.02  # a file with more is not text; a coloured log has about 0.01
MIN_CONTROLS = 3  # so few are allowed in a short file, too
SAMPLE_BYTES = 65_536
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
# A file with one broken byte in ten UTF-8 characters is still UTF-8: other encodings do not look like it by chance.
MAX_BROKEN_FRACTION = 0.1


def decode(content: bytes, filename: str, declares: bool = False) -> str:
    """The file's text. With `declares`, a `charset=` or `encoding=` near the beginning is used.

    Raises UnreadableDocumentError if the content is not text or its encoding is unknown.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if wide := _utf16_without_mark(content):
        return content.decode(wide, errors="replace")
    if is_binary(content):
        raise UnreadableDocumentError(filename, "invalid_file", "the content is binary, not text; check the extension")
    text = _utf8(content)
    if text is None and declares:
        text = _declared(content)
    return _detected(content, filename) if text is None else text


def is_binary(content: bytes) -> bool:
    """Whether the beginning has more control characters, NUL included, than text has."""
    sample = content[:SAMPLE_BYTES]
    if any(content.startswith(mark) for mark, _ in BYTE_ORDER_MARKS) or _utf16_without_mark(content):
        return False
    num_controls = len(sample) - len(sample.translate(None, CONTROL_BYTES))
    return num_controls > max(MIN_CONTROLS, MAX_CONTROL_FRACTION * len(sample))


def _utf16_without_mark(content: bytes) -> str | None:
    """The encoding of Western UTF-16 without a byte-order mark: nearly every other byte is zero."""
    sample = content[:SAMPLE_BYTES]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if min(even, odd) > 0.05 * max(even, odd) or max(even, odd) < 0.35 * len(sample):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", errors="replace")
    num_broken = text.count("\ufffd")
    num_whole = sum(1 for character in text if character > "\x7f") - num_broken
    return text if num_broken <= MAX_BROKEN_FRACTION * num_whole else None


def _declared(content: bytes) -> str | None:
    match = DECLARATION.search(content[:DECLARATION_BYTES])
    if match is None:
        return None
    try:
        name = codecs.lookup(match.group(1).decode("ascii")).name
        name = "cp1252" if name in ("iso8859-1", "ascii") else name
        return content.decode(name) if name in DECLARED or name.startswith("iso8859-") else None
    except (LookupError, UnicodeDecodeError):
        return None


def _detected(content: bytes, filename: str) -> str:
    matches = list(from_bytes(content, cp_isolation=list(DETECTED)))
    if not matches:
        detail = "the encoding is unknown; save the file as UTF-8"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    return str(min(matches, key=lambda match: (match.chaos, -match.coherence, DETECTED.index(match.encoding))))
