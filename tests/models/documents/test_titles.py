"""A default title is no title."""

import pytest

from models.documents.builder import DocumentBuilder
from models.documents.titles import title_of


@pytest.mark.parametrize(
    "title",
    [
        *("Word Document", "Document1", "untitled", "Untitled document", "PowerPoint Presentation", "Dokument 3"),
        *(
            "Unbenannt",
            "(anonymous)",
            "q3_final2.docx",
            "C:\\Users\\Ana\\My report.doc",
            "无标题",
            "Microsoft Word - Document2",
        ),
    ],
)
def test_a_title_by_default_is_none(title: str) -> None:
    assert title_of(title) == ""


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ("Microsoft Word - Annual report 2023.docx", "Annual report 2023"),
        ("Document management  handbook", "Document management handbook"),
        ("Presentation skills", "Presentation skills"),
        ("Node.js in ten steps", "Node.js in ten steps"),
    ],
)
def test_a_title_of_its_own_stays(metadata: str, title: str) -> None:
    assert title_of(metadata) == title


def test_the_only_heading_replaces_a_default_title() -> None:
    builder = DocumentBuilder()
    builder.title = "Word Document"
    builder.add("heading", "Rules of the pool", 1)

    assert builder.build().title == "Rules of the pool"
