"""A presentation as a document: each slide under its title, then its text, tables, charts and notes."""

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.office.package import OfficePackage, package_title
from models.documents.slides.charts import chart_table
from models.documents.slides.shapes import BULLETED, RUNNING, Shape, is_hidden, layout_positions, shapes
from models.documents.slides.text import paragraph_text, paragraphs
from models.documents.tables import Cell, table_text
from models.documents.text import one_line
from models.documents.word.xml import Element
from models.location import Location

RELATIONSHIP = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HIDDEN_SLIDES, HIDDEN_SHAPES, FOOTERS = "hidden slides", "hidden shapes", "slide footers and numbers"
PICTURES, DIAGRAMS = "pictures", "diagrams"


def read_slides(package: OfficePackage) -> Document:
    """The document. Raises KeyError for a package without a presentation, and the errors of zipfile and lxml."""
    main_part = package.related("", "officeDocument") or "ppt/presentation.xml"
    root = package.root(main_part)
    targets = {link.key: link.target for link in package.relationships(main_part)}
    reader = _Reader(package)
    reader.builder.title = package_title(package)
    for number, element in enumerate(root.iter("{*}sldId"), 1):
        part_name = targets.get(element.get(f"{{{RELATIONSHIP}}}id") or "")
        if part_name is not None:
            reader.slide(part_name, number)
    return reader.builder.build()


class _Reader:
    def __init__(self, package: OfficePackage) -> None:
        self.builder = DocumentBuilder()
        self._package = package
        self._layouts: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}

    def slide(self, part_name: str, number: int) -> None:
        root = self._package.root(part_name)
        if root.get("show") in ("0", "false"):
            self.builder.omit(HIDDEN_SLIDES)
            return
        self.builder.locate(Location("slide", number, number))
        tree = next(root.iter("{*}spTree"), None)
        ordered = [] if tree is None else shapes(tree, self._layout(part_name))
        title = " ".join(filter(None, (self._title(shape) for shape in ordered)))
        self.builder.add("heading", title or f"Slide {number}", 1)
        for shape in ordered:
            self._shape(shape, part_name)
        self._notes(part_name)

    def _layout(self, part_name: str) -> dict[tuple[str, str], tuple[int, int]]:
        """The places that a slide's placeholders have if they state none."""
        layout = self._package.related(part_name, "slideLayout")
        if layout is None:
            return {}
        if layout not in self._layouts:
            self._layouts[layout] = {}
            for name in (self._package.related(layout, "slideMaster"), layout):
                root = None if name is None else self._package.optional(name)
                tree = None if root is None else next(root.iter("{*}spTree"), None)
                if tree is not None:
                    self._layouts[layout].update(layout_positions(tree))
        return self._layouts[layout]

    def _title(self, shape: Shape) -> str:
        body = shape.element.find("{*}txBody")
        if not shape.is_title or body is None:
            return ""
        return one_line(" ".join(paragraph_text(paragraph) for paragraph in body.iterchildren("{*}p")))

    def _shape(self, shape: Shape, part_name: str) -> None:
        if is_hidden(shape.element):
            self.builder.omit(HIDDEN_SHAPES)
        elif shape.placeholder in RUNNING:
            self.builder.omit(FOOTERS, bool("".join(shape.element.itertext()).strip()))
        elif shape.kind == "pic":
            self.builder.omit(PICTURES)
        elif shape.kind == "graphicFrame":
            self._graphic(shape.element, part_name)
        elif not shape.is_title:
            self._text(shape)

    def _text(self, shape: Shape) -> None:
        body = shape.element.find("{*}txBody")
        if body is None:
            return
        for paragraph in paragraphs(body, bool(shape.placeholder) and shape.placeholder in BULLETED):
            if paragraph.marker:
                self.builder.add(
                    "list_item", f"{paragraph.marker} {paragraph.text.strip()}", indent=2 * paragraph.level
                )
            else:
                self.builder.add("paragraph", paragraph.text)

    def _graphic(self, frame: Element, part_name: str) -> None:
        table = next(frame.iter("{*}tbl"), None)
        chart = next((e for e in frame.iter("{*}chart") if e.get(f"{{{RELATIONSHIP}}}id")), None)
        if table is not None:
            self._table(table)
        elif chart is not None:
            targets = {link.key: link.target for link in self._package.relationships(part_name)}
            target = targets.get(chart.get(f"{{{RELATIONSHIP}}}id") or "")
            root = None if target is None else self._package.optional(target)
            if root is not None:
                title, text = chart_table(root)
                self.builder.add("paragraph", title)
                self.builder.add_table(text)
        else:
            self.builder.omit(DIAGRAMS)

    def _table(self, table: Element) -> None:
        rows = [
            [_cell(cell) for cell in row.iterchildren("{*}tc") if not _is_covered(cell)] for row in table.iter("{*}tr")
        ]
        self.builder.add_table(table_text(rows))

    def _notes(self, part_name: str) -> None:
        """What the speaker says."""
        target = self._package.related(part_name, "notesSlide")
        root = None if target is None else self._package.optional(target)
        tree = None if root is None else next(root.iter("{*}spTree"), None)
        for shape in [] if tree is None else shapes(tree):
            body = shape.element.find("{*}txBody")
            if shape.placeholder == "body" and body is not None:
                lines = [paragraph_text(paragraph).strip() for paragraph in body.iterchildren("{*}p")]
                if any(lines):
                    self.builder.add("paragraph", "Notes: " + "\n".join(filter(None, lines)))


def _cell(cell: Element) -> Cell:
    body = cell.find("{*}txBody")
    lines = [] if body is None else [paragraph_text(paragraph) for paragraph in body.iterchildren("{*}p")]
    return Cell(one_line("\n".join(lines)), _span(cell, "gridSpan"), _span(cell, "rowSpan"))


def _is_covered(cell: Element) -> bool:
    return cell.get("hMerge") in ("1", "true") or cell.get("vMerge") in ("1", "true")


def _span(cell: Element, name: str) -> int:
    value = cell.get(name) or ""
    return int(value) if value.isdecimal() and len(value) < 6 else 1
