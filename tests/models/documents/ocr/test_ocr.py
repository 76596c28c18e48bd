"""The text of images and scanned pages is recognized, within limits, and doubts are told."""

from pathlib import Path

import pytest
from PIL import Image

from models.catalog import Catalog
from models.documents.base import Document
from models.documents.kinds import DocumentKinds
from models.documents.ocr import config as ocr_config
from models.documents.parse import parse
from models.documents.readable import check_readable
from models.errors.requests import UnreadableDocumentError
from tests.hostile.files import png_bomb
from tests.models.documents.document_checks import assert_well_formed
from tests.models.documents.document_files import text_at
from tests.models.documents.ocr.image_files import draw_lines, draw_page, encoded, scanned_pdf
from tests.models.documents.test_places import place_of

CATALOG = Catalog.open()
LINES = ["The ferry leaves pier 7", "at 14:35 every day."]
SIGN = draw_lines(LINES)
LONG = "The harbour office keeps the key of every boat in winter."


def words_of(document: Document) -> str:
    assert_well_formed(document)
    return " ".join(document.text.split())


def kinds_with(folder: Path, ocr: str) -> DocumentKinds:
    path = folder / "catalog.yaml"
    extensions = "[.png, .tiff]"
    path.write_text(
        f"parsing:\n  image: {{kind: image, extensions: {extensions}, options: {{ocr: {ocr}}}}}\n"
        f"  pdf: {{kind: pdf, extensions: [.pdf], options: {{ocr: {ocr}}}}}\n"
    )
    return DocumentKinds(Catalog.open(path))


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "RGB"), ("JPEG", "L"), ("TIFF", "1"), ("WEBP", "RGB"), ("BMP", "P")]
)
def test_the_text_of_an_image_is_recognized(form: str, mode: str) -> None:
    content = encoded(SIGN.convert(mode), form)

    check_readable(content, "upload", CATALOG)
    document = parse(content, "upload")

    assert words_of(document).replace(" ", "") == "".join(LINES).replace(" ", "")
    assert document.doubt == ""


def test_light_text_on_a_transparent_image_is_recognized() -> None:
    alpha = Image.eval(SIGN.convert("L"), lambda value: 255 - value)
    sign = Image.merge("RGBA", [Image.new("L", SIGN.size, 255)] * 3 + [alpha])

    assert words_of(parse(encoded(sign), "a.png")) == " ".join(LINES)


def test_an_image_that_lies_on_its_side_is_turned() -> None:
    sideways = draw_lines([*LINES, "Dogs travel free."]).transpose(Image.Transpose.ROTATE_90)

    assert words_of(parse(encoded(sideways), "a.png")).startswith(LINES[0])


def test_each_page_of_a_tiff_file_has_its_place() -> None:
    first, second = draw_lines(["Rain in the morning"]), draw_lines(["Snow in the evening"])

    document = parse(encoded(first, "TIFF", save_all=True, append_images=[second]), "a.tiff")

    assert place_of(document, "Rain") == "page 1"
    assert place_of(document, "Snow") == "page 2"


def test_scanned_pages_are_recognized_where_they_stand() -> None:
    content = scanned_pdf([text_at(72, 700, LONG), "", draw_page(["Last page"])])

    document = parse(content, "a.pdf")

    assert place_of(document, "The harbour") == "page 1"
    assert place_of(document, "Last page") == "page 3"
    assert document.omissions == (("pages without text", 1),)


def test_columns_of_text_are_read_one_after_the_other() -> None:
    left = [f"left column line {number} of the page" for number in range(1, 6)]
    right = [line.replace("left", "next") for line in left]
    page = Image.new("RGB", (1400, 300), "white")
    page.paste(draw_lines(left, width=650), (0, 0))
    page.paste(draw_lines(right, width=650), (720, 0))

    text = words_of(parse(encoded(page), "a.png"))

    assert text.index("left column line 5") < text.index("next column line 1")


@pytest.mark.parametrize("options", ["{max_pages: 1}", "{max_s: 0.000001}"])
def test_pages_beyond_the_limit_are_counted(tmp_path: Path, options: str) -> None:
    kinds = kinds_with(tmp_path, options)

    document = parse(scanned_pdf([draw_page(["First page"]), draw_page(["Second page"])]), "a.pdf", kinds)

    assert document.text == "First page"
    assert dict(document.omissions)["scanned pages beyond max_pages or max_s"] == 1


def test_unsure_lines_are_told(tmp_path: Path) -> None:
    document = parse(encoded(SIGN), "a.png", kinds_with(tmp_path, "{min_confidence: 1.0}"))

    assert document.doubt.startswith("the text was recognized in an image and may be wrong (2 of 2 recognized lines")


def test_a_picture_without_text_says_so() -> None:
    with pytest.raises(UnreadableDocumentError, match="no text"):
        parse(encoded(Image.new("RGB", (300, 200), "navy")), "a.png")


def test_switched_off_it_refuses_images_at_upload_and_counts_scanned_pages() -> None:
    catalog = CATALOG.without_ocr()
    kinds = DocumentKinds(catalog)

    with pytest.raises(UnreadableDocumentError, match=r"a PNG image; recognition .* is switched off") as off:
        check_readable(encoded(SIGN), "a.png", catalog)
    with pytest.raises(UnreadableDocumentError, match="is switched off"):
        parse(encoded(SIGN), "a.png", kinds)
    with pytest.raises(UnreadableDocumentError, match=r"a scan; .* is switched off"):
        parse(scanned_pdf([SIGN]), "a.pdf", kinds)
    document = parse(scanned_pdf([text_at(72, 700, LONG), SIGN]), "a.pdf", kinds)

    assert off.value.reason == "unsupported_file"
    assert document.omissions == (("pages without text", 1),)


def test_missing_packages_are_named_at_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr_config, "PACKAGE", "no_such_ocr")

    with pytest.raises(UnreadableDocumentError, match="not installed: pip install no_such_ocr"):
        check_readable(encoded(SIGN), "a.png", CATALOG)


@pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 9_000), (1_000_000, 1_000_000)])
def test_giant_images_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableDocumentError, match="of more than 80,000,000 pixels is not read; scale it down"):
        parse(png_bomb(*size), "a.png")


@pytest.mark.parametrize(
    "content", [png_bomb(900, 900), encoded(SIGN)[:900], encoded(SIGN, "JPEG")[:300], encoded(SIGN, "TIFF")[:60]]
)
def test_broken_images_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableDocumentError, match=r"not a readable image|no text"):
        parse(content, "a.png")
