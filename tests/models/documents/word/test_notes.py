"""Text outside the main stream of a Word file."""

from tests.models.documents.document_checks import assert_well_formed, block_texts
from tests.models.documents.word.word_files import cell, paragraph, read_body, run, table


def reference(kind: str, key: str) -> str:
    return f'<w:r><w:{kind}Reference w:id="{key}"/></w:r>'


def note(kind: str, key: str, text: str, more: str = "") -> str:
    return f'<w:{kind} w:id="{key}" {more}>{paragraph(text)}</w:{kind}>'


def test_notes_follow_the_paragraph_of_their_mark_in_the_order_of_the_marks() -> None:
    body = (
        paragraph(run("Leave is paid") + reference("footnote", "9") + run(" and final") + reference("endnote", "2"))
        + paragraph(run("Sick leave") + reference("footnote", "4"))
        + paragraph("End.")
    )
    parts = {
        "footnotes": note("footnote", "0", "", 'w:type="separator"')
        + note("footnote", "4", "With a certificate.")
        + note("footnote", "9", "Not for trainees."),
        "endnotes": note("endnote", "2", "See the law of 1963."),
    }

    document = read_body(body, parts)

    assert_well_formed(document)
    assert [text for _, text in block_texts(document)] == [
        "Leave is paid[^1] and final[^i]",
        "[^1]: Not for trainees.",
        "[^i]: See the law of 1963.",
        "Sick leave[^2]",
        "[^2]: With a certificate.",
        "End.",
    ]


def test_a_note_of_a_cell_follows_its_table() -> None:
    body = table([cell("Cable"), cell(run("12") + reference("footnote", "1"))])

    document = read_body(body, {"footnotes": note("footnote", "1", "Pieces.")})

    assert document.text == "Cable | 12[^1]\n\n[^1]: Pieces."


def test_a_mark_without_a_note_leaves_no_trace() -> None:
    assert read_body(paragraph(run("Text") + reference("footnote", "1"))).text == "Text"


def test_comments_name_their_author() -> None:
    body = paragraph(run("The limit is 5 kg.") + reference("comment", "0"))

    document = read_body(body, {"comments": note("comment", "0", "Now 7 kg.", 'w:author="Ana"')})

    assert document.text == "The limit is 5 kg.\n\nComment by Ana: Now 7 kg."


PAGE = '<w:fldSimple w:instr=" PAGE "><w:r><w:t>3</w:t></w:r></w:fldSimple>'
SECTION = '<w:sectPr><w:headerReference w:type="default" r:id="header"/><w:footerReference r:id="footer"/></w:sectPr>'


def test_headers_and_footers_stand_once_without_page_numbers() -> None:
    parts = {
        "header": paragraph(run("Contract 4711") + "<w:r><w:tab/></w:r>" + run("Page ") + PAGE),
        "footer": paragraph("Confidential") + paragraph("Confidential"),
    }

    document = read_body(paragraph("Rent is due.") + SECTION, parts)

    assert document.text == "Contract 4711\n\nRent is due.\n\nConfidential"
    assert document.omissions == (("page numbers", 1),)
