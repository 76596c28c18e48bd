"""JSON, XML and notebooks: readable paths and values, record by record."""

import json

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.base import Document
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError


def read(content: str, filename: str) -> Document:
    document = parse(content.encode(), filename)
    assert_well_formed(document)
    return document


@pytest.mark.parametrize("filename", ["a.json", "upload"])
def test_an_object_is_paths_and_values(filename: str) -> None:
    content = '{"name": "Ebb", "on": true, "none": null, "server": {"port": 80, "hosts": ["a", "b"], "load": 1.10}}'

    assert block_texts(read(content, filename)) == [
        ("table", "name: Ebb\non: true"),
        ("table", "server.port: 80\nserver.hosts: a, b\nserver.load: 1.10"),
    ]


def test_records_that_are_alike_are_a_table_under_the_name_of_their_list() -> None:
    document = read('{"ports": [{"name": "Brest", "depth": 12}, {"name": "Faro", "depth": 7}]}', "a.json")

    assert block_texts(document) == [("heading", "ports"), ("table", "name | depth\nBrest | 12\nFaro | 7")]
    assert document.blocks[1].names_end


@pytest.mark.parametrize("filename", ["a.jsonl", "a.ndjson", "a.json"])
def test_each_line_of_json_lines_is_a_record(filename: str) -> None:
    content = '{"id": 1, "at": {"x": [1, 2]}}\n\n{"id": 2, "tags": ["a"]}\nnot JSON\n'

    document = read(content, filename)

    assert block_texts(document) == [("table", "id: 1\nat.x: 1, 2"), ("table", "id: 2\ntags: a")]
    assert document.omissions == (("lines that are not JSON", 1),)


def test_lists_of_lists_have_places_and_figures_stay_together() -> None:
    document = read('[{"a": [{"b": 1}, {"b": 2}]}, {"at": [[1.5, 2], [3, 4]]}]', "a.json")

    assert [text for _, text in block_texts(document)] == ["a[0].b: 1\na[1].b: 2", "at: [[1.5, 2], [3, 4]]"]


def test_json_with_comments_is_read_as_text_with_a_doubt() -> None:
    document = read("// the port\n{port: 80}\n", "a.json")

    assert block_texts(document) == [("code", "// the port\n{port: 80}")]
    assert document.doubt.startswith("not valid JSON")


def test_numbers_keep_every_digit() -> None:
    digits = "9" * 5_000

    assert digits in read(f'{{"a": {digits}, "b": NaN}}', "a.json").text


XML = """<?xml version="1.0"?><catalogue year="2026"><book id="1"><title>Ebb</title><by><name>Ana</name></by></book>
<book id="2"><title>Flow <i>and</i> tide</title></book></catalogue>"""


@pytest.mark.parametrize("filename", ["a.xml", "upload"])
def test_xml_is_a_block_for_each_record(filename: str) -> None:
    assert block_texts(read(XML, filename)) == [
        ("table", "catalogue.year: 2026"),
        ("table", "book.id: 1\nbook.title: Ebb\nbook.by.name: Ana"),
        ("table", "book.id: 2\nbook.title: Flow and tide"),
    ]


def test_a_drawing_is_its_text() -> None:
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L9 9"/><text x="1">High <tspan>tide</tspan></text></svg>'
    )

    assert read(drawing, "a.xml").text == read(drawing, "a").text == "High tide"


def test_an_entity_is_not_expanded() -> None:
    document = read('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a><b>x &e; y</b></a>', "a.xml")

    assert document.text == "b: x &e; y"
    assert document.omissions == (("unexpanded entities", 1),)


def test_broken_xml_is_refused_with_the_place() -> None:
    with pytest.raises(UnreadableDocumentError, match=r"not well-formed XML.*line 1"):
        parse(b"<a><b></a>", "a.xml")


@pytest.mark.parametrize("filename", ["a.ipynb", "a.json", "a.txt", "upload"])
def test_a_notebook_is_its_cells_and_the_text_of_their_outputs(filename: str) -> None:
    outputs = [
        {"output_type": "stream", "text": ["one\n", "two\n"]},
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 500, "text/plain": "<Figure>"}},
        {
            "output_type": "execute_result",
            "data": {"text/html": "<table><tr><th>a<tr><td>7</table>", "text/plain": "x"},
        },
        {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["\x1b[31m..."]},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Tides\n", "\n", "They *turn*."]},
        {"cell_type": "code", "source": "show(1)", "outputs": outputs},
        "no cell",
    ]
    content = json.dumps({"cells": cells, "nbformat": 4, "metadata": {}})

    document = read(content, filename)

    assert document.title == "Tides"
    assert block_texts(document) == [
        ("heading", "Tides"),
        ("paragraph", "They turn."),
        ("code", "show(1)"),
        ("code", "one\ntwo"),
        ("code", "<Figure>"),
        ("table", "a\n7"),
        ("code", "KeyError: 'a'"),
    ]
    assert document.omissions == (("images", 1),)


def test_a_key_that_comes_twice_keeps_both_values() -> None:
    assert block_texts(read('{"dup": 1, "a": {"dup": "x", "dup": "y"}, "dup": 2}', "a.json")) == [
        ("table", "dup: 1, 2"),
        ("table", "a.dup: x, y"),
    ]
