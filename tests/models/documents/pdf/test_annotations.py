"""Form values, text boxes and comments of a PDF."""

from models.documents.pdf.annotations import MAX_PLACED, with_annotations
from models.documents.pdf.line import Line
from tests.models.documents.document_checks import assert_well_formed, block_texts
from tests.models.documents.document_files import text_at
from tests.models.documents.pdf.pdf_files import field_at, read_page

LABELS = text_at(72, 700, "Name:") + text_at(72, 670, "Country:") + text_at(72, 640, "Resident:")


def test_values_of_fields_stand_behind_their_labels() -> None:
    document = read_page(
        LABELS,
        [
            field_at(150, 637, "/FT /Btn /T (r) /V /Yes /AS /Yes /AP << /N << /Yes 5 0 R /Off 5 0 R >> >>"),
            field_at(150, 667, "/FT /Ch /Ff 131072 /T (c) /Opt [(Norway) (Peru)] /V (Peru)"),
            field_at(150, 697, "/FT /Tx /T (n) /V (Ada Quist)"),
        ],
    )

    assert_well_formed(document)
    assert document.text.split("\n") == ["Name: Ada Quist", "Country: Peru", "Resident: ☒"]


def test_hidden_fields_are_left_out_and_counted_and_passwords_are_never_read() -> None:
    document = read_page(
        LABELS,
        [
            field_at(150, 697, "/FT /Tx /T (n) /V (secret)", flags=2),
            field_at(150, 667, "/FT /Tx /Ff 8192 /T (p) /V (password)"),
        ],
    )

    assert "secret" not in document.text
    assert "password" not in document.text
    assert document.omissions == (("hidden form fields and comments", 1),)


def test_text_boxes_stand_in_their_place_and_comments_at_the_end_of_the_page() -> None:
    document = read_page(
        text_at(72, 700, "The limit is 5 kg.") + text_at(72, 600, "Ask at the desk."),
        [
            "/Subtype /Text /Rect [300 700 320 720] /T (Ana) /Contents (Now 7 kg.)",
            "/Subtype /FreeText /Rect [72 640 200 660] /DA (/F1 12 Tf) /Contents (Valid from May.)",
            "/Subtype /Popup /Rect [300 300 320 320] /Contents (Now 7 kg.)",
        ],
    )

    assert [text for _, text in block_texts(document)] == [
        *("The limit is 5 kg.", "Valid from May.", "Ask at the desk.", "Comment by Ana: Now 7 kg.")
    ]


def test_a_form_whose_only_text_is_its_values_is_read() -> None:
    assert read_page("", [field_at(72, 700, "/FT /Tx /T (n) /V (only this)")]).text == "only this"


def test_of_very_many_annotations_the_later_ones_stand_at_the_end_of_the_page() -> None:
    line = Line("label", 0, 0, 10, 10)
    boxes = [Line(str(number), 20, 0, 30, 10) for number in range(MAX_PLACED + 2)]

    texts = [merged.text for merged in with_annotations([line], boxes)]

    assert texts[0] == "label"
    assert texts[-2:] == [str(MAX_PLACED), str(MAX_PLACED + 1)]
