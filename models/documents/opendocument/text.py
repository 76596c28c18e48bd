"""The blocks of an OpenDocument text, or of a text box: paragraphs, headings, lists, tables and notes."""

from models.documents.builder import DocumentBuilder
from models.documents.opendocument.inline import (
    COMMENT,
    FRAME,
    HIDDEN_PASSAGES,
    NOTE,
    TextFormat,
    note_mark,
    read_inline,
)
from models.documents.opendocument.names import name, number
from models.documents.tables import Cell, TableText, table_text
from models.documents.text import one_line
from models.documents.word.xml import Element

DELETIONS, CONTENTS, PICTURES = "tracked deletions", "tables of contents", "pictures"
MAX_REPEATED = 100
INDEXES = frozenset(map(name, ("text:table-of-content", "text:alphabetical-index", "text:illustration-index")))
GROUPS = frozenset(map(name, ("text:section", "text:index-body", "draw:text-box", "draw:g", "text:numbered-paragraph")))


class TextReader:
    """Reads the children of an element in order."""

    def __init__(self, builder: DocumentBuilder, formats: dict[str, TextFormat]) -> None:
        self._builder, self._formats = builder, formats

    def blocks(self, parent: Element) -> None:
        for element in parent.iterchildren():
            if isinstance(element.tag, str):
                self._block(element)

    def _block(self, element: Element) -> None:
        tag = element.tag
        if tag == name("text:h"):
            self._heading(element)
        elif tag == name("text:p"):
            self._paragraph(element)
        elif tag == name("text:list"):
            self._list(element, 0)
        elif tag == name("table:table"):
            self._builder.add_table(self.table(element))
        elif tag == name("text:tracked-changes"):
            self._builder.omit(DELETIONS, sum(1 for _ in element.iter(name("text:deletion"))))
        elif tag in INDEXES:
            self._builder.omit(CONTENTS)
        elif tag == FRAME:
            self.frame(element)
        elif tag in GROUPS:
            if element.get(name("text:display")) == "none":
                self._builder.omit(HIDDEN_PASSAGES)
            else:
                self.blocks(element)

    def frame(self, frame: Element) -> None:
        box = frame.find(name("draw:text-box"))
        table = frame.find(name("table:table"))
        if box is not None:
            self.blocks(box)
        elif table is not None:
            self._builder.add_table(self.table(table))
        elif frame.find(name("draw:image")) is not None:
            self._builder.omit(PICTURES)

    def _heading(self, element: Element) -> None:
        text, after = self._read(element)
        level = min(max(number(element.get(name("text:outline-level"))), 1), 6)
        self._builder.add("heading", one_line(text), level)
        self._append(after)

    def _paragraph(self, element: Element) -> None:
        text, after = self._read(element)
        self._builder.add("paragraph", text)
        self._append(after)

    def _list(self, element: Element, depth: int) -> None:
        for item in element.iterchildren(name("text:list-item"), name("text:list-header")):
            for child in item.iterchildren(name("text:p"), name("text:h"), name("text:list")):
                if child.tag == name("text:list"):
                    self._list(child, depth + 1)
                elif child.tag == name("text:h"):
                    self._heading(child)
                else:
                    text, after = self._read(child)
                    if text.strip():
                        self._builder.add("list_item", f"- {text.strip()}", indent=2 * depth)
                    self._append(after)

    def _read(self, paragraph: Element) -> tuple[str, list[Element]]:
        read = read_inline(paragraph, self._formats)
        for reason, count in read.omissions.items():
            self._builder.omit(reason, count)
        return read.text, read.after

    def _append(self, after: list[Element]) -> None:
        """Notes, comments and text boxes, after the paragraph that they are anchored to."""
        for element in after:
            if element.tag == FRAME:
                self.frame(element)
            elif element.tag == NOTE:
                body = element.find(name("text:note-body"))
                self._builder.add("paragraph", f"{note_mark(element)}: {self._lines(body)}")
            elif element.tag == COMMENT:
                author = element.find(name("dc:creator"))
                by = "unknown" if author is None else one_line(author.text or "") or "unknown"
                self._builder.add("paragraph", f"Comment by {by}: {self._lines(element)}")

    def _lines(self, parent: Element | None) -> str:
        paragraphs = [] if parent is None else list(parent.iter(name("text:p")))
        return "\n".join(filter(None, (self._read(paragraph)[0].strip() for paragraph in paragraphs)))

    def table(self, table: Element) -> TableText:
        rows: list[list[Cell]] = []
        num_names = 0
        for row in table.iter(name("table:table-row")):
            cells = self._cells(row)
            parent = row.getparent()
            in_head = parent is not None and parent.tag == name("table:table-header-rows")
            for _ in range(min(number(row.get(name("table:number-rows-repeated"))), MAX_REPEATED)):
                rows.append(cells)
                num_names += in_head
        return table_text(rows, num_names or None)

    def _cells(self, row: Element) -> list[Cell]:
        cells: list[Cell] = []
        for cell in row.iterchildren(name("table:table-cell")):
            text = one_line(self._lines(cell))
            columns = number(cell.get(name("table:number-columns-spanned")))
            num_rows = number(cell.get(name("table:number-rows-spanned")))
            repeated = min(number(cell.get(name("table:number-columns-repeated"))), MAX_REPEATED)
            cells.extend([Cell(text, columns, num_rows)] * repeated)
        return cells
