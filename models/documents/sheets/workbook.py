"""An Excel workbook: its sheets, the texts and formats that cells refer to."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from models.documents.entities import spell_entities
from models.documents.office.package import OfficePackage
from models.documents.sheets.number_format import BUILT_IN
from models.documents.word.xml import Element

RELATIONSHIP = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TRUE = frozenset(["1", "true"])


@dataclass(frozen=True)
class SheetLink:
    """A sheet of a workbook. `part` is empty for a sheet without cells, such as a chart."""

    name: str
    part_name: str
    is_hidden: bool


@dataclass(frozen=True)
class Workbook:
    """`texts`: what cells of type s refer to; `formats`: the number format of each cell style."""

    sheets: tuple[SheetLink, ...]
    texts: tuple[str, ...]
    formats: tuple[str, ...]
    is_1904: bool


def read_workbook(package: OfficePackage) -> Workbook:
    """Everything but the cells. Raises KeyError without a workbook, and the errors of zipfile and lxml."""
    main_part = package.related("", "officeDocument") or "xl/workbook.xml"
    root = package.root(main_part)
    links = package.relationships(main_part)
    targets = {link.key: link for link in links}
    parts = {link.kind: link.target for link in links}
    sheets = []
    for element in root.iter("{*}sheet"):
        link = targets.get(element.get(f"{{{RELATIONSHIP}}}id") or "")
        is_sheet = link is not None and link.kind == "worksheet"
        is_hidden = (element.get("state") or "visible") != "visible"
        sheets.append(SheetLink(element.get("name") or "", link.target if link and is_sheet else "", is_hidden))
    properties = next(root.iter("{*}workbookPr"), None)
    is_1904 = properties is not None and (properties.get("date1904") or "").lower() in TRUE
    texts = tuple(_shared_texts(package, parts["sharedStrings"])) if "sharedStrings" in parts else ()
    styles = package.optional(parts["styles"]) if "styles" in parts else None
    return Workbook(tuple(sheets), texts, _formats(styles), is_1904)


def elements(package: OfficePackage, part_name: str, *tags: str) -> Iterator[Element]:
    """The elements of a part with these local names, one after the other. Each is forgotten after its turn."""
    with package.stream(part_name) as stream:
        for _, element in etree.iterparse(
            stream,
            events=("end",),
            tag=[f"{{*}}{tag}" for tag in tags],
            resolve_entities=False,
            no_network=True,
            remove_comments=True,
            remove_pis=True,
        ):
            spell_entities(element)
            yield element
            element.clear()
            parent = element.getparent()
            while parent is not None and element.getprevious() is not None:
                del parent[0]


def _shared_texts(package: OfficePackage, part_name: str) -> Iterator[str]:
    for item in elements(package, part_name, "si"):
        yield rich_text(item)


def rich_text(element: Element) -> str:
    """The text of runs, without the reading aids of East Asian characters."""
    texts = []
    for text in element.iter("{*}t"):
        parent = text.getparent()
        if parent is None or etree.QName(parent).localname != "rPh":
            texts.append(text.text or "")
    return "".join(texts)


def _formats(styles: Element | None) -> tuple[str, ...]:
    if styles is None:
        return ()
    codes = dict(BUILT_IN)
    for element in styles.iter("{*}numFmt"):
        key = element.get("numFmtId") or ""
        if key.isdecimal() and len(key) < 9:
            codes[int(key)] = element.get("formatCode") or ""
    cell_styles = next(styles.iter("{*}cellXfs"), None)
    keys = [] if cell_styles is None else [style.get("numFmtId") or "0" for style in cell_styles.iter("{*}xf")]
    return tuple(codes.get(int(key), "") if key.isdecimal() and len(key) < 9 else "" for key in keys)
