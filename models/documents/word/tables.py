"""Merged cells of Word tables as cells that span rows."""

from dataclasses import dataclass

from models.documents.tables import Cell, TableText, table_text


@dataclass
class WordCell:
    """A cell of a row. `continues`: it is merged with the cell above it. `num_rows` counts the cells merged so far."""

    text: str
    num_columns: int = 1
    continues: bool = False
    is_header: bool = False
    num_rows: int = 1


def word_table_text(rows: list[list[WordCell]]) -> TableText:
    """The table as text. Word states merged cells in each row; here the first of them spans the rows."""
    above: dict[int, WordCell] = {}
    merged: list[list[WordCell]] = []
    for row in rows:
        cells: list[WordCell] = []
        below: dict[int, WordCell] = {}
        column = 0
        for cell in row:
            top = above.get(column) if cell.continues else None
            if top is not None and top.num_columns == cell.num_columns:
                top.num_rows += 1
                below[column] = top
            else:
                cells.append(cell)
                below[column] = cell
            column += cell.num_columns
        above = below
        merged.append(cells)
    return table_text([[_cell(cell) for cell in row] for row in merged])


def _cell(cell: WordCell) -> Cell:
    return Cell(cell.text, cell.num_columns, cell.num_rows, cell.is_header)
