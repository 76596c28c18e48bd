"""Bytes to text: byte-order mark, then UTF-8, then what the file declares, then detection."""

import codecs
import re
from dataclasses import dataclass

from models.documents.detection import detect
from models.errors.requests import UnreadableDocumentError

# UTF-32's mark begins with UTF-16's, so it is checked first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings that a file may declare, by the names that Python does not know or understands more narrowly. Like browsers,
# we read Latin-1 and ASCII as cp1252, and each East Asian encoding as its widest form on Windows.
LABELS = {
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    **dict.fromkeys(("iso8859-9",), "cp1254"),
    **dict.fromkeys(("iso8859-11", "tis-620", "dos-874", "windows-874"), "cp874"),
    **dict.fromkeys(("windows-31j", "shift_jis", "x-sjis", "cswindows31j", "csshiftjis", "ms932"), "cp932"),
    **dict.fromkeys(("gbk", "gb2312", "x-gbk", "chinese", "csgb2312", "gb_2312-80", "x-euc-cn"), "gb18030"),
    **dict.fromkeys(("big5", "cn-big5", "x-x-big5", "csbig5", "big5-hkscs"), "big5hkscs"),
    **dict.fromkeys(("euc_kr", "ks_c_5601-1987", "ks_c_5601", "windows-949", "x-windows-949", "korean"), "cp949"),
    **dict.fromkeys(("x-euc-jp", "x-euc", "cseucpkdfmtjapanese"), "euc_jp"),
    **{f"x-cp125{number}": f"cp125{number}" for number in range(9)},
    **{"x-mac-cyrillic": "mac-cyrillic", "x-mac-ukrainian": "mac-cyrillic", "koi8-ru": "koi8-u"},
    **{"macintosh": "mac-roman", "x-mac-roman": "mac-roman"},
}
# No codec that runs code, warns or is slow.
DECLARED = frozenset(LABELS.values()) | {
    "cp866",
    "koi8-r",
    "koi8-u",
    "iso2022_jp",
    *(f"cp{n}" for n in range(1250, 1259)),
}
ISO_2022_JP = re.compile(rb"\x1b\$[@B]")
DECLARATION = re.compile(rb"""(?:charset|encoding)\s{0,9}=\s{0,9}["']?([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
DECLARATION_BYTES = 2048  # HTML requires it in the first 1,024 bytes, but real pages have it later

MAX_CONTROL_FRACTION = 0.02  # a file with more is not text; a coloured log has about 0.01
MIN_CONTROLS = 3  # so few are allowed in a short file, too
SAMPLE_BYTES = 65_536
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
# A file with one broken byte in ten UTF-8 characters is still UTF-8: other encodings do not look like it by chance.
MAX_BROKEN_FRACTION = 0.1
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
CUT_CHARACTER = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]{0,2}\\Z")  # its first bytes, at the end of a file


@dataclass(frozen=True)
class Decoded:
    """A file's text. `doubt` says why it may be wrong, "" if nothing speaks against it."""

    text: str
    doubt: str = ""


def decode(content: bytes, filename: str, declares: bool = False) -> Decoded:
    """The file's text. With `declares`, a `charset=` or `encoding=` near the beginning is used.

    Raises UnreadableDocumentError if the content is not text or its encoding is unknown.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _replacing(content, encoding)
    if wide := _utf16_without_mark(content):
        return _replacing(content, wide)
    if is_binary(content):
        raise UnreadableDocumentError(filename, "invalid_file", "the content is binary, not text; check the extension")
    text = _iso_2022_jp(content) if ISO_2022_JP.search(content[:SAMPLE_BYTES]) else None
    if text is not None:
        return Decoded(text)
    return _utf8(content) or (_declared(content) if declares else None) or _detected(content, filename)


def decode_as(content: bytes, label: str, filename: str) -> Decoded:
    """The text in the encoding that something outside the content declares, else as `decode`."""
    text = _labelled(content, label.lower()) if label else None
    return text or decode(content, filename)


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


def _replacing(content: bytes, encoding: str) -> Decoded:
    text = content.decode(encoding, errors="replace")
    return Decoded(text, _broken(text.count("\ufffd")))


def _broken(num_broken: int) -> str:
    return f"{num_broken} broken characters were replaced by \ufffd" if num_broken else ""


def _iso_2022_jp(content: bytes) -> str | None:
    try:
        return content.decode("iso2022_jp")
    except UnicodeDecodeError:
        return None


def _utf8(content: bytes) -> Decoded | None:
    try:
        return Decoded(content.decode("utf-8"))
    except UnicodeDecodeError:
        text = content.decode("utf-8", errors="surrogateescape")
    text = _without_cut_end(text)
    num_broken = len(text) - len(text.encode("utf-8", errors="ignore").decode())  # they are not encoded
    num_whole = sum(1 for character in text if character > "\x7f") - num_broken
    if num_broken > MAX_BROKEN_FRACTION * num_whole:
        return None
    # A euro sign or a quotation mark that another program pasted in is a byte of Windows-1252.
    text = ESCAPED_BYTE.sub(lambda match: _windows_punctuation(ord(match.group()) - 0xDC00), text)
    return Decoded(text, _broken(text.count("\ufffd")))


def _without_cut_end(text: str) -> str:
    """If the file ends inside a character, and has others outside ASCII, that one is broken and says no more."""
    whole = CUT_CHARACTER.sub("", text)
    is_cut = whole != text and not whole.isascii() and not ESCAPED_BYTE.search(whole)
    return whole + "\ufffd" if is_cut else text


def _windows_punctuation(byte: int) -> str:
    return bytes([byte]).decode("cp1252", errors="replace") if byte < 0xA0 else "\ufffd"


def _declared(content: bytes) -> Decoded | None:
    match = DECLARATION.search(content[:DECLARATION_BYTES])
    if match is None:
        return None
    return _labelled(content, match.group(1).decode("ascii").lower())


def _labelled(content: bytes, label: str) -> Decoded | None:
    try:
        name = LABELS.get(label) or codecs.lookup(label).name
        name = LABELS.get(name, name)
        return Decoded(content.decode(name)) if name in DECLARED or name.startswith("iso8859-") else None
    except (LookupError, UnicodeDecodeError):
        return None


def _detected(content: bytes, filename: str) -> Decoded:
    detected = detect(content)
    if detected is None:
        raise UnreadableDocumentError(filename, "invalid_file", "the encoding is unknown; save the file as UTF-8")
    doubt = f"the encoding was guessed and may be wrong: {detected.codec}; save the file as UTF-8 to be sure"
    return Decoded(detected.text, "" if detected.is_sure else doubt)
