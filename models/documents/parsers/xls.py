"""Excel workbooks before 2007 (.xls): each sheet's cells as they are shown, as tables with the names of columns."""

import io
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.sheets.binary_cells import CellComments, read_binary_sheet
from models.documents.sheets.cells import TooManyCellsError
from models.documents.sheets.tables import append_sheet
from models.documents.signatures import EXCEL_97, signature_of
from models.errors.requests import UnreadableDocumentError

HIDDEN_SHEETS = "hidden sheets"


class XlsConfig(BaseModel):
    """An entry of kind `xls`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_cells: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="A file with more cells that have a value is refused."
    )


class XlsParser:
    """A Parser of kind `xls`."""

    config_class = XlsConfig

    def __init__(self, name: str, config: XlsConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is EXCEL_97

    def parse(self, content: bytes, filename: str) -> Document:
        """The sheets in order, each under its name."""
        try:
            return self._read(_open(content))
        except TooManyCellsError as error:
            detail = f"more than {self._config.max_cells:,} cells; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableDocumentError(filename, "invalid_file", _explain(error)) from error

    def _read(self, workbook: Any) -> Document:
        builder = DocumentBuilder()
        room = self._config.max_cells
        for number in range(workbook.nsheets):
            sheet = workbook.sheet_by_index(number)
            if sheet.visibility:
                builder.omit(HIDDEN_SHEETS)
            else:
                cells = read_binary_sheet(workbook, sheet, room)
                room -= cells.num_cells
                for name, count in cells.omissions.items():
                    builder.omit(name, count)
                append_sheet(sheet.name, cells.rows, cells.merged, builder)
                for comment in CellComments(sheet).texts():
                    builder.add("paragraph", comment)
            workbook.unload_sheet(number)
        return builder.build()


def _open(content: bytes) -> Any:
    import xlrd

    return xlrd.open_workbook(file_contents=content, formatting_info=True, on_demand=True, logfile=io.StringIO())


def _explain(error: Exception) -> str:
    if "encrypted" in str(error).lower():
        return "encrypted; save a copy without the password"
    return f"not a readable Excel file ({type(error).__name__}); open it in Excel and save it again as .xlsx"
