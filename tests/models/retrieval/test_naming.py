"""What names the file of a passage."""

from models.retrieval.naming import names_of
from models.types.chunks import Passage


def passage(file_id: str, start: int, text: str, **attributes: str | int | bool) -> Passage:
    return Passage(start, f"c{start}", file_id, f"{file_id}_lease.pdf", text, start, start + len(text), "", attributes)


def test_name_attributes_and_beginning_name_every_passage_of_a_file() -> None:
    head, clause = passage("a", 0, "Contract with Baker", year=2024, signed=True), passage("a", 900, "The notice")
    other = passage("b", 900, "The notice", **{"auto.keywords": "notice", "auto.title": "Lease of Cook"})

    names = names_of([clause, head, other])

    assert names == [
        "a lease.pdf Contract with Baker",
        "a lease.pdf 2024 Contract with Baker",
        "b lease.pdf Lease of Cook",
    ]


def test_nothing_names_nothing() -> None:
    assert names_of([]) == []
