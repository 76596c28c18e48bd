"""Tables of a page."""

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from models.documents.html_inline import Format, Omits, line_of
from models.documents.tables import Cell, TableText, table_text

ROW_GROUPS = frozenset(["thead", "tbody", "tfoot"])
MAX_SPAN_DIGITS = 6
LAYOUT_CONTENT = "h1, h2, h3, h4, h5, h6, pre"


def read_table(table: LexborNode, omits: Omits, text_format: Format) -> TableText:
    """The rows of a table as text."""
    rows = list(_rows(table))
    cells = [[_cell(cell, omits, text_format) for cell in _cells(row) if not omits(cell)] for row in rows]
    num_in_head = sum(row.parent is not None and row.parent.tag == "thead" for row in rows)
    return table_text(cells, num_in_head or None)


def is_layout(table: LexborNode) -> bool:
    """Whether a table is for layout: by its role, or because it has headings, code or a single cell."""
    if table.attributes.get("role") in ("presentation", "none"):
        return True
    num_cells = sum(1 for row in _rows(table) for _ in _cells(row))
    return num_cells < 2 or table.css_first(LAYOUT_CONTENT) is not None


def _cell(cell: LexborNode, omits: Omits, text_format: Format) -> Cell:
    text = line_of(cell, omits, text_format.inside(cell))
    return Cell(text, _span(cell, "colspan"), _span(cell, "rowspan"), cell.tag == "th")


def _span(cell: LexborNode, name: str) -> int:
    value = (cell.attributes.get(name) or "").strip()
    return int(value) if value.isdecimal() and len(value) <= MAX_SPAN_DIGITS else 1


def _rows(table: LexborNode) -> Iterator[LexborNode]:
    for child in table.iter():
        if child.tag == "tr":
            yield child
        elif child.tag in ROW_GROUPS:
            yield from (row for row in child.iter() if row.tag == "tr")


def _cells(row: LexborNode) -> Iterator[LexborNode]:
    return (cell for cell in row.iter() if cell.tag in ("td", "th"))
