"""Reads drawn pages by the service's own parser of images, and counts the wrong characters."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from models.documents.ocr.recognizer import recognizer
from models.documents.parse import parse
from serve.cli.bench.ocr.pages import WITHOUT_SPACES, DrawnPage, pages

HEAD = "| language | font | page | characters | wrong | error rate | CPU s |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """The result of one page."""

    page: DrawnPage
    num_chars: int
    num_wrong: int
    cpu_s: float

    def line(self) -> str:
        rate = self.num_wrong / self.num_chars
        page = self.page
        return (
            f"| {page.language} | {page.font} | {page.quality} | {self.num_chars} | {self.num_wrong} | {rate:.2%} "
            f"| {self.cpu_s:.1f} |"
        )


def run(fonts: list[Path], quick: bool) -> Iterator[Row]:
    """A row a page. The models are loaded before the first one."""
    recognizer()
    for page in pages(fonts, quick):
        content = _encoded(page.image)
        begun_s = time.process_time()
        text = parse(content, "page.png").text
        cpu_s = time.process_time() - begun_s
        space = "" if page.language in WITHOUT_SPACES else " "
        expected, read = space.join(page.text.split()), space.join(text.split())
        yield Row(page, len(expected), edit_distance(expected, read), cpu_s)


def edit_distance(first: str, second: str) -> int:
    """The fewest characters to insert, delete or replace. Source: Wagner and Fischer, 1974."""
    above = list(range(len(second) + 1))
    for number, character in enumerate(first, 1):
        row = [number]
        for place, other in enumerate(second, 1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (character != other)))
        above = row
    return above[-1]


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
