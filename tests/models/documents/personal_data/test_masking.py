"""Personal data are masked in a whole document, wherever they stand in it, and nothing else is."""

import json

import pytest

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.documents.parse import parse
from models.documents.personal_data.masking import mask, mask_document
from models.enrichment.options import KINDS, IngestOptions, Kind
from models.errors.requests import UnreadableDocumentError
from models.location import Location
from models.tokens.text_tokenizer import WordTokenizer
from models.types.chunks import ParsedFile
from tests.hostile.caged import outcomes_of
from tests.models.documents.document_checks import assert_invariants, assert_well_formed
from tests.models.documents.personal_data.measure import measure

ALL = IngestOptions(masked=KINDS)
CHUNKING = ChunkingOptions()


def masked_text(text: str, *kinds: Kind) -> str:
    return mask(text, kinds or KINDS).text


def parse_masked(content: bytes, filename: str, chunking: ChunkingOptions = CHUNKING) -> ParsedFile:
    return FileParser(WordTokenizer())(content, filename, chunking, ALL)


def test_precision_and_recall_on_labelled_sentences() -> None:
    measured = measure()

    assert measured.precision() >= 0.97, measured.failures
    assert measured.recall() >= 0.97, measured.failures


def test_nothing_is_masked_that_the_store_does_not_ask_for() -> None:
    text = "Write to jane@example.com or call +49 30 901820."

    assert mask(text, ()).text == text
    assert masked_text(text, "email") == "Write to [EMAIL] or call +49 30 901820."
    assert masked_text(text, "phone") == "Write to jane@example.com or call [PHONE]."


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Call +49 170\n1234567 now", "Call [PHONE]\n now"),
        ("Mail jane.doe@\nexample.com now", "Mail [EMAIL]\n now"),
        ("Mail jane@example.\ncom now", "Mail [EMAIL]\n now"),
        ("IBAN DE89 3704 0044\n0532 0130 00 is right", "IBAN [IBAN]\n is right"),
        ("Card 4111 1111\n1111 1111 is right", "Card [CARD]\n is right"),
        ("Tel. 030 901820\nTel. 030 901821", "Tel. [PHONE]\nTel. [PHONE]"),
        ("030 9018200\n030 9018211\n030 9018222", "[PHONE]\n[PHONE]\n[PHONE]"),
        ("030 9018200 / 0170 1234567", "[PHONE] / [PHONE]"),
    ],
)
def test_data_are_found_across_line_breaks_and_lines_stay(text: str, masked: str) -> None:
    assert masked_text(text) == masked
    assert masked_text(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("４１１１ １１１１ １１１１ １１１１", "[CARD]"),
        ("jane＠example．com", "[EMAIL]"),
        ("Call +\u0664\u0669 \u0663\u0660 \u0669\u0660\u0661\u0668\u0662\u0660", "Call [PHONE]"),
        ("4111\u200d1111\u200c1111\u20601111", "[CARD]"),
        ("ja\u200dne@exam\ufe0fple.com", "[EMAIL]"),
        ("4111\u00a01111\u20091111\u202f1111", "[CARD]"),
        ("212\u2011555\u20110142", "[PHONE]"),
        ("\U0001d7d2111 1111 1111 1111", "[CARD]"),
        ("\u202e4111 1111 1111 1111\u202c", "\u202e[CARD]\u202c"),
    ],
)
def test_other_digits_and_signs_without_ink_hide_nothing(text: str, masked: str) -> None:
    assert masked_text(text) == masked


def test_a_document_keeps_its_blocks_and_places() -> None:
    content = "# Write to jane@example.com\n\nCall +49 170\n1234567 now.\n\n- max@example.org\n- last item\n"
    document = parse(content.encode(), "a.md")

    masked, counts = mask_document(document, KINDS)

    assert_well_formed(masked)
    texts = [masked.text[block.start : block.end] for block in masked.blocks]
    assert texts[0] == "Write to [EMAIL]"
    assert texts[-2:] == ["- [EMAIL]", "- last item"]
    assert masked.title == "Write to [EMAIL]"
    assert counts == (("email", 2), ("phone", 1))
    (piece,) = assert_invariants(masked, WordTokenizer(), CHUNKING)
    assert piece.text.endswith("last item")


def test_the_lines_of_a_text_are_counted_as_before() -> None:
    content = "alpha\nCall +49 170\n1234567 now.\n\nomega\n"

    (chunk,) = parse_masked(content.encode(), "a.txt", ChunkingOptions(max_tokens=64)).chunks

    omega = chunk.start + chunk.text.index("omega")
    plain = FileParser(WordTokenizer())(content.encode(), "a.txt", ChunkingOptions(max_tokens=64)).chunks[0]
    assert plain.source_map == chunk.source_map
    assert "[PHONE]" in chunk.text
    assert omega


FORMATS = {
    "a.txt": "Jane: jane@example.com",
    "a.md": "# Jane\n\n| Name | Mail |\n| --- | --- |\n| Jane | jane@example.com |\n",
    "a.html": "<title>jane@example.com</title><p>Write to <a href='mailto:jane@example.com'>jane@example.com</a></p>",
    "a.csv": "name,mail\nJane,jane@example.com\nMax,jane@example.com\n",
    "a.json": json.dumps({"mail": "jane@example.com", "age": 40}),
    "a.eml": "From: jane@example.com\nTo: max@example.org\nSubject: jane@example.com\n\nAsk jane@example.com.\n",
    "a.py": "# jane@example.com\ndef mail():\n    return 'jane@example.com'\n",
    "a.xml": "<a><mail>jane@example.com</mail></a>",
    "a.rtf": r"{\rtf1 Write to jane@example.com now.}",
}


@pytest.mark.parametrize("filename", FORMATS)
@pytest.mark.parametrize("strategy", ["", "static", "contextual_headers", "parent_child", "sentence_window"])
def test_no_format_and_no_chunking_lets_them_through(filename: str, strategy: str) -> None:
    parsed = parse_masked(FORMATS[filename].encode(), filename, ChunkingOptions(strategy=strategy))

    everything = [parsed.text, *(chunk.indexed_text for chunk in parsed.chunks), parsed.doubt, str(parsed.derived)]
    assert "example" not in " ".join(everything)
    assert "[EMAIL]" in parsed.text
    assert dict(parsed.masked)["email"] >= 1
    for chunk in parsed.chunks:
        assert chunk.text == parsed.text[chunk.start : chunk.end]


def test_the_name_of_a_column_tells_what_its_numbers_are() -> None:
    rows = "name,phone,order no,ssn\nJane,612345678,612345678,536904399\nMax,91 588 10 00,030 901820,123456789\n"

    parsed = parse_masked(rows.encode(), "a.csv")

    assert "Jane | [PHONE] | 612345678 | [NATIONAL_ID]" in parsed.text
    assert "Max | [PHONE] | 030 901820 | [NATIONAL_ID]" in parsed.text


def test_a_file_name_stays_out_of_the_header_of_a_chunk() -> None:
    chunking = ChunkingOptions(strategy="contextual_headers")

    parsed = parse_masked(b"the tide rises, and it falls again before noon", "letter jane@a.de.txt", chunking)

    assert "jane" not in parsed.chunks[0].context


def test_an_error_does_not_quote_personal_data() -> None:
    class Quoting:
        def __getattr__(self, name: str) -> object:
            raise UnreadableDocumentError("a.txt", "invalid_file", "line 1 has jane@example.com")

    with pytest.raises(UnreadableDocumentError) as failure:
        FileParser(WordTokenizer(), Quoting())(b"text", "a.txt", CHUNKING, ALL)  # type: ignore[arg-type]

    assert failure.value.detail == "line 1 has [EMAIL]"


def test_the_name_of_a_sheet_is_masked() -> None:
    from models.location import Anchor

    document = Document("a", (), anchors=(Anchor(0, Location("row", 1, 1, "jane@example.com")),))

    masked, _ = mask_document(document, KINDS)

    assert masked.anchors[0].location == Location("row", 1, 1, "[EMAIL]")


def test_a_file_of_personal_data_alone_is_still_a_file() -> None:
    parsed = parse_masked(b"jane@example.com", "a.txt")

    assert parsed.text == "[EMAIL]"
    assert [chunk.text for chunk in parsed.chunks] == ["[EMAIL]"]


HOSTILE = {
    "at signs": "@",
    "addresses without an end": "a@",
    "letters": "a",
    "dots": "a.",
    "digits": "1",
    "spaced digits": "1 ",
    "groups of a card": "4444 ",
    "pluses": "+1 ",
    "numbers": "+49 30 1234567 ",
    "trunks": "0123 4567890 ",
    "lines of digits": "1\n",
    "colons": ":",
    "groups of an address": "a:",
    "parts of an address": "1.",
    "beginnings of an account": "DE89 ",
    "brackets": "a [at] ",
    "joiners": "\u200d1",
    "full-width digits": "１",
    "phones": "tel ",
    "cells": "1 | ",
    "identities": "AB12",
    "mails": "jane@example.com,",
    "open brackets": "((((",
    "dates": "1 may ",
}
SIZE = 30_000  # a quadratic pattern breaks the limit; the time of a linear one is some 0.2 s a kind
CHILD = f"""
import json
from models.documents.derived.dates import dates_in
from models.documents.derived.keywords import keywords_of
from models.documents.personal_data.masking import mask
from models.enrichment.options import KINDS
from models.enrichment.sketch import sketch_of
from models.languages.file_language import file_language
from tests.models.documents.personal_data.test_masking import HOSTILE

for kind, unit in HOSTILE.items():
    text = unit * ({SIZE} // len(unit))
    masked = mask(text, KINDS)
    file_language(text), dates_in(text), keywords_of(text, 8), sketch_of(text)
    print(json.dumps([kind, len(masked.text)]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int | str]:
    """The length of each masked text, as far as a child with limits came."""
    return outcomes_of(CHILD, 60)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_end_within_the_limits(outcomes: dict[str, int | str], kind: str) -> None:
    assert int(outcomes[kind]) > 0
