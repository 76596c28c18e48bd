"""Mails: who, when, the text, and what is attached; no base64."""

import io
import zipfile
from email.message import EmailMessage

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 300


def mail(subject: str = "Tides", text: str = "The tide turns at six.\n") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Ana Café <ana@sea.example>", "ben@sea.example"
    message["Date"] = "Tue, 03 Mar 2026 10:00:00 +0100"
    message.set_content(text)
    return message


@pytest.mark.parametrize("filename", ["a.eml", "upload", "a.txt", "a.md"])
def test_a_mail_is_its_subject_its_fields_and_its_text(filename: str) -> None:
    document = parse(mail("Größe der Flut", "Hallo,\n\ndie Flut.\n\n- um sechs\n").as_bytes(), filename)

    assert_well_formed(document)
    assert document.title == "Größe der Flut"
    assert block_texts(document) == [
        ("heading", "Größe der Flut"),
        ("paragraph", "From: Ana Café <ana@sea.example>\nTo: ben@sea.example\nDate: 2026-03-03 10:00+01:00"),
        ("paragraph", "Hallo,"),
        ("paragraph", "die Flut."),
        ("list_item", "- um sechs"),
    ]


def test_attachments_are_read_by_their_own_parsers() -> None:
    message = mail()
    message.add_attachment(b"grade,days\nA,30\n", maintype="text", subtype="csv", filename="übersicht.csv")
    message.add_attachment(PNG, maintype="image", subtype="png", filename="photo.png")

    document = parse(message.as_bytes(), "a.eml")

    assert_well_formed(document)
    assert block_texts(document)[-2:] == [("heading", "übersicht.csv"), ("table", "grade | days\nA | 30")]
    assert document.omissions == (("files that no parser reads", 1),)
    assert "iVBOR" not in document.text


def test_of_alternatives_the_plain_text_is_read_unless_it_is_blank() -> None:
    full, blank = mail(), mail(text="\n")
    for message in (full, blank):
        message.add_alternative("<table><tr><th>Port</th></tr><tr><td>Rotterdam</td></tr></table>", subtype="html")

    assert "Rotterdam" not in parse(full.as_bytes(), "a.eml").text
    assert block_texts(parse(blank.as_bytes(), "a.eml"))[-1] == ("table", "Port\nRotterdam")


def test_a_forwarded_mail_and_an_attached_archive_are_read() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("notes/a.md", "# Ebb\n\nIt falls.")
    message, forwarded = mail(), mail("Fwd: Ebb", "The ebb is at noon.\n")
    message.add_attachment(forwarded)
    message.add_attachment(archive.getvalue(), maintype="application", subtype="zip", filename="a.zip")

    blocks = block_texts(parse(message.as_bytes(), "a.eml"))

    assert ("heading", "Fwd: Ebb") in blocks
    assert ("paragraph", "The ebb is at noon.") in blocks
    assert blocks[-3:] == [("heading", "notes/a.md"), ("heading", "Ebb"), ("paragraph", "It falls.")]


def test_encoded_files_inside_the_text_are_left_out() -> None:
    uuencoded = "begin 644 a.bin\n" + "M" + "!" * 60 + "\n#86)C\n`\nend\n"
    key = "\n".join(["MIIEpAIBAAKCAQEA" * 4] * 6)
    text = f"Before.\n\n{uuencoded}\nBetween.\n\n{key}\n\nbegin 644 ways to count\nAfter.\n"

    document = parse(mail(text=text).as_bytes(), "a.eml")

    assert "86)C" not in document.text
    assert "MIIE" not in document.text
    assert [text for _, text in block_texts(document)[2:]] == ["Before.", "Between.", "begin 644 ways to count\nAfter."]
    assert document.omissions == (("encoded files", 2),)


def test_flowed_lines_are_joined() -> None:
    head = b"From: a@b.c\nMIME-Version: 1.0\nContent-Type: text/plain; format=flowed\n\n"
    content = head + b"The tide \nturns.\n> Quoted \n> on.\n"

    assert parse(content, "a.eml").text.endswith("The tide turns.\n> Quoted > on.")


def test_charsets_are_read_as_declared() -> None:
    head = "Subject: =?gb2312?B?s7HPqw==?=\nFrom: a@b.c\nMIME-Version: 1.0\nContent-Type: text/plain; charset={}\n\n"

    for charset, text in (("shift_jis", "潮は六時"), ("koi8-r", "Прилив в шесть"), ("x-unknown", "Größe")):
        encoding = "utf-8" if charset == "x-unknown" else charset
        document = parse(head.format(charset).encode() + text.encode(encoding), "a.eml")
        assert (document.title, block_texts(document)[-1][1]) == ("潮汐", text)


def test_a_mailbox_is_its_mails() -> None:
    lines = b"From ana@sea.example Tue Mar  3 10:00:00 2026\n"
    mailbox = b"".join(lines + mail(subject).as_bytes() + b"\n" for subject in ("Ebb", "Flow"))

    headings = [text for kind, text in block_texts(parse(mailbox, "a.mbox")) if kind == "heading"]

    assert headings == ["mail 1.eml", "Ebb", "mail 2.eml", "Flow"]


def test_a_line_that_a_mailbox_has_quoted_is_read_as_it_was_written() -> None:
    line = b"From ana@sea.example Tue Mar  3 10:00:00 2026\n"
    body = b"Subject: Ebb\n\n>From here on it falls.\n>>From a quote.\n> From stays.\n"

    (text,) = [text for kind, text in block_texts(parse(line + body, "a.mbox")) if "falls" in text]

    assert text == "From here on it falls.\n>From a quote.\n> From stays."


def test_broken_fields_stay_as_they_are() -> None:
    content = b"Subject: =?utf-8?b?////?= =?x?q?a?=\nFrom: \xff\xfe\nDate: never\nMIME-Version: 1\n\nThe tide.\n"

    document = parse(content, "a.eml")

    assert_well_formed(document)
    assert document.text.endswith("Date: never\n\nThe tide.")


def test_a_mail_of_an_image_alone_has_no_text() -> None:
    message = EmailMessage()
    message.set_content(PNG, maintype="image", subtype="png", disposition="inline", filename="a.png")

    with pytest.raises(UnreadableDocumentError, match="no text"):
        parse(message.as_bytes(), "a.eml")
