"""What the text of a Word paragraph says."""

import pytest

from tests.models.documents.document_checks import block_texts
from tests.models.documents.word.word_files import cell, paragraph, read_body, run, table

SUPER, SUB = '<w:vertAlign w:val="superscript"/>', '<w:vertAlign w:val="subscript"/>'


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (run("about 3 x 10") + run("8", SUPER) + run(" m/s"), "about 3 x 10^8 m/s"),
        (run("founded in 18") + run("74") + run("2", SUPER), "founded in 1874^2"),
        (run("CO") + run("2", SUB) + run(" falls"), "CO2 falls"),
        (run("costs ") + run("9", "<w:strike/>") + run("0 ", "<w:dstrike/>") + run("80"), "costs ~~90~~ 80"),
        (run("kept", '<w:strike w:val="0"/>'), "kept"),
    ],
)
def test_raised_lowered_and_struck_out_text_is_marked(runs: str, text: str) -> None:
    assert read_body(paragraph(runs)).text == text


def test_formats_come_from_styles_too() -> None:
    styles = (
        f'<w:style w:type="character" w:styleId="Up"><w:rPr>{SUPER}</w:rPr></w:style>'
        '<w:style w:type="character" w:styleId="Up2"><w:basedOn w:val="Up"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Old"><w:rPr><w:strike/></w:rPr></w:style>'
    )
    body = paragraph(run("10") + run("6", '<w:rStyle w:val="Up2"/>')) + paragraph("void", '<w:pStyle w:val="Old"/>')

    assert read_body(body, {"styles": styles}).text == "10^6\n\n~~void~~"


WHITE = '<w:color w:val="ffffff"/>'


@pytest.mark.parametrize("properties", ["<w:vanish/>", '<w:vanish w:val="true"/>', '<w:sz w:val="2"/>', WHITE])
def test_hidden_text_is_left_out_and_counted(properties: str) -> None:
    hidden = run("do not ", properties) + run("read this", properties)

    document = read_body(paragraph(run("Shown ") + hidden + run("and shown")) + paragraph("end"))

    assert document.text == "Shown and shown\n\nend"
    assert document.omissions == (("hidden passages", 1),)


@pytest.mark.parametrize(
    "body",
    [
        paragraph(run("White", WHITE + '<w:highlight w:val="darkBlue"/>')),
        paragraph(run("White", WHITE), '<w:shd w:fill="000080"/>'),
        table([cell(run("White", WHITE))]),
    ],
    ids=["run", "paragraph", "table"],
)
def test_white_text_on_a_ground_is_read(body: str) -> None:
    assert read_body(body).text == "White"


def test_a_run_may_show_itself_in_a_hidden_style() -> None:
    styles = '<w:style w:type="paragraph" w:styleId="H"><w:rPr><w:vanish/></w:rPr></w:style>'
    body = paragraph(run("no") + run("yes", '<w:vanish w:val="0"/>'), '<w:pStyle w:val="H"/>')

    assert read_body(body, {"styles": styles}).text == "yes"


def test_deletions_and_empty_fields_are_counted() -> None:
    deleted = "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
    empty = f"<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>{run('Click here')}</w:sdtContent></w:sdt>"

    document = read_body(paragraph(run("Name:") + deleted + empty))

    assert document.text == "Name:"
    assert document.omissions == (("placeholders of empty fields", 1), ("tracked deletions", 1))


def test_old_form_fields_and_ticks_have_their_values() -> None:
    field = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{}</w:ffData></w:fldChar></w:r>'
    box = field.format("<w:checkBox><w:checked/></w:checkBox>")
    entries = '<w:listEntry w:val="by road"/><w:listEntry w:val="by sea"/>'
    choice = field.format(f'<w:ddList><w:result w:val="1"/>{entries}</w:ddList>')
    tick = '<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>'

    assert (
        read_body(paragraph(run("Urgent ") + box + run(" sent ") + choice + run(" ") + tick)).text
        == "Urgent ☒ sent by sea ☒"
    )


EQUATION = "<m:oMath>{}</m:oMath>"


def math(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"<m:f><m:num>{math('a+b')}</m:num><m:den>{math('2')}</m:den></m:f>", "(a+b)/2"),
        (f"<m:sSup><m:e>{math('x')}</m:e><m:sup>{math('n+1')}</m:sup></m:sSup>", "x^(n+1)"),
        (f"<m:rad><m:deg/><m:e>{math('2gh')}</m:e></m:rad>", "sqrt(2gh)"),
        (
            f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{math("i=1")}</m:sub><m:sup>{math("n")}</m:sup>'
            f"<m:e><m:sSub><m:e>{math('x')}</m:e><m:sub>{math('i')}</m:sub></m:sSub></m:e></m:nary>",
            "∑_(i=1)^n x_i",
        ),
        (f"<m:d><m:e>{math('a')}</m:e><m:e>{math('b')}</m:e></m:d>", "(a, b)"),
    ],
)
def test_equations_are_written_on_one_line(content: str, text: str) -> None:
    document = read_body(paragraph(run("v = ") + EQUATION.format(content) + run(".")))

    assert block_texts(document) == [("paragraph", f"v = {text}.")]
