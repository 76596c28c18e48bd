"""A Word file's archive: limits that do not depend on names."""

import pytest

from models.documents.parse import parse
from models.documents.parsers.docx import DocxConfig, DocxParser
from models.errors.requests import UnreadableDocumentError
from tests.models.documents.document_files import part, with_parts
from tests.models.documents.word.word_files import make_word, paragraph

LIMIT = 2**20
PARSER = DocxParser("docx", DocxConfig(max_xml_bytes=LIMIT))


@pytest.mark.parametrize("main_part", ["word/document.xml", "word/document.bin", "a/b"])
def test_a_bomb_is_refused_whatever_its_name(main_part: str) -> None:
    bomb = make_word(paragraph("tide " * (LIMIT // 5)), main_part=main_part)

    with pytest.raises(UnreadableDocumentError, match="more than 1,048,576 bytes of XML") as caught:
        PARSER.parse(bomb, "bomb.docx")

    assert len(bomb) < 10_000
    assert caught.value.reason == "invalid_file"


def test_all_parts_share_the_limit() -> None:
    half = paragraph("tide " * (LIMIT // 9))

    with pytest.raises(UnreadableDocumentError, match="bytes of XML"):
        PARSER.parse(make_word(half, {"footnotes": half}), "halves.docx")


def test_a_main_part_of_another_name_is_read() -> None:
    word = make_word(paragraph("The tide turns at six."), main_part="word/document2.bin")

    assert parse(word, "a.docx").text == "The tide turns at six."
    assert parse(word, "no-extension").text == "The tide turns at six."


def test_strict_open_xml_is_read() -> None:
    strict = make_word(paragraph("Strict."))
    transitional = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = PARSER.parse(strict, "a.docx")

    assert document.text == "Strict."
    assert transitional not in strict


def test_text_after_an_entity_is_read_and_the_entity_is_not_expanded() -> None:
    doctype = b'<!DOCTYPE d [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
    original = make_word(paragraph("Before #secret; and #secret; after.") + paragraph("Next."))
    main = doctype + part(original, "word/document.xml").replace(b"#", b"&")

    document = parse(with_parts(original, {"word/document.xml": main}), "a.docx")

    assert document.text == "Before &secret; and &secret; after.\n\nNext."
