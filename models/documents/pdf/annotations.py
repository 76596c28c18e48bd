"""What readers put on a PDF's page: the values of form fields, text boxes and comments."""

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pypdfium2
import pypdfium2.raw as pdfium

from models.documents.pdf.line import Line

HIDDEN_FLAGS = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
PASSWORD_FLAG = pdfium.FPDF_FORMFLAG_TEXT_PASSWORD
BOXES = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
LISTS = (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
SILENT = (pdfium.FPDF_FORMFIELD_PUSHBUTTON, pdfium.FPDF_FORMFIELD_SIGNATURE, pdfium.FPDF_FORMFIELD_UNKNOWN)
NO_COMMENTS = (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_WIDGET)
HIDDEN_FIELDS = "hidden form fields and comments"
MAX_ANNOTATIONS = 10_000  # of a page
MAX_PLACED = 500  # of a page; what comes later stands at its end: finding a place takes time
Box = tuple[float, float, float, float]
MAX_VALUE_BYTES = 2**20
MAX_LINE_POINTS = 24.0  # a field for a text of many lines is higher


@dataclass
class Annotations:
    """The annotations of one page as lines. `omitted` counts the hidden ones."""

    lines: list[Line] = field(default_factory=list)
    omitted: Counter[str] = field(default_factory=Counter)


def read_annotations(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> Annotations:
    """The page's annotations that a reader sees. The values of fields need `document.init_forms()`."""
    result = Annotations()
    for number in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            line = _line(document, annotation)
            if line is not None and pdfium.FPDFAnnot_GetFlags(annotation) & HIDDEN_FLAGS:
                result.omitted[HIDDEN_FIELDS] += 1
            elif line is not None:
                result.lines.append(line)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    return result


def struck_out_boxes(page: pypdfium2.PdfPage) -> list[Box]:
    """Where readers struck out text: left, bottom, right, top of each line of it."""
    boxes: list[Box] = []
    for number in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_STRIKEOUT:
                boxes.extend(_marked_boxes(annotation))
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    return boxes[:MAX_PLACED]


def _marked_boxes(annotation: pdfium.FPDF_ANNOTATION) -> Iterator[Box]:
    quad = pdfium.FS_QUADPOINTSF()
    for number in range(min(pdfium.FPDFAnnot_CountAttachmentPoints(annotation), MAX_PLACED)):
        if pdfium.FPDFAnnot_GetAttachmentPoints(annotation, number, quad):
            across, up = (quad.x1, quad.x2, quad.x3, quad.x4), (quad.y1, quad.y2, quad.y3, quad.y4)
            yield min(across), min(up), max(across), max(up)


def _line(document: pypdfium2.PdfDocument, annotation: pdfium.FPDF_ANNOTATION) -> Line | None:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    is_comment = kind not in (*NO_COMMENTS, pdfium.FPDF_ANNOT_FREETEXT)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        text = _field_value(document, annotation)
    elif is_comment:
        text = _comment(annotation)
    else:
        text = _string(annotation, b"Contents") if kind == pdfium.FPDF_ANNOT_FREETEXT else ""
    box = pdfium.FS_RECTF()
    if not text.strip() or not pdfium.FPDFAnnot_GetRect(annotation, box):
        return None
    bottom, top = sorted((box.bottom, box.top))
    left, right = sorted((box.left, box.right))
    bottom = max(bottom, top - MAX_LINE_POINTS)
    return Line(text.strip(), left, bottom, right, top, stands_alone=is_comment)


def _field_value(document: pypdfium2.PdfDocument, annotation: pdfium.FPDF_ANNOTATION) -> str:
    form = document.formenv
    if form is None:
        return ""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in SILENT or pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & PASSWORD_FLAG:
        return ""
    if kind in BOXES:
        return "☒" if pdfium.FPDFAnnot_IsChecked(form, annotation) else "☐"
    chosen = ", ".join(_chosen(form, annotation)) if kind in LISTS else ""
    return chosen or _utf16(lambda buffer, size: pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))


def _chosen(form: pypdfium2.PdfFormEnv, annotation: pdfium.FPDF_ANNOTATION) -> Iterator[str]:
    """The labels of the chosen options of a list."""
    for number in range(min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), MAX_ANNOTATIONS)):
        if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, number):

            def label(buffer: pdfium.FPDF_WCHAR, size: int, option: int = number) -> int:
                return int(pdfium.FPDFAnnot_GetOptionLabel(form, annotation, option, buffer, size))

            yield _utf16(label)


def _comment(annotation: pdfium.FPDF_ANNOTATION) -> str:
    text = _string(annotation, b"Contents").strip()
    return f"Comment by {_string(annotation, b'T').strip() or 'unknown'}: {text}" if text else ""


def _string(annotation: pdfium.FPDF_ANNOTATION, key: bytes) -> str:
    return _utf16(lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size))


def _utf16(read: Callable[[pdfium.FPDF_WCHAR, int], int]) -> str:
    """A string of pdfium: the first call says how many bytes it has, its closing NUL included."""
    size = min(read(None, 0), MAX_VALUE_BYTES)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    read(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def with_annotations(lines: list[Line], annotations: list[Line]) -> list[Line]:
    """The page's lines with each value in its row, right of its label, and comments at the end."""
    merged = list(lines)
    for number, line in enumerate(annotations):
        if line.stands_alone or number >= MAX_PLACED:
            merged.append(line)
        else:
            _insert(merged, line)
    return merged


def _insert(lines: list[Line], line: Line) -> None:
    row = [number for number, other in enumerate(lines) if other.shares_row_with(line) and not other.stands_alone]
    before = [number for number in row if lines[number].left <= line.left]
    if row:
        mate = max(before, key=lambda number: lines[number].left) if before else row[0]
        level = lines[mate]  # a field is higher than its label, but it is of the same row
        lines.insert(mate + 1 if before else mate, replace(line, bottom=level.bottom, top=level.top))
        return
    above = [number for number, other in enumerate(lines) if other.bottom >= line.top - other.height / 2]
    place = max(above, key=lambda number: (-lines[number].bottom, number)) + 1 if above else 0
    lines.insert(place, line)
