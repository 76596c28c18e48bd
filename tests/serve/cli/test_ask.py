"""`ragserve ask` names the place of each quote."""

from serve.cli.ask.command import source_of

CITATION = {"filename": "manual.pdf", "start": 10, "end": 20}


def test_a_source_is_the_file_and_its_page_if_it_has_pages() -> None:
    page = {"page": 3, "last_page": 3, "label": "page 3"}

    assert source_of(CITATION | {"location": page}) == "manual.pdf, page 3"
    assert source_of(CITATION | {"location": None}) == source_of(CITATION) == "manual.pdf (10-20)"
