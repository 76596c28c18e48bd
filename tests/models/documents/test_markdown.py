"""Markdown and what may stand inside it: HTML, front matter, placeholders."""

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse


def text_of(source: str) -> str:
    document = parse(source.encode(), "a.md")
    assert_well_formed(document)
    return document.text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("2<sup>40</sup> and H<sub>2</sub>O", "2^40 and H2O"),
        ("It costs ~~80~~ 60.", "It costs ~~80~~ 60."),
        ("It costs <del>80</del> 60.", "It costs ~~80~~ 60."),
        ("Read `row[1]`, see [the *note*](x.md) and ![a map](m.png).", "Read row[1], see the note and a map."),
        ("one<br>two  \nthree\nfour", "one\ntwo\nthree four"),
        ("# Setup {#setup}\n\n## Run {: .wide}", "Setup\n\nRun"),
        (
            "A list: Vec<String>, <your-name>, <script> and <textarea>.",
            "A list: Vec<String>, <your-name>, <script> and <textarea>.",
        ),
        ("before <!-- never ended", "before <!-- never ended"),
        ("Pumps[^1].\n\n[^1]: Since 2019.", "Pumps^1.\n\n1. Since 2019."),
    ],
)
def test_markdown_reads_as_rendered(source: str, text: str) -> None:
    assert text_of(source) == text


def test_html_tables_are_tables_also_over_blank_lines_and_with_markdown_inside() -> None:
    source = (
        "<table>\n<tr><th>Site</th><th>Pump</th><th>Flow</th></tr>\n\n<tr><td rowspan=2>\n\n**North**\n\n</td>"
        "<td>`P1`</td><td>7</td></tr>\n\n<tr><td>P2</td><td>9</td></tr>\n</table>\n\nAfter."
    )

    assert block_texts(parse(source.encode(), "a.md")) == [
        ("table", "Site | Pump | Flow\nNorth | `P1` | 7\nNorth | P2 | 9"),
        ("paragraph", "After."),
    ]


def test_a_collapsed_part_is_read() -> None:
    assert (
        text_of("<details>\n<summary>Why?</summary>\n\nThe valve **leaks**.\n\n</details>")
        == "Why?\n\nThe valve leaks."
    )


FRONT_MATTER = {
    "yaml": "---\ntitle: 'Pumps: a guide'\ndraft: true\n---\n",
    "folded": "---\ntitle: >-\n  Pumps:\n  a guide\ntags:\n  - a\n---\n",
    "literal": "---\ndate: 2024-13-45\ntitle: |\n  Pumps:\n  a guide\n---\n",
    "comment": "---\n# exported\n\nTitle: 'Pumps: a guide'\n---\n",
    "dots": "---\ntitle: 'Pumps: a guide'\n...\n",
    "broken": "---\ntitle: Pumps: a guide\ntags: [a\n---\n",
    "toml": '+++\ndraft = true\ntitle = "Pumps: a guide"\n[extra]\na = 1\n+++\n',
    "broken toml": '+++\ndraft = yes\ntitle = "Pumps: a guide"\n+++\n',
    "json": '{\n  "title": "Pumps: a guide",\n  "draft": true\n}\n',
    "spaces": "---  \r\ntitle: 'Pumps: a guide'\r\n--- \r\n",
}


@pytest.mark.parametrize("kind", FRONT_MATTER)
def test_front_matter_is_the_title_and_no_text(kind: str) -> None:
    document = parse((FRONT_MATTER[kind] + "\nOpen the valve.").encode(), "a.md")

    assert (document.title, document.text) == ("Pumps: a guide", "Open the valve.")
    assert [name for name, _ in document.omissions] == ["fields of front matter"]


@pytest.mark.parametrize(
    "source",
    ["---\nText under a rule\n\n---\nmore", "---\ntitle: never ended\n\nmore", "+++\nplus\n+++\nmore", "{\nmore }"],
)
def test_what_is_no_front_matter_is_text(source: str) -> None:
    document = parse(source.encode(), "a.md")

    assert document.title == ""
    assert "more" in document.text


def test_front_matter_without_fields_is_no_text() -> None:
    assert text_of("---\n# nothing set\n---\nOpen the valve.") == "Open the valve."


def test_hostile_front_matter_ends_soon() -> None:
    laughs = "---\na: &a [x, x]\n" + "".join(f"b{number}: &b{number} [*a, *a]\n" for number in range(200)) + "---\n"
    deep = "---\ntitle: " + "[" * 15_000 + "\n---\n"
    long = "---\ntitle: Pumps\n" + "tag: x\n" * 20_000 + "---\n"

    assert text_of(laughs + "text") == "text"
    assert "text" in text_of(deep + "text")
    assert parse((long + "text").encode(), "a.md").title == "Pumps"


@pytest.mark.parametrize(
    "sentence",
    [
        "If a<b and c>d then the pump stops.",
        "Wenn x<i oder y>z gilt, stoppt sie.",
        "Stop if p<q but not r>s, or if n<your limit>.",
        "Holds for x<a and b>c, List<b> and Map<s>.",
        "Run it with <b and **c>d** on.",
    ],
)
def test_comparisons_are_text(sentence: str) -> None:
    document = parse(f"# Rules\n\n{sentence}\n\nThe **end**.".encode(), "a.md")

    assert document.text == f"Rules\n\n{sentence.replace('**', '')}\n\nThe end."
    assert all(anchor.location for anchor in document.anchors)


def test_tags_with_values_or_an_end_are_markup() -> None:
    source = '<a name="top">See <b>it</b>, <details open><summary>More</summary>Why</details> <p hidden>no</p>'

    assert "<" not in text_of(source)
    assert "no" not in text_of(source)


def test_cells_beyond_the_header_are_read() -> None:
    table = "| Site | Pump |\n|---|---|\n| North | P1 | spare | 7 bar |\n| South | P2 |\n\nAfter."

    document = parse(table.encode(), "a.md")

    assert block_texts(document) == [
        ("table", "Site | Pump\nNorth | P1 | spare | 7 bar\nSouth | P2"),
        ("paragraph", "After."),
    ]


def test_wide_rows_inside_code_stay_verbatim() -> None:
    code = "| a | b |\n|---|---|\n| 1 | 2 | 3 |"

    assert text_of(f"```\n{code}\n```") == code
