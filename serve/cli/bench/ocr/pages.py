"""Pages of known text, drawn as a printer and a scanner would leave them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

POINT = 1 / 72  # inches
MARGIN_POINTS = 60
SIZE_POINTS = 11
PAGE_POINTS = (595, 842)
TEXTS = {
    "English": (
        "The harbour master keeps a book of every boat that lies at the quay overnight. Fees are due before noon: "
        "12.50 a metre in summer, and half of it from October to March. Boats longer than 24 m need a permit "
        "(form B-7), which the office on pier 3 issues within two days. Whoever leaves without paying is charged "
        "$40 on return. Fresh water is free; electricity costs 0.38 a kilowatt hour, read from the meter at the berth."
    ),
    "German": (
        "Der Hafenmeister führt Buch über jedes Boot, das über Nacht am Kai liegt. Gebühren sind bis zwölf Uhr fällig: "
        "im Sommer 12,50 € je Meter, von Oktober bis März die Hälfte. Größere Schiffe über 24 m brauchen eine "
        "Erlaubnis (Formular B-7), die das Büro an der Brücke 3 binnen zwei Tagen ausstellt. Wer abfährt, ohne zu "
        "zahlen, schuldet bei der Rückkehr 40 €. Süßwasser ist frei; Strom kostet 0,38 € je Kilowattstunde."
    ),
    "French": (
        "Le maître du port tient un registre de chaque bateau amarré la nuit. Les droits sont dus avant midi : 12,50 € "
        "le mètre en été, la moitié d’octobre à mars. Au-delà de 24 m, il faut un permis (formulaire B-7), délivré "
        "en deux jours par le bureau du quai n° 3. L’eau est gratuite ; l’électricité coûte 0,38 € le kilowattheure."
    ),
    "Chinese": (
        "港务长登记每一艘在码头过夜的船只。费用须在中午之前缴纳：夏季每米12.50元，十月至次年三月减半。"
        "长度超过24米的船只需要许可证（表格B-7），由三号码头办公室在两天之内签发。未付款而离港者，返回时须补交40元。"
        "淡水免费；电费每千瓦时0.38元，以泊位电表读数为准。"
    ),
}
WITHOUT_SPACES = frozenset(["Chinese"])
DPI = {"300 dpi": 300, "150 dpi": 150}


@dataclass(frozen=True)
class DrawnPage:
    """An image and the text on it."""

    language: str
    font: str
    quality: str
    image: Image.Image
    text: str


def pages(fonts: list[Path], quick: bool) -> Iterator[DrawnPage]:
    """A page for each language, font and quality; `fonts` have the characters of Chinese."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    latin = [folder / name for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf")]
    for language, text in TEXTS.items():
        for font in fonts if language in WITHOUT_SPACES else latin:
            for quality, dpi in DPI.items():
                yield DrawnPage(language, font.stem, quality, _draw(text, font, dpi, language), text)
                if quick:
                    return
            noisy = _worn(_draw(text, font, 200, language))
            yield DrawnPage(language, font.stem, "200 dpi, skewed, noisy", noisy, text)


def _draw(text: str, path: Path, dpi: int, language: str) -> Image.Image:
    scale = dpi * POINT
    size = tuple(round(points * scale) for points in PAGE_POINTS)
    page = Image.new("L", (size[0], size[1]), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.truetype(str(path), round(SIZE_POINTS * scale))
    width = size[0] - 2 * MARGIN_POINTS * scale
    for number, line in enumerate(_wrapped(text, font, width, "" if language in WITHOUT_SPACES else " ")):
        place = (MARGIN_POINTS * scale, (MARGIN_POINTS + 1.5 * SIZE_POINTS * number) * scale)
        pen.text(place, line, fill=0, font=font)
    return page


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float, space: str) -> Iterator[str]:
    line = ""
    for word in text.split(" ") if space else list(text):
        longer = f"{line}{space}{word}" if line else word
        if line and font.getlength(longer) > width:
            yield line
            longer = word
        line = longer
    yield line


def _worn(page: Image.Image) -> Image.Image:
    """Turned by half a degree, blurred a little, grey, and with the noise of a cheap scanner."""
    turned = page.rotate(0.5, resample=Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.7))
    noise = np.random.default_rng(0).normal(0, 12, (turned.height, turned.width))
    grey = np.clip(np.asarray(turned, dtype=np.float32) * 0.85 + 25 + noise, 0, 255)
    return Image.fromarray(grey.astype(np.uint8))
