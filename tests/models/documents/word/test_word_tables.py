"""Tables of Word files with merged cells."""

from tests.models.documents.document_checks import block_texts
from tests.models.documents.word.word_files import cell, paragraph, read_body, table

TOP, BELOW, WIDE = '<w:vMerge w:val="restart"/>', "<w:vMerge/>", '<w:gridSpan w:val="2"/>'


def test_a_cell_over_rows_stands_in_each_and_one_over_columns_keeps_its_place() -> None:
    document = read_body(
        table(
            [cell("Plan"), cell("Seats"), cell("Price")],
            [cell("Team", TOP), cell("5"), cell("40")],
            [cell("", BELOW), cell("9"), cell("70")],
            [cell("Free", WIDE), cell("0")],
        )
    )

    assert block_texts(document) == [("table", "Plan | Seats | Price\nTeam | 5 | 40\nTeam | 9 | 70\nFree |  | 0")]


def test_a_block_of_merged_cells_moves_nothing() -> None:
    document = read_body(
        table(
            [cell("a"), cell("b"), cell("c"), cell("d")],
            [cell("1"), cell("both", TOP + WIDE), cell("4")],
            [cell("5"), cell("", BELOW + WIDE), cell("8")],
        )
    )

    assert document.text.split("\n")[2].split(" | ") == ["5", "both", "", "8"]


def test_a_merged_cell_without_a_first_is_its_own() -> None:
    document = read_body(table([cell("a"), cell("b")], [cell("1"), cell("2")], [cell("3", BELOW + WIDE)]))

    assert document.text == "a | b\n1 | 2\n3 |"


def test_hidden_rows_are_left_out_and_counted() -> None:
    hidden = f"<w:tr><w:trPr><w:hidden/></w:trPr>{cell('secret')}{cell('1')}</w:tr></w:tbl>"

    document = read_body(table([cell("a"), cell("b")]).replace("</w:tbl>", hidden))

    assert document.text == "a | b"
    assert document.omissions == (("hidden passages", 1),)


def test_a_table_of_a_single_cell_is_a_frame_around_text() -> None:
    document = read_body(table([f"<w:tc>{paragraph('Warning.')}{paragraph('Hot.')}</w:tc>"]))

    assert block_texts(document) == [("paragraph", "Warning."), ("paragraph", "Hot.")]


def test_the_first_row_names_the_columns() -> None:
    document = read_body(table([cell("Port"), cell("Fee")], [cell("Harwich"), cell("40")]))

    (block,) = document.blocks
    assert document.text[: block.names_end].strip() == "Port | Fee"
