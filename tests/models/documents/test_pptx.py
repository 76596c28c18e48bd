"""Presentations: each slide under its title, in reading order, with tables, charts and notes."""

import io

import pytest
from document_checks import assert_well_formed, block_texts
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

TITLE_AND_TEXT, TITLE_ONLY, BLANK = 1, 5, 6


def saved(presentation) -> bytes:  # type: ignore[no-untyped-def]
    content = io.BytesIO()
    presentation.save(content)
    return content.getvalue()


@pytest.mark.parametrize("filename", ["a.pptx", "a.txt", "upload"])
def test_a_slide_is_its_title_its_list_and_its_notes(filename: str) -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[TITLE_AND_TEXT])
    slide.shapes.title.text = "Tides"
    frame = slide.placeholders[1].text_frame
    frame.text = "High water"
    run = frame.add_paragraph().add_run()
    run.text, run.font._element.attrib["strike"] = "at six", "sngStrike"
    slide.notes_slide.notes_text_frame.text = "Say when."

    document = parse(saved(presentation), filename)

    assert_well_formed(document)
    assert block_texts(document) == [
        ("heading", "Tides"),
        ("list_item", "- High water"),
        ("list_item", "- ~~at six~~"),
        ("paragraph", "Notes: Say when."),
    ]


def test_shapes_are_read_by_their_place_and_tables_with_merged_cells() -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[TITLE_ONLY])
    table = slide.shapes.add_table(3, 2, Inches(1), Inches(5), Inches(4), Inches(1)).table
    for row, texts in enumerate((("Port", "Depth"), ("Brest", "12"), ("", "14"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    for text, left, top in (("right", 5, 3), ("left", 1, 3.05), ("above", 2, 1.5)):
        slide.shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(1)).text_frame.text = text
    slide.shapes.title.text = "Ports"

    assert [text for _, text in block_texts(parse(saved(presentation), "a.pptx"))] == [
        *("Ports", "above", "left", "right"),
        "Port | Depth\nBrest | 12\nBrest | 14",
    ]


def test_a_chart_is_the_table_that_it_is_drawn_from() -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[BLANK])
    figures = CategoryChartData()
    figures.categories = ["Brest", "Faro"]
    figures.add_series("Depth", (12, 7.5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(3), Inches(3), figures)

    assert block_texts(parse(saved(presentation), "a.pptx")) == [
        ("heading", "Slide 1"),
        ("table", "| Depth\nBrest | 12\nFaro | 7.5"),
    ]


def test_hidden_slides_are_counted() -> None:
    presentation = Presentation()
    for text, show in (("seen", "1"), ("unseen", "0")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[BLANK])
        slide._element.set("show", show)
        slide.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = text

    document = parse(saved(presentation), "a.pptx")

    assert document.text == "Slide 1\n\nseen"
    assert [str(anchor.location) for anchor in document.anchors] == ["slide 1"]
    assert document.omissions == (("hidden slides", 1),)


def test_a_presentation_without_slides_and_a_cut_one_are_refused() -> None:
    content = saved(Presentation())

    with pytest.raises(UnreadableDocumentError, match="no text"):
        parse(content, "a.pptx")
    with pytest.raises(UnreadableDocumentError, match=r"not a file of PowerPoint.*cut short"):
        parse(content[:3_000], "a.pptx")
