"""Outlook messages are read as mails are, with what is attached; other OLE files are refused at upload."""

import pytest

from models.catalog import Catalog
from models.documents.mail.compressed_rtf import decompress
from models.documents.parse import parse
from models.documents.readable import check_readable
from models.errors.requests import UnreadableDocumentError
from tests.models.documents.document_checks import assert_well_formed, block_texts
from tests.models.documents.mail.outlook_files import attached_message, attachment, make_ole, message

CATALOG = Catalog.open()
SUBJECT, BODY, SENDER, ADDRESS, TO, SENT, HEADERS = 0x0037, 0x1000, 0x0C1A, 0x5D01, 0x0E04, 0x0039, 0x007D
HTML, RTF, CODE_PAGE, BODY_CODE_PAGE = 0x1013, 0x1009, 0x3FFD, 0x3FDE
MARCH_3 = 134_170_020_000_000_000  # 2026-03-03 09:00 UTC, in 100 ns since 1601
FIELDS = {SUBJECT: "Größe der Flut", SENDER: "Ana Café", ADDRESS: "ana@sea.example", TO: "Ben", SENT: MARCH_3}


@pytest.mark.parametrize("filename", ["a.msg", "upload", "a.txt"])
def test_a_message_is_its_subject_its_fields_and_its_text(filename: str) -> None:
    content = make_ole(message(FIELDS | {BODY: "Hallo,\r\n\r\ndie Flut kommt um sechs."}))

    check_readable(content, filename, CATALOG)
    document = parse(content, filename)

    assert_well_formed(document)
    assert document.title == "Größe der Flut"
    assert block_texts(document) == [
        ("heading", "Größe der Flut"),
        ("paragraph", "From: Ana Café <ana@sea.example>\nTo: Ben\nDate: 2026-03-03 09:00+00:00"),
        ("paragraph", "Hallo,"),
        ("paragraph", "die Flut kommt um sechs."),
    ]


def test_attachments_are_read_by_their_own_parsers() -> None:
    files = [attachment("übersicht.csv", b"grade,days\nA,30\n"), attachment("notes.md", b"# Ebb\n\nIt falls. " * 400)]

    blocks = block_texts(parse(make_ole(message(FIELDS | {BODY: "See below."}, files)), "a.msg"))

    assert ("heading", "übersicht.csv") in blocks
    assert ("table", "grade | days\nA | 30") in blocks
    assert ("heading", "notes.md") in blocks


def test_an_attached_message_is_read_with_its_attachments_and_a_picture_of_the_text_is_counted() -> None:
    inner = message({SUBJECT: "Ebb", BODY: "At noon."}, [attachment("b.txt", b"Low water.")], head_bytes=24)
    picture = attachment("logo.png", b"\x89PNG\r\n\x1a\n", hidden=1) | {
        "__substg1.0_370E001F": "image/png".encode("utf-16-le")
    }

    document = parse(make_ole(message(FIELDS | {BODY: "Fwd"}, [attached_message(inner), picture])), "a.msg")

    assert [text for kind, text in block_texts(document)[3:]] == ["Ebb.eml", "Ebb", "At noon.", "b.txt", "Low water."]
    assert document.omissions == (("images", 1),)


def test_a_page_is_read_if_there_is_no_plain_text() -> None:
    page = "<p>Flut um <b>sechs</b> – müde</p>".encode("cp1252")

    document = parse(make_ole(message(FIELDS | {HTML: page, BODY_CODE_PAGE: 1252})), "a.msg")

    assert block_texts(document)[-1] == ("paragraph", "Flut um sechs – müde")


def test_texts_in_a_code_page_are_decoded() -> None:
    fields = {SUBJECT: "Прилив", BODY: "Вода в шесть.", CODE_PAGE: 1251}

    document = parse(make_ole(message(fields, codec="cp1251")), "a.msg")

    assert document.title == "Прилив"
    assert "Вода в шесть." in document.text


def test_the_fields_of_the_network_win() -> None:
    headers = "Received: by mx\r\nFrom: Zoe <zoe@sea.example>\r\nDate: Tue, 03 Mar 2026 10:00:00 +0100\r\n"

    document = parse(make_ole(message(FIELDS | {HEADERS: headers, BODY: "Hi."})), "a.msg")

    assert block_texts(document)[1] == (
        "paragraph",
        "From: Zoe <zoe@sea.example>\nTo: Ben\nDate: 2026-03-03 10:00+01:00",
    )


def test_compressed_rich_text_is_unpacked() -> None:
    """The example of MS-OXRTFCP, 3.1.1.1."""
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )

    assert decompress(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("WordDocument", "a Word file before 2007; save it as .docx"),
        ("PowerPoint Document", "a PowerPoint file before 2007; save it as .pptx"),
        ("EncryptedPackage", "an encrypted Office file"),
        ("Sketch", "a file of Office before 2007"),
    ],
)
def test_old_and_encrypted_office_files_are_refused_at_upload(name: str, problem: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=problem) as caught:
        check_readable(make_ole({name: b"x" * 100}), "a.doc", CATALOG)

    assert caught.value.reason == "unsupported_file"


WHOLE = make_ole(message(FIELDS | {BODY: "Hallo"}, [attachment("a.txt", b"text" * 2000)]))


@pytest.mark.parametrize("size", [600, 1100, 2000, 4000])
def test_a_message_that_was_cut_short_is_one_error(size: int) -> None:
    with pytest.raises(UnreadableDocumentError, match=r"not a readable Outlook message|before 2007"):
        parse(WHOLE[:size], "a.msg")


def test_streams_that_share_their_bytes_are_refused() -> None:
    sizes = [90_000, *[5_000] * 20]
    content = bytearray(make_ole(message(FIELDS, [attachment(f"{size}.txt", b"y" * size) for size in sizes])))
    name = "__substg1.0_37010102".encode("utf-16-le")
    first = place = content.find(name)
    while place >= 0:  # each attachment is the first one
        content[place + 116 : place + 124] = content[first + 116 : first + 124]
        place = content.find(name, place + 1)

    with pytest.raises(UnreadableDocumentError, match="not a readable Outlook message"):
        parse(bytes(content), "a.msg")
