"""A chart as the table that it is drawn from."""

from models.documents.tables import Cell, TableText, table_text
from models.documents.text import one_line
from models.documents.word.xml import Element

MAX_POINTS = 10_000


def chart_table(chart: Element) -> tuple[str, TableText]:
    """The title, and a row for each category with the values of each series."""
    title = chart.find(".//{*}chart/{*}title")
    series = list(chart.iter("{*}ser"))
    names = [_first_text(drawn, "{*}tx") for drawn in series]
    categories: dict[int, str] = {}
    values: list[dict[int, str]] = []
    for drawn in series:
        labels = drawn.find("{*}cat")
        labels = drawn.find("{*}xVal") if labels is None else labels
        for place, text in _points(labels).items():
            categories.setdefault(place, text)
        figures = drawn.find("{*}val")
        values.append(_points(drawn.find("{*}yVal") if figures is None else figures))
    places = sorted({*categories, *(place for column in values for place in column)})
    head = [Cell("", is_header=True), *(Cell(name, is_header=True) for name in names)]
    rows = [[Cell(categories.get(at, "")), *(Cell(column.get(at, "")) for column in values)] for at in places]
    texts = [] if title is None else [element.text or "" for element in title.iter("{*}t")]
    return one_line("".join(texts)), table_text([head, *rows], 1)


def _first_text(series: Element, path: str) -> str:
    name = series.find(path)
    return "" if name is None else one_line(next((value.text or "" for value in name.iter("{*}v")), ""))


def _points(source: Element | None) -> dict[int, str]:
    points: dict[int, str] = {}
    for point in [] if source is None else source.iter("{*}pt"):
        place, value = point.get("idx") or "", point.find("{*}v")
        if place.isdecimal() and len(place) < 8 and value is not None and len(points) < MAX_POINTS:
            points[int(place)] = one_line(value.text or "")
    return points
