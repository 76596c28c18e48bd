"""A Word file as a document: paragraphs, headings, lists, tables and notes in their order on the page."""

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.office.package import OfficePackage, package_title
from models.documents.text import one_line
from models.documents.word.inline import DELETIONS, HIDDEN_PASSAGES, PAGE_NUMBER, InlineReader, Reference
from models.documents.word.notes import Notes, running_parts
from models.documents.word.numbering import Numbering
from models.documents.word.styles import Styles
from models.documents.word.tables import WordCell, word_table_text
from models.documents.word.xml import CELL, PARAGRAPH, ROW, TABLE, Element, child, is_on, number, outermost, value

BLOCKS = frozenset([PARAGRAPH, TABLE])
PAGE_NUMBERS = "page numbers"


def read_word(package: OfficePackage) -> Document:
    """The document. Raises KeyError for a package without a document, and the errors of zipfile and lxml."""
    main_part = package.related("", "officeDocument") or "word/document.xml"
    body = child(package.root(main_part), "w:body")
    if body is None:
        raise KeyError("w:body")
    reader = _Reader(package, main_part, body)
    reader.running("header")
    reader.blocks(body)
    reader.running("footer")
    return reader.builder.build()


class _Reader:
    """Reads blocks in order: numbers of lists and notes depend on what came before."""

    def __init__(self, package: OfficePackage, main_part: str, body: Element) -> None:
        self.builder = DocumentBuilder()
        self._package, self._main_part, self._body = package, main_part, body
        parts = {
            link.kind: package.optional(link.target)
            for link in package.relationships(main_part)
            if link.kind in ("styles", "numbering")
        }
        self._styles = Styles(parts.get("styles"))
        self._numbering = Numbering(parts.get("numbering"), self._styles)
        self._notes = Notes(package, main_part, body)
        self._inline = InlineReader(self._styles, self._notes.mark)
        self._pending: list[Reference] = []
        self.builder.title = package_title(package)

    def blocks(self, parent: Element) -> None:
        for element in outermost(parent, BLOCKS):
            if element.tag == PARAGRAPH:
                self._paragraph(element)
            else:
                self._table(element)
            self._append_notes()

    def running(self, kind: str) -> None:
        """Headers or footers, each text once, without the numbers of pages."""
        lines: dict[str, None] = {}
        for root in running_parts(self._package, self._main_part, self._body, kind):
            for paragraph in outermost(root, frozenset([PARAGRAPH])):
                lines.update(dict.fromkeys(self._without_page_number(self._text(paragraph))))
        self.builder.add("paragraph", "\n".join(filter(None, lines)))

    def _without_page_number(self, text: str) -> list[str]:
        """The lines of a header. A header has up to three parts, left, centred and right, with tabs between."""
        pieces = [piece for line in text.split("\n") for piece in line.split("\t")]
        numbered = [piece for piece in pieces if PAGE_NUMBER in piece]
        self.builder.omit(PAGE_NUMBERS, len(numbered))
        return [one_line(piece) for piece in pieces if PAGE_NUMBER not in piece]

    def _text(self, paragraph: Element) -> str:
        read = self._inline.read(paragraph)
        self._pending += read.references
        for reason, count in read.omissions.items():
            self.builder.omit(reason, count)
        return read.text

    def _paragraph(self, paragraph: Element) -> None:
        text = self._text(paragraph).replace(PAGE_NUMBER, "")
        label = self._numbering.label(paragraph)
        level = self._styles.heading_level(paragraph)
        if "title" in self._styles.names_of(paragraph) and text.strip():
            self.builder.title = text
        if not text.strip():
            return
        if level:
            self.builder.add("heading", one_line(f"{label.text if label else ''} {text}"), level)
        elif label:
            self.builder.add("list_item", f"{label.text or '-'} {text.strip()}", indent=2 * label.depth)
        else:
            self.builder.add("paragraph", text)

    def _table(self, table: Element) -> None:
        rows = [row for row in outermost(table, frozenset([ROW])) if not self._omits(row)]
        cells = [list(outermost(row, frozenset([CELL]))) for row in rows]
        if sum(map(len, cells)) == 1:  # a frame around text
            self.blocks(cells[0][0])
            return
        grid = [self._row(row, row_cells) for row, row_cells in zip(rows, cells, strict=True)]
        self.builder.add_table(word_table_text(grid))

    def _omits(self, row: Element) -> bool:
        for path, reason in (("w:trPr/w:hidden", HIDDEN_PASSAGES), ("w:trPr/w:del", DELETIONS)):
            if is_on(row, path):
                self.builder.omit(reason)
                return True
        return False

    def _row(self, row: Element, cells: list[Element]) -> list[WordCell]:
        skipped = number(row, "w:trPr/w:gridBefore") or 0
        before = [WordCell("", skipped)] if skipped else []
        is_header = bool(is_on(row, "w:trPr/w:tblHeader"))
        return before + [self._cell(cell, is_header) for cell in cells]

    def _cell(self, cell: Element, is_header: bool) -> WordCell:
        continues = child(cell, "w:tcPr/w:vMerge") is not None and value(cell, "w:tcPr/w:vMerge") != "restart"
        text = one_line("\n".join(self._cell_line(paragraph) for paragraph in outermost(cell, frozenset([PARAGRAPH]))))
        return WordCell(text, number(cell, "w:tcPr/w:gridSpan") or 1, continues, is_header)

    def _cell_line(self, paragraph: Element) -> str:
        text = self._text(paragraph).replace(PAGE_NUMBER, "")
        label = self._numbering.label(paragraph)
        return f"{label.text} {text}" if label and text.strip() else text

    def _append_notes(self) -> None:
        """Each note after the paragraph or table of its mark, where a reader of the passage needs it."""
        while self._pending:
            note = self._notes.pop(self._pending.pop(0))
            if note is not None:
                label, element = note
                lines = [self._text(paragraph).strip() for paragraph in outermost(element, frozenset([PARAGRAPH]))]
                self.builder.add("paragraph", label + "\n".join(filter(None, lines)))
