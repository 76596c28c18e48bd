"""Recognized pages as lines of a document, and how sure they are."""

from collections import Counter
from dataclasses import dataclass, field

from models.documents.ocr.config import OcrConfig
from models.documents.ocr.image import Pixels
from models.documents.ocr.pages import take_page
from models.documents.ocr.reading_order import in_reading_order, with_even_heights
from models.documents.ocr.recognizer import RecognizedPage, recognizer
from models.documents.pdf.line import Line

ILLEGIBLE, BEYOND_LIMIT = "illegible lines", "scanned pages beyond max_pages or max_s"
MIN_CONFIDENCE = 0.5  # a line with less is noise, such as a pattern or a signature
MAX_UNSURE = 0.1  # of the lines; with more, the report says so


@dataclass
class Scan:
    """Reads the scanned pages of one file. `omitted` counts what is not read."""

    config: OcrConfig
    omitted: Counter[str] = field(default_factory=Counter)
    num_lines: int = 0
    num_unsure: int = 0

    def takes_page(self) -> bool:
        """Whether the next page may be read. Counts it, either way."""
        is_taken = take_page(self.config.max_pages, self.config.max_s)
        self.omitted[BEYOND_LIMIT] += not is_taken
        return is_taken

    def read(self, pixels: Pixels, points_per_pixel: float) -> list[Line]:
        """The page's lines in points, in reading order."""
        page = recognizer().read(pixels)
        # The edge of a picture looks like an underscore.
        written = [line for line in page.lines if any(map(str.isalnum, line.text))]
        legible = [line for line in written if line.confidence >= MIN_CONFIDENCE]
        self.omitted[ILLEGIBLE] += len(written) - len(legible)
        self.num_lines += len(legible)
        self.num_unsure += sum(line.confidence < self.config.min_confidence for line in legible)
        sure = RecognizedPage(tuple(legible), page.width, page.height)
        return in_reading_order(with_even_heights(_in_points(sure, points_per_pixel)))

    @property
    def doubt(self) -> str:
        """Why the text may be wrong, and what to do; "" if nearly all lines were sure."""
        if self.num_unsure <= MAX_UNSURE * self.num_lines:
            return ""
        share = f"{self.num_unsure} of {self.num_lines} recognized lines are unsure"
        return f"the text was recognized in an image and may be wrong ({share}); scan it again with 300 dpi"


def _in_points(page: RecognizedPage, scale: float) -> list[Line]:
    return [
        Line(
            line.text,
            line.left * scale,
            (page.height - line.bottom) * scale,
            line.right * scale,
            (page.height - line.top) * scale,
        )
        for line in page.lines
    ]
