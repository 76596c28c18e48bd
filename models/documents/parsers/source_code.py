"""Programs: each function whole, under the names of its file and class."""

from pathlib import PurePath

from models.documents.base import MAX_HEADING_LEVEL, Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.options import NoOptions
from models.documents.source.units import MAX_DEPTH, Unit, end_of_body, indents_of, split_units
from models.documents.text import clean, shorten_words
from models.location import Location

OVERLONG = "overlong words"


class SourceCodeParser:
    """A Parser of kind `source_code`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        """Never: the content alone does not tell a program from plain text."""
        return False

    def parse(self, content: bytes, filename: str) -> Document:
        """The code in order. A definition is a section with its name; a class is one with sections inside."""
        decoded = decode(content, filename)
        text, num_overlong = shorten_words(decoded.text)
        lines = clean(text).split("\n")
        builder = DocumentBuilder()
        builder.doubt = decoded.doubt
        builder.omit(OVERLONG, num_overlong)
        name = PurePath(filename.replace("\\", "/")).name
        builder.add("heading", name, 1)
        _Outline(lines, name, builder).append(0, len(lines))
        return builder.build()


class _Outline:
    """Adds the sections of a file called `name`."""

    def __init__(self, lines: list[str], name: str, builder: DocumentBuilder) -> None:
        self._lines, self._name, self._builder = lines, name, builder
        self._indents = indents_of(lines)

    def append(self, start: int, end: int) -> None:
        """Add the lines of the file."""
        for number, unit in enumerate(split_units(self._lines, self._indents, start, end)):
            if unit.header >= 0:
                self._definition(unit, "", depth=0)
                continue
            if number:  # it does not belong to the definition above
                self._builder.add("heading", self._name, 2)
            self._code(unit.start, unit.end)

    def _definition(self, unit: Unit, path: str, depth: int) -> None:
        name = f"{path}.{unit.name}" if path else unit.name
        level = min(depth + 2, MAX_HEADING_LEVEL)
        self._builder.add("heading", name, level)
        members = self._members(unit) if depth < MAX_DEPTH else []
        if not any(member.header >= 0 for member in members):
            self._code(unit.start, unit.end)
            return
        fields = members[0].header < 0
        self._code(unit.start, members[0].end if fields else unit.header + 1)
        for member in members[fields:]:
            if member.header >= 0:
                self._definition(member, name, depth + 1)
            else:  # between two methods
                self._builder.add("heading", name, level)
                self._code(member.start, member.end)
        self._closing(members[-1].end, unit.end)

    def _closing(self, start: int, end: int) -> None:
        """What closes a class, if it says more than brackets do: `} Tide;`, or `}  // namespace sea`."""
        if any(character.isalnum() for line in self._lines[start:end] for character in line):
            self._code(start, end)

    def _members(self, unit: Unit) -> list[Unit]:
        """What stands in the body of a class, which may be nothing but lines."""
        if not unit.has_members:
            return []
        end = end_of_body(self._lines, self._indents, unit)
        return list(split_units(self._lines, self._indents, unit.header + 1, end))

    def _code(self, start: int, end: int) -> None:
        """Add lines, without the blank ones above them."""
        while start < end and not self._lines[start].strip():
            start += 1
        self._builder.locate(Location("line", start + 1, start + 1), counts_lines=True)
        self._builder.add("code", "\n".join(self._lines[start:end]).rstrip())
        self._builder.locate(None)
