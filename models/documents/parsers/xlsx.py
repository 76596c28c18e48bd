"""Excel workbooks (.xlsx): each sheet's cells as they are shown, as tables with the names of their columns."""

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.office.package import (
    BROKEN,
    EXCEL,
    SHEET_TYPES,
    OfficePackage,
    check_archive,
    holds,
    package_title,
)
from models.documents.sheets.cells import TooManyCellsError, read_sheet
from models.documents.sheets.tables import append_sheet
from models.documents.sheets.workbook import SheetLink, Workbook, elements, read_workbook, rich_text
from models.documents.signatures import ZIP, signature_of
from models.errors.requests import UnreadableDocumentError

HIDDEN_SHEETS, CHARTS = "hidden sheets", "charts"


class XlsxConfig(BaseModel):
    """An entry of kind `xlsx`. Cells are read one row after the other; an empty cell takes no memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_unzipped_bytes: int = Field(
        default=1024 * 2**20, ge=2**20, le=2**33, description="A file that claims to unpack to more bytes is refused."
    )
    max_xml_bytes: int = Field(
        default=512 * 2**20, ge=2**20, le=2**32, description="A file with more bytes of XML is refused."
    )
    max_cells: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="A file with more cells that have a value is refused."
    )


class XlsxParser:
    """A Parser of kind `xlsx`."""

    config_class = XlsxConfig

    def __init__(self, name: str, config: XlsxConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is ZIP and holds(content, SHEET_TYPES)

    def parse(self, content: bytes, filename: str) -> Document:
        """The sheets in order, each under its name. XML entities are never expanded."""
        check_archive(content, filename, self._config.max_unzipped_bytes, EXCEL)
        try:
            return self._read(OfficePackage(content, filename, self._config.max_xml_bytes))
        except TooManyCellsError as error:
            detail = f"more than {self._config.max_cells:,} cells; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
        except BROKEN as error:
            detail = f"not a readable Excel file ({type(error).__name__}); open it in Excel and save it again as .xlsx"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error

    def _read(self, package: OfficePackage) -> Document:
        workbook = read_workbook(package)
        builder = DocumentBuilder()
        builder.title = package_title(package)
        room = self._config.max_cells
        for link in workbook.sheets:
            if link.is_hidden:
                builder.omit(HIDDEN_SHEETS)
            elif not link.part_name:
                builder.omit(CHARTS)
            else:
                room -= _append_sheet(package, link, workbook, builder, room)
        return builder.build()


def _append_sheet(
    package: OfficePackage, link: SheetLink, workbook: Workbook, builder: DocumentBuilder, max_cells: int
) -> int:
    """Add a sheet. Returns its number of cells."""
    sheet = read_sheet(package, link.part_name, workbook, max_cells)
    for name, count in sheet.omissions.items():
        builder.omit(name, count)
    append_sheet(link.name, sheet.rows, sheet.merged, builder)
    _append_comments(package, link.part_name, builder)
    return sheet.num_cells


def _append_comments(package: OfficePackage, part_name: str, builder: DocumentBuilder) -> None:
    comments = package.related(part_name, "comments")
    if comments is not None:
        for comment in elements(package, comments, "comment"):
            builder.add("paragraph", f"Comment on {comment.get('ref') or 'a cell'}: {rich_text(comment).strip()}")
