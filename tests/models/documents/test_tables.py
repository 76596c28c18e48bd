"""Merged cells: each value stands under the name of its column."""

from models.documents.tables import Cell, table_text


def row(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]


def names(*texts: str) -> list[Cell]:
    return [Cell(text, is_header=True) for text in texts]


def test_a_cell_over_rows_is_repeated_in_each() -> None:
    table = table_text(
        [names("Site", "Pump", "Flow"), [Cell("North", num_rows=2), Cell("P1"), Cell("7")], row("P2", "9")]
    )

    assert table.text == "Site | Pump | Flow\nNorth | P1 | 7\nNorth | P2 | 9"
    assert table.num_header_lines == 1


def test_a_cell_over_columns_leaves_their_places_empty() -> None:
    table = table_text(
        [names("Plan", "Seats", "Price"), [Cell("Trial", num_columns=2), Cell("0")], row("Team", "5", "40")]
    )

    assert table.text == "Plan | Seats | Price\nTrial |  | 0\nTeam | 5 | 40"


def test_a_cell_at_the_end_over_columns_keeps_the_row_as_wide_as_the_others() -> None:
    table = table_text(
        [names("Plan", "Seats", "Price"), [Cell("Fleet"), Cell("on request", num_columns=2)], row("A", "1", "2")]
    )

    assert [len(line.split("|")) for line in table.text.split("\n")] == [3, 3, 3]


def test_a_column_name_over_columns_is_repeated() -> None:
    top = [Cell("Region", num_rows=2, is_header=True), Cell("2025", num_columns=2, is_header=True)]

    table = table_text([top, names("Q1", "Q2"), row("EU", "3", "4")])

    assert table.text == "Region | 2025 | 2025\nRegion | Q1 | Q2\nEU | 3 | 4"
    assert table.num_header_lines == 2


def test_a_cell_over_rows_and_columns_takes_a_rectangle() -> None:
    block = Cell("closed", num_columns=2, num_rows=2)

    table = table_text([names("Day", "Am", "Pm", "Note"), [Cell("Sa"), block, Cell("x")], row("Su", "y")])

    assert table.text.split("\n")[1:] == ["Sa | closed |  | x", "Su | closed |  | y"]


def test_a_cell_hangs_down_at_the_end_of_a_short_row() -> None:
    table = table_text([names("a", "b", "c"), [Cell("1"), Cell("2"), Cell("all", num_rows=2)], row("3")])

    assert table.text.split("\n")[-1] == "3 |  | all"


def test_zero_rows_mean_all_rows_below() -> None:
    table = table_text([names("a", "b"), [Cell("all", num_rows=0), Cell("1")], row("2"), row("3")])

    assert table.text.split("\n")[1:] == ["all | 1", "all | 2", "all | 3"]


def test_a_row_without_cells_is_under_the_cells_above() -> None:
    table = table_text([names("a", "b"), [Cell("1", num_rows=2), Cell("2", num_rows=2)], [], row("3", "4")])

    assert table.text.split("\n")[1:] == ["1 | 2", "3 | 4"]


def test_empty_rows_and_columns_are_left_out() -> None:
    table = table_text([names("a", "", "b"), row("1", "", "2"), row("", "", "")])

    assert table.text == "a | b\n1 | 2"


def test_spans_that_claim_millions_of_cells_are_bounded() -> None:
    wide = [[Cell("x", num_columns=1_000, num_rows=65_534)] for _ in range(2_000)]

    table = table_text(wide)

    assert len(table.text) < 200_000


def test_a_bar_inside_a_cell_is_no_border() -> None:
    table = table_text([names("Name", "Pattern"), row("either", "a | b"), row("pipe", "|"), row("tight", "a|b")])

    assert table.text == "Name | Pattern\neither | a \\| b\npipe | \\|\ntight | a|b"
