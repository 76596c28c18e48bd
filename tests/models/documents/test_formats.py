"""What each format's text and blocks look like."""

import threading
from collections import Counter

import pytest
from document_checks import assert_well_formed, block_texts
from document_files import make_docx, make_pdf, part, text_at, with_parts

from models.documents.parse import parse
from models.documents.parsers.docx import DocxConfig, DocxParser
from models.documents.parsers.pdf_layout import build_document
from models.documents.pdf.line import Line
from models.errors.requests import UnreadableDocumentError

MARKDOWN = """\
---
title: "Install guide"
tags: [a, b]
---
# Install

See the [guide](https://example.com/a/very/long/target) and <https://example.com/kept>.
It is *easy* with `pip`.

1. First
   - nested

2. Second

```bash
pip install --upgrade __all__ *.whl

echo done
```

| Field | Default |
| --- | --- |
| `maxSize` _int_ | 100 <br> or more |

<details><summary>More</summary>Hidden <b>truth</b></details>
"""


def test_markdown_reads_as_rendered_with_code_verbatim() -> None:
    document = parse(MARKDOWN.encode(), "a.md")

    assert_well_formed(document)
    assert document.title == "Install guide"
    assert block_texts(document) == [
        ("heading", "Install"),
        ("paragraph", "See the guide and https://example.com/kept. It is easy with pip."),
        ("list_item", "1. First"),
        ("list_item", "- nested"),
        ("list_item", "2. Second"),
        ("code", "pip install --upgrade __all__ *.whl\n\necho done"),
        ("table", "Field | Default\nmaxSize int | 100 or more"),
        ("paragraph", "More"),
        ("paragraph", "Hidden truth"),
    ]
    assert "1. First\n  - nested\n2. Second" in document.text


def test_a_markdown_rule_on_the_first_line_is_no_front_matter() -> None:
    document = parse(b"---\nText under a rule\n\n---\nmore", "a.md")

    assert document.text == "Text under a rule\n\nmore"


def test_the_only_top_heading_is_the_title() -> None:
    assert parse(b"# One\n\ntext\n\n## Two\n\ntext", "a.md").title == "One"
    assert parse(b"# One\n\ntext\n\n# Two\n\ntext", "a.md").title == ""


PAGE = """\
<!doctype html><html><head><title>Site &amp; page</title><style>p{}</style></head><body>
<header><a>Logo</a><nav>Menu</nav><h1>Heading</h1></header>
<main><p>First<br>line</p><div>Second <b>para</b>graph<sup class="reference">[1]</sup></div>
<h2>Code <a class="headerlink">¶</a></h2>
<pre>
  indent:
    kept
</pre>
<ol start=3><li>three<ul><li>inner</li></ul></li><li>four</li></ol>
<table><caption>Sizes</caption><tr><th>a</th><th>b</th></tr><tr><td>1<br>2</td><td></td></tr></table>
<table role=presentation><tr><td><p>laid out</p></td><td>aside</td></tr></table>
<p hidden>no</p><p style="display: none">no</p><aside><a>no</a></aside><script>no()</script>
</main><footer>Imprint</footer></body></html>
"""


def test_html_loses_its_furniture_and_keeps_its_structure() -> None:
    document = parse(PAGE.encode(), "a.html")

    assert_well_formed(document)
    assert document.title == "Site & page"
    assert block_texts(document) == [
        ("paragraph", "First\nline"),
        ("paragraph", "Second paragraph"),
        ("heading", "Code"),
        ("code", "indent:\n  kept"),
        ("list_item", "3. three"),
        ("list_item", "- inner"),
        ("list_item", "4. four"),
        ("paragraph", "Sizes"),
        ("table", "a | b\n1 2"),
        ("paragraph", "laid out"),
        ("paragraph", "aside"),
    ]


def test_a_page_header_gives_its_heading_alone() -> None:
    document = parse(PAGE.replace("main>", "div>").encode(), "a.html")

    assert document.text.startswith("Heading\n\nFirst")
    assert "Menu" not in document.text


REST = """\
=====
Title
=====

Intro::

    code one

    code two

Section
-------
* item

Not a heading
--
"""


def test_underlined_titles_are_headings_in_plain_text() -> None:
    document = parse(REST.encode(), "a.rst")

    assert_well_formed(document)
    assert document.text == REST.rstrip()
    assert document.title == "Title"
    assert [(block.kind, block.level) for block in document.blocks] == [
        ("heading", 1),
        ("paragraph", 0),
        ("code", 0),
        ("code", 0),
        ("heading", 2),
        ("list_item", 0),
        ("paragraph", 0),
    ]


def test_csv_and_logs_are_one_block_of_lines() -> None:
    csv = parse(b"a,b\r\n1,2\r\n", "a.csv")
    log = parse(b"one\n\n\x1b[31mtwo\x1b[0m\n", "a.log")

    assert block_texts(csv) == [("table", "a | b\n1 | 2")]
    assert block_texts(log) == [("code", "one\n\ntwo")]


def test_word_headings_lists_and_tables_stand_in_order() -> None:
    document = parse(make_docx(), "a.docx")

    assert document.title == "Handbook"
    assert [block.level for block in document.blocks if block.level] == [1, 1, 2]
    assert block_texts(document) == [
        ("heading", "Handbook"),
        ("heading", "Leave"),
        ("paragraph", "Leave is granted by the manager."),
        ("heading", "Notice"),
        ("list_item", "- Tell two weeks ahead."),
        ("list_item", "- Send the form."),
        ("table", "Days | Grade\n30 | A"),
        ("paragraph", "After the table."),
    ]


def test_word_content_controls_and_insertions_are_read_and_deletions_are_not() -> None:
    word = make_docx()
    xml = part(word, "word/document.xml").decode()
    added = (
        "<w:sdt><w:sdtContent><w:p><w:ins><w:r><w:t>In</w:t><w:tab/><w:t>side</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p></w:sdtContent></w:sdt></w:body>"
    )

    document = parse(with_parts(word, {"word/document.xml": xml.replace("</w:body>", added).encode()}), "a.docx")

    assert block_texts(document)[-1] == ("paragraph", "In\tside")


def test_zip_bombs_are_refused_before_they_are_unpacked() -> None:
    bomb = with_parts(make_docx(), {"word/media/bomb.png": bytes(2**20 + 1)})

    with pytest.raises(UnreadableDocumentError, match="unpack to") as caught:
        DocxParser("docx", DocxConfig(max_unzipped_bytes=2**20)).parse(bomb, "bomb.docx")

    assert len(bomb) < 100_000
    assert caught.value.reason == "invalid_file"


def test_xml_entities_are_not_expanded() -> None:
    word = make_docx()
    xml = part(word, "word/document.xml").decode()
    entities = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/hostname">]>'
    xml = xml.replace("<w:document", entities + "<w:document", 1).replace("After the table.", "After&b;&f;")

    document = parse(with_parts(word, {"word/document.xml": xml.encode()}), "a.docx")

    assert block_texts(document)[-1] == ("paragraph", "After&b;&f;")


def test_a_word_file_without_its_main_part_is_invalid() -> None:
    broken = with_parts(make_docx(), {"word/document.xml": b"<w:document"})

    with pytest.raises(UnreadableDocumentError, match="not a readable Word file"):
        parse(broken, "a.docx")


def test_pdf_lines_are_unwrapped_and_words_joined() -> None:
    lines = [
        text_at(72, 740, "A Large Heading", size=20),
        text_at(72, 700, "The committee of the handbook decided that every employee must in-"),
        text_at(72, 686, "form the manager well before the first day of leave, and self-service"),
        text_at(72, 672, "is the way to do it; where it fails the request goes through self-"),
        text_at(72, 658, "service desks."),
        text_at(72, 620, "A new paragraph."),
    ]

    document = parse(make_pdf(["".join(lines)]), "a.pdf")

    assert_well_formed(document)
    assert block_texts(document) == [
        ("heading", "A Large Heading"),
        (
            "paragraph",
            "The committee of the handbook decided that every employee must inform the manager well before the first "
            "day of leave, and self-service is the way to do it; where it fails the request goes through "
            "self-service desks.",
        ),
        ("paragraph", "A new paragraph."),
    ]


def test_pdf_lists_keep_their_lines() -> None:
    rows = [
        "Bring:",
        "2 large eggplants and",
        "salt",
        "1/4 cup of olive oil, the best that the shop around the corner has",
    ]
    stream = "".join(text_at(72, 700 - 14 * row, text) for row, text in enumerate(rows))

    document = parse(make_pdf([stream]), "a.pdf")

    assert document.text == "\n".join(rows)


def test_pdf_columns_are_read_one_after_the_other() -> None:
    left = [text_at(72, 700 - 14 * row, f"left column line {row} which") for row in range(3)]
    right = [text_at(320, 700 - 14 * row, f"right column line {row} which") for row in range(3)]

    document = parse(make_pdf(["".join(left + right)]), "a.pdf")

    positions = [document.text.index(f"{side} column line {row}") for side in ("left", "right") for row in range(3)]
    assert positions == sorted(positions)


def test_page_numbers_and_running_headers_are_left_out() -> None:
    words = ["alpha", "beta", "gamma", "delta"]
    pages = [
        text_at(72, 760, "Company handbook") + text_at(72, 600, f"Page about {word}.") + text_at(300, 30, str(number))
        for number, word in enumerate(words, start=1)
    ]

    document = parse(make_pdf(pages), "a.pdf")

    assert document.text == "\n\n".join(f"Page about {word}." for word in words)


def test_pdfs_are_read_from_many_threads_at_once() -> None:
    content = make_pdf([text_at(72, 700, f"Page {number} has text.") for number in range(20)])
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(parse(content, "a.pdf").text)) for _ in range(6)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert texts == [parse(content, "a.pdf").text] * 6


WRAPPED = ["未休完的假期可以结转到下", "一年度，申请需要提前两周", "在系统中提交。"]


def test_wrapped_lines_of_a_language_without_spaces_are_joined_without_one() -> None:
    lines = [Line(text, 72, 700 - 20 * row, 72 + 12 * len(text), 712 - 20 * row) for row, text in enumerate(WRAPPED)]

    document = build_document("", [lines], Counter())

    assert document.text == "未休完的假期可以结转到下一年度，申请需要提前两周在系统中提交。"


def test_a_sentence_without_spaces_goes_on_over_the_page_and_a_heading_does_not() -> None:
    rows = [("第一章", 700), ("申请年休假需要提前两周", 600), ("在系统中提交并由直属主", 585)]
    first = [Line(text, 72, bottom, 72 + 12 * len(text), bottom + 12) for text, bottom in rows]
    second = [Line("管审批。", 72, 700, 120, 712)]

    document = build_document("", [first, second], Counter())

    assert document.text == "第一章\n\n申请年休假需要提前两周在系统中提交并由直属主管审批。"
