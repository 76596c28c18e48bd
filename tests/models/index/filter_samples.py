"""Files with attributes of every type, and filters with every operator. Any index must agree with `matches`."""

from models.filters import AttributeValue, Comparison, Compound, Filter

# By file key. File 9 never had attributes.
ATTRIBUTES: dict[int, dict[str, AttributeValue]] = {
    1: {"place": "north", "year": 2020, "draft": True},
    2: {"place": "north", "year": 2021.5, "draft": False},
    3: {"place": "south", "year": 2020},
    4: {"place": "North", "year": "2020"},
    5: {"place": "", "year": 0, "draft": 1},
    6: {"place": "zürich", "year": -3, "other": "north"},
    7: {"year": True},
    8: {},
}
FILES = [*ATTRIBUTES, 9]

WHERES: list[Filter] = [
    Comparison("eq", "place", "north"),
    Comparison("eq", "year", 2020),
    Comparison("eq", "year", "2020"),
    Comparison("eq", "draft", True),
    Comparison("eq", "draft", 1),
    Comparison("ne", "place", "north"),
    Comparison("ne", "draft", True),
    Comparison("gt", "year", 2020),
    Comparison("gte", "year", 2020),
    Comparison("lt", "year", 2020),
    Comparison("lte", "year", 2020),
    Comparison("gt", "place", "north"),
    Comparison("lte", "place", "north"),
    Comparison("in", "place", ("north", "south")),
    Comparison("in", "year", (2020, True)),
    Comparison("nin", "place", ("north", "south")),
    Comparison("nin", "year", (2020, "2020")),
    Compound("and", (Comparison("eq", "place", "north"), Comparison("gt", "year", 2020))),
    Compound("or", (Comparison("eq", "place", "south"), Comparison("lt", "year", 0))),
    Compound(
        "and",
        (
            Comparison("ne", "place", "zürich"),
            Compound("or", (Comparison("gte", "year", 2021), Comparison("eq", "draft", 1))),
        ),
    ),
]
NOTHING = Comparison("eq", "place", "nowhere")
EVERYTHING = Comparison("ne", "place", "nowhere")


def name_of(where: Filter) -> str:
    """Name the filter in a test's id."""
    if isinstance(where, Compound):
        return f"{where.op}({', '.join(name_of(operand) for operand in where.filters)})"
    return f"{where.key} {where.op} {where.value!r}"
