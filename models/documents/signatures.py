"""What a file is by its first bytes, whatever its name says."""

import re
import struct
from dataclasses import dataclass

from models.documents.encoding import is_binary

HEAD_BYTES = 4096
OLE_HEADER_BYTES, MAX_DIRECTORY_BYTES = 512, 65_536


@dataclass(frozen=True)
class Signature:
    """A format that is not plain text. `name` is for messages; no parser reads an `unreadable` one.

    `is_image`: its text can be recognized.
    """

    name: str
    unreadable: bool = True
    is_image: bool = False


def _image(name: str) -> Signature:
    return Signature(name, unreadable=False, is_image=True)


ZIP = Signature("a zip archive", unreadable=False)
PDF = Signature("a PDF file", unreadable=False)
RTF = Signature("an RTF file", unreadable=False)
GZIP = Signature("a gzip archive", unreadable=False)
TAR = Signature("a tar archive", unreadable=False)
MAIL = Signature("a mail", unreadable=False)
NOTEBOOK = Signature("a Jupyter notebook", unreadable=False)
HTML = Signature("a web page", unreadable=False)
OLE = Signature("a file of Office before 2007, or an encrypted file")
OUTLOOK = Signature("an Outlook message", unreadable=False)
EXCEL_97 = Signature("an Excel file before 2007", unreadable=False)
WORD_97 = Signature("a Word file before 2007; save it as .docx")
POWERPOINT_97 = Signature("a PowerPoint file before 2007; save it as .pptx")
ENCRYPTED = Signature("an encrypted Office file; save a copy without the password")
# Names in the directory of such a file, and what it then is.
OLE_NAMES = {
    **dict.fromkeys(("__nameid_version1.0\0", "__properties_version1.0\0", "__substg1.0_"), OUTLOOK),
    **dict.fromkeys(("Workbook\0", "Book\0"), EXCEL_97),
    **{"WordDocument\0": WORD_97, "PowerPoint Document\0": POWERPOINT_97, "EncryptedPackage\0": ENCRYPTED},
}

PREFIXES: tuple[tuple[bytes, Signature], ...] = (
    *((mark, ZIP) for mark in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")),
    (b"%PDF-", PDF),
    (b"{\\rtf", RTF),
    (b"\x1f\x8b", GZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"\x89PNG\r\n", _image("a PNG image")),
    (b"\xff\xd8\xff", _image("a JPEG image")),
    *((mark, Signature("a GIF image")) for mark in (b"GIF87a", b"GIF89a")),
    *((mark, _image("a TIFF image")) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\0\0\1\0", Signature("an icon")),
    (b"8BPS\0", Signature("a Photoshop image")),
    (b"\0\0\0\x0cjP  ", Signature("a JPEG 2000 image")),
    (b"\xd7\xcd\xc6\x9a", Signature("a Windows metafile")),
    *((mark, Signature("a PostScript file")) for mark in (b"%!PS", b"\xc5\xd0\xd3\xc6", b"\x04%!PS")),
    (b"\x7fELF", Signature("an executable program")),
    *((mark, Signature("an executable program")) for mark in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf")),
    *((mark, Signature("an executable program")) for mark in (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")),
    *((mark, Signature("compiled code")) for mark in (b"\xca\xfe\xba\xbe", b"\0asm", b"dex\n03", b"BC\xc0\xde")),
    (b"!<arch>\n", Signature("a library or Debian package")),
    (b"\xed\xab\xee\xdb", Signature("an RPM package")),
    *(
        (mark, Signature("an audio file"))
        for mark in (b"ID3", b"fLaC\0", b"OggS\0", b"\xff\xfb", b"\xff\xf3", b"MThd\0")
    ),
    *((mark, Signature("a video file")) for mark in (b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV\1")),
    (b"0&\xb2u\x8ef\xcf\x11", Signature("a Windows media file")),
    (b"7z\xbc\xaf'\x1c", Signature("a 7z archive")),
    (b"Rar!\x1a\x07", Signature("a RAR archive")),
    (b"\xfd7zXZ\0", Signature("an xz archive")),
    (b"BZh", Signature("a bzip2 archive")),
    (b"\x28\xb5\x2f\xfd", Signature("a Zstandard archive")),
    (b"MSCF\0", Signature("a cabinet archive")),
    (b"SQLite format 3\0", Signature("an SQLite database")),
    (b"\0\1\0\0Standard ", Signature("an Access database")),
    (b"!BDN", Signature("an Outlook data file")),
    (b"PAR1", Signature("a Parquet file")),
    (b"ORC\n\x03", Signature("an ORC file")),
    (b"Obj\x01", Signature("an Avro file")),
    (b"\x89HDF\r\n", Signature("an HDF5 file")),
    (b"\x93NUMPY", Signature("a NumPy array")),
    *((mark, Signature("a font")) for mark in (b"\0\1\0\0\0", b"OTTO\0", b"wOFF", b"wOF2", b"true\0", b"ttcf\0")),
    (b"AT&TFORM", Signature("a DjVu scan")),
)
RIFF = {
    **{b"WEBP": _image("a WebP image"), b"WAVE": Signature("an audio file"), b"AVI ": Signature("a video file")},
}
TEXTUAL = ((b"{\\rtf", RTF), (b"%PDF-", PDF))  # white space may stand before their marks
BY_FIRST_BYTE = {
    first: tuple((mark, signature) for mark, signature in PREFIXES if mark.startswith(first))
    for first in {mark[:1] for mark, _ in PREFIXES}
}
SHORT_MARKS = (b"BZh", b"ID3", b"true\0", b"OTTO\0", b"FLV\1", b"Obj\x01", b"PAR1")

# Atomic groups: a text of many comments would take exponential time.
PAGE = re.compile(rb"(?:<\?xml[^>]*+>\s*)?(?><!--.*?-->\s*)*+(?:<!doctype html|<html)", re.IGNORECASE | re.DOTALL)
MAIL_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]{1,70}:|[ \t]|From |>")
MAIL_FIELD = re.compile(rb"^(?:From|To|Subject|Date|Content-Type):", re.IGNORECASE | re.MULTILINE)
TRANSPORT_FIELD = re.compile(
    rb"^(?:MIME-Version|Content-Transfer-Encoding|Received|Return-Path|Message-ID|DKIM-Signature):",
    re.IGNORECASE | re.MULTILINE,
)


def signature_of(content: bytes) -> Signature | None:
    """The format whose mark the content begins with; None for text and for unknown formats."""
    head = content[:HEAD_BYTES]
    mark = _prefix(head)
    if mark is not None:
        return _ole(content) if mark is OLE else mark
    if head[:4] == b"RIFF" and head[8:12] in RIFF:
        return RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return Signature("a video, audio file or HEIF image")
    if head[257:262] == b"ustar":
        return TAR
    return _short_mark(head) or _text_format(content, head)


def _ole(content: bytes) -> Signature:
    """Which format has the first name in the directory. The files inside, such as attachments, come later."""
    start = _directory_start(content)
    directory = content[start : start + MAX_DIRECTORY_BYTES]
    places = {name: directory.find(name.encode("utf-16-le")) for name in OLE_NAMES}
    names = [name for name in OLE_NAMES if places[name] >= 0]
    return OLE_NAMES[min(names, key=places.__getitem__)] if names else OLE


def _directory_start(content: bytes) -> int:
    """Where the directory begins, by the header: MS-CFB, 2.2."""
    if len(content) < OLE_HEADER_BYTES:
        return 0
    shift, sector = struct.unpack_from("<H", content, 30)[0], struct.unpack_from("<I", content, 48)[0]
    return (sector + 1) << shift if shift in (9, 12) else 0


def _text_format(content: bytes, head: bytes) -> Signature | None:
    """Formats of text that nobody should read as they are: pages, mails and notebooks."""
    stripped = _stripped(head)
    if PAGE.match(stripped) and not is_binary(head):
        return HTML
    if stripped.startswith(b"{") and b'"nbformat"' in content and b'"cells"' in content:
        return NOTEBOOK
    return MAIL if _is_mail(stripped) else None


def _is_mail(head: bytes) -> bool:
    """Whether the text begins with the fields of a mail, one of them by a mail program."""
    fields = head.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
    lines = fields.split(b"\n")[:-1] or [fields]  # the last line may be cut
    has_fields = bool(MAIL_FIELD.search(fields) and TRANSPORT_FIELD.search(fields))
    return has_fields and all(MAIL_LINE.match(line) for line in lines)


def _stripped(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")


def _prefix(head: bytes) -> Signature | None:
    for mark, signature in BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(mark) and (mark not in SHORT_MARKS or is_binary(head)):
            return signature
    stripped = _stripped(head)
    return next((signature for mark, signature in TEXTUAL if stripped.startswith(mark)), None)


def _short_mark(head: bytes) -> Signature | None:
    """Marks of two letters, which texts may begin with."""
    if head[:2] == b"MZ" and is_binary(head):
        return Signature("an executable program")
    if head[:2] == b"BM" and is_binary(head):
        return _image("a bitmap image")
    return None
