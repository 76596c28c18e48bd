"""Drawings of a PDF that draw each other without end are found before pdfium follows them."""

import zlib

import pytest

from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError
from tests.hostile.files import pdf_form_that_draws_itself
from tests.models.documents.document_files import with_cross_references

TEXT = "BT /F1 12 Tf 72 700 Td (The tide turns at six.) Tj ET "
FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
INNER = "/Font << /F1 4 0 R >>"


def page(contents: int, drawn: str) -> str:
    resources = f"/Resources << {INNER} /XObject << {drawn} >> >>"
    return f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {contents} 0 R {resources} >>"


def form(instructions: str, keys: str) -> str:
    head = f"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] {keys} /Length {len(instructions)} >>"
    return f"{head}\nstream\n{instructions}\nendstream"


def drawing(targets: str) -> str:
    return f"/Resources << {INNER} /XObject << {targets} >> >>"


def make_pdf(forms: list[str], extra: list[str] = ()) -> bytes:  # type: ignore[assignment]
    """A page that draws the first of the forms, which are objects 6, 7, … and may draw each other."""
    head = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page(5, "/X 6 0 R"), FONT]
    return with_cross_references([*head, "<< /Length 5 >>\nstream\n/X Do\nendstream", *forms, *extra])


def chain(length: int, times: int) -> list[str]:
    """Forms that draw the next one so many times, and the last one a text."""
    forms = [form("/N Do " * times, drawing(f"/N {7 + number} 0 R")) for number in range(length)]
    return [*forms, form(TEXT, f"/Resources << {INNER} >>")]


def packed(instructions: str, keys: str) -> str:
    content = zlib.compress(instructions.encode()).decode("latin-1")
    head = f"<< /Subtype /Form /BBox [0 0 9 9] /Filter /FlateDecode {keys} /Length {len(content)} >>"
    return f"{head}\nstream\n{content}\nendstream"


ITSELF = "/X Do /X Do"
HOSTILE = {
    "itself": make_pdf([form(ITSELF, drawing("/X 6 0 R"))]),
    "a chain": make_pdf(chain(20, 3)),
    "in a circle": make_pdf([form("/Y Do " * 2, drawing("/Y 7 0 R")), form("/X Do " * 2, drawing("/X 6 0 R"))]),
    "packed": make_pdf([packed(ITSELF, drawing("/X 6 0 R"))]),
    "in hex": make_pdf([form(ITSELF.encode().hex() + ">", "/Filter [/AHx] " + drawing("/X 6 0 R"))]),
    "an escaped name": make_pdf([form("/#58 Do /X Do", drawing("/X 6 0 R").replace("/Res", "/#52es"))]).replace(
        b"/Subtype /Form", b"/Subtype /#46orm"
    ),
    "resources elsewhere": make_pdf([form(ITSELF, "/Resources 7 0 R"), "<< /XObject 8 0 R >>", "<< /X 6 0 R >>"]),
    "resources of the page": make_pdf([form(ITSELF, "")]),
    "a font": pdf_form_that_draws_itself(),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_forms_without_end_are_one_error_at_once(kind: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="draw each other without end") as caught:
        parse(HOSTILE[kind], "a.pdf")

    assert (caught.value.reason, caught.value.cause) == ("invalid_file", "too_complex")


def test_resources_in_an_object_stream_are_found() -> None:
    inner = "<< /XObject << /X 6 0 R >> >>"
    text = f"9 0 {inner}"
    content = zlib.compress(text.encode()).decode("latin-1")
    objects = (
        f"<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length {len(content)} >>\nstream\n{content}\nendstream"
    )

    with pytest.raises(UnreadableDocumentError, match="draw each other without end"):
        parse(make_pdf([form(ITSELF, "/Resources 9 0 R"), objects]), "a.pdf")


@pytest.mark.parametrize(
    "forms",
    [chain(6, 3), [form(TEXT + "/X Do", drawing("/X 6 0 R"))], [form(TEXT * 50, "")]],
    ids=["some levels", "itself once", "plain"],
)
def test_forms_with_an_end_are_read(forms: list[str]) -> None:
    assert "The tide turns at six." in parse(make_pdf(forms), "a.pdf").text
