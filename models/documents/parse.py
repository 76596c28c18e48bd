"""From a file to its text, and that of the files inside it. The content chooses the parser; among texts, the name."""

from models.documents.base import Document
from models.documents.kinds import DocumentKinds, built_in_kinds
from models.documents.members import MemberJoiner
from models.documents.ocr.pages import begin_file
from models.documents.parsers.base import Container, Member
from models.documents.text import is_visible
from models.errors.requests import UnreadableDocumentError

UNREADABLE, NESTED = "files that no parser reads", "files inside inner archives"
MAX_DEPTH = 2  # a mail, its attached mail, and what is attached to that


def parse(content: bytes, filename: str, kinds: DocumentKinds | None = None) -> Document:
    """The document in a file, read by a parser of `kinds`, or of the built-in catalog.

    Raises UnreadableDocumentError with reason unsupported_file if no parser fits, and invalid_file if the file is
    broken, encrypted, nested too deeply or without text.
    """
    begin_file()
    try:
        document = _read(content, filename, kinds or built_in_kinds())
    except RecursionError as error:
        detail = "nested too deeply; save it in a simpler way"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    if not document.blocks or not is_visible(document.text):
        raise UnreadableDocumentError(filename, "invalid_file", _without_text(document))
    return document


def _without_text(document: Document) -> str:
    """What to say of a file without text: what was left out of it, if anything was."""
    if not document.omissions:
        return "no text in it; upload a file with text (a web page filled in by scripts must be saved from a browser)"
    omissions = ", ".join(f"{number} {name}" for name, number in document.omissions)
    return f"no text in it but what is left out: {omissions}; upload those by themselves, in a form that can be read"


def _read(content: bytes, filename: str, kinds: DocumentKinds, around: tuple[Container, ...] = ()) -> Document:
    """A document, and those of its members. `around`: the containers that it is in, outermost first."""
    parser = kinds.parser_for(content, filename)
    document = parser.parse(content, filename)
    if not isinstance(parser, Container):
        return document
    is_refused = len(around) >= MAX_DEPTH or (parser.is_archive and any(outer.is_archive for outer in around))
    joiner = MemberJoiner(document)
    for member in parser.members(content, filename):
        if is_refused:
            joiner.omit(NESTED)
        else:
            _add(member, joiner, kinds, (*around, parser))
    return joiner.build()


def _add(member: Member, joiner: MemberJoiner, kinds: DocumentKinds, around: tuple[Container, ...]) -> None:
    """The member's text, or a count of what was left out: one bad file does not spoil the others."""
    if member.content is None:
        joiner.omit(member.omission)
        return
    try:
        joiner.add(member.path, _read(member.content, member.path, kinds, around))
    except (UnreadableDocumentError, RecursionError):
        joiner.omit(UNREADABLE)
