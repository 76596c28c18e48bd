"""Parsers and chunkers of the user's own, named in an extra catalog and used end to end by parse and chunk."""

import pickle
from pathlib import Path

import pytest
from document_files import make_pdf, text_at
from pydantic import BaseModel, ConfigDict

from models.catalog import Catalog
from models.documents.base import Block, Document
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.kinds import DocumentKinds
from models.documents.parse import parse
from models.errors.configuration import ConfigError
from models.errors.requests import UnreadableDocumentError
from models.tokens.text_tokenizer import Tokenizer, WordTokenizer
from models.types.chunks import Chunk

SENTENCE = "The tide turns."
MAIL = b"From sea\n" + SENTENCE.encode()


class MailConfig(BaseModel):
    """Options of the test's own parser."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    first_line: int = 1


class MailParser:
    """Reads text below its header lines."""

    config_class = MailConfig

    def __init__(self, name: str, config: MailConfig) -> None:
        self._first_line = config.first_line
        self.unpicklable = lambda: name

    def recognizes(self, content: bytes) -> bool:
        return content.startswith(b"From ")

    def parse(self, content: bytes, filename: str) -> Document:
        text = "\n".join(content.decode().split("\n")[self._first_line :])
        return Document(text, (Block("paragraph", 0, len(text)),), title="mail")


class WordsConfig(BaseModel):
    """Options of the test's own chunker."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    context: str


class WordChunker:
    """Makes a chunk of each word."""

    config_class = WordsConfig

    def __init__(self, name: str, config: WordsConfig) -> None:
        self._context = config.context

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        starts = [0, *(place + 1 for place, character in enumerate(document.text) if character == " ")]
        words = zip(starts, document.text.split(" "), strict=True)
        return [Chunk(word, start, start + len(word), self._context, 1) for start, word in words]


def catalog(folder: Path, parsing: str = "", chunking: str = "") -> Catalog:
    path = folder / "catalog.yaml"
    path.write_text(f"parsing:\n{parsing}\nchunking:\n{chunking}\n")
    return Catalog.open(path)


MAIL_ENTRY = f"  mail: {{kind: '{__name__}:MailParser', extensions: [.eml], options: {{first_line: 1}}}}\n"
WORDS_ENTRY = f"  words: {{kind: '{__name__}:WordChunker', options: {{context: sea}}}}\n"


def test_a_parser_and_a_chunker_of_the_users_own_read_a_file(tmp_path: Path) -> None:
    kinds = DocumentKinds(catalog(tmp_path, MAIL_ENTRY, WORDS_ENTRY), "words")

    document = parse(MAIL, "note.eml", kinds)
    chunks = chunk(document, WordTokenizer(), ChunkingOptions(), kinds)

    assert (document.text, document.title) == (SENTENCE, "mail")
    assert [(piece.text, piece.context) for piece in chunks] == [("The", "sea"), ("tide", "sea"), ("turns.", "sea")]


def test_kinds_in_use_can_be_pickled_whatever_a_parser_holds(tmp_path: Path) -> None:
    kinds = DocumentKinds(catalog(tmp_path, MAIL_ENTRY, WORDS_ENTRY), "words")
    document = parse(MAIL, "note.eml", kinds)

    copied = pickle.loads(pickle.dumps(kinds))

    assert parse(MAIL, "note.eml", copied) == document


def test_a_parser_of_the_users_own_is_the_first_to_recognize_content(tmp_path: Path) -> None:
    kinds = DocumentKinds(catalog(tmp_path, MAIL_ENTRY))

    assert parse(MAIL, "upload", kinds).title == "mail"
    assert parse(MAIL, "upload").text == MAIL.decode()


def test_an_extension_in_the_extra_catalog_is_taken_from_the_built_in_parser(tmp_path: Path) -> None:
    entry = MAIL_ENTRY.replace(".eml", ".txt")

    extended = catalog(tmp_path, entry)

    assert extended.extensions()[".txt"] == "mail"
    assert extended.extensions()[".rst"] == "plain-text"
    assert parse(MAIL, "note.txt", DocumentKinds(extended)).title == "mail"


def test_an_entry_with_a_built_in_alias_replaces_it(tmp_path: Path) -> None:
    kinds = DocumentKinds(catalog(tmp_path, "  pdf: {kind: pdf, extensions: [.pdf], options: {max_pages: 1}}\n"))
    two_pages = make_pdf([text_at(72, 700, SENTENCE), text_at(72, 700, SENTENCE)])

    with pytest.raises(UnreadableDocumentError, match="2 pages; at most 1 are allowed"):
        parse(two_pages, "a.pdf", kinds)


def test_two_parsers_of_one_file_with_the_same_extension_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"catalog.parsing.post.extensions.*.eml belongs to 'mail' already"):
        catalog(tmp_path, MAIL_ENTRY + MAIL_ENTRY.replace("mail:", "post:"))


@pytest.mark.parametrize(
    ("parsing", "problem"),
    [
        ("  mail: {kind: mbox}", "catalog.parsing.mail: unknown kind 'mbox'; it is one of archive, docx, epub, html"),
        ("  mail: {kind: pdf, extensions: [EML]}", "catalog.parsing.mail.extensions.0"),
        ("  mail: {kind: pdf, licence: MIT}", "catalog.parsing.mail.licence: unknown key"),
        ("  mail: 7", "catalog.parsing.mail: must be a mapping of kind, note, options, extensions"),
    ],
)
def test_a_wrong_parsing_entry_is_refused(tmp_path: Path, parsing: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        catalog(tmp_path, parsing)

    assert problem in str(caught.value)


def test_wrong_options_of_a_parser_are_refused(tmp_path: Path) -> None:
    wrong = catalog(tmp_path, "  pdf: {kind: pdf, options: {max_page: 3}}\n")

    with pytest.raises(ConfigError, match=r"catalog.parsing.pdf.options.max_page.*did you mean 'max_pages'"):
        wrong.config("parsing", "pdf")


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    kinds = DocumentKinds(catalog(tmp_path, "  mail: {kind: 'no_such_module:Mail', extensions: [.eml]}\n"))

    with pytest.raises(ConfigError, match=r"catalog.parsing.mail.*'no_such_module' cannot be imported"):
        parse(MAIL, "note.eml", kinds)


def test_an_unknown_chunker_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"catalog.chunking: no entry named 'words'"):
        chunk(Document("", ()), WordTokenizer(), ChunkingOptions(), DocumentKinds(Catalog.open(), "words"))
