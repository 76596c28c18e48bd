"""What the parser reports of a file besides its text, in a bounded form that is stored and shown."""

from dataclasses import dataclass
from typing import Any

from models.types.chunks import ParsedFile

MAX_OMISSIONS = 32  # a parser of your own may count anything
MAX_NAME_CHARS = 100
MAX_WARNING_CHARS = 500
OTHER_OMISSIONS = "other omissions"


@dataclass(frozen=True)
class ParseReport:
    """What a file's text lacks, and why it may be wrong.

    `omissions` counts what was left out on purpose, by its name in the plural: ("hidden passages", 2). `warnings` say
    why the text may be wrong, and what to do. `masked` counts the masked pieces of personal data by kind.
    """

    omissions: tuple[tuple[str, int], ...] = ()
    warnings: tuple[str, ...] = ()
    masked: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(parsed: ParsedFile) -> "ParseReport":
        """The report of a parsed file, within the limits above. Omissions beyond them share one name."""
        named, beyond = parsed.omissions[: MAX_OMISSIONS - 1], parsed.omissions[MAX_OMISSIONS - 1 :]
        omissions = [(_storable(name, MAX_NAME_CHARS), count) for name, count in named]
        if beyond:
            omissions.append((OTHER_OMISSIONS, sum(count for _, count in beyond)))
        warnings = [parsed.doubt] if parsed.doubt else []
        storable = tuple(_storable(warning, MAX_WARNING_CHARS) for warning in warnings)
        return ParseReport(tuple(omissions), storable, parsed.masked)

    def to_json(self) -> dict[str, Any]:
        """The form that the database stores and the API returns."""
        return {"omissions": dict(self.omissions), "warnings": list(self.warnings), "masked": dict(self.masked)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> "ParseReport":
        masked = stored.get("masked", {})  # earlier releases masked nothing
        return ParseReport(tuple(stored["omissions"].items()), tuple(stored["warnings"]), tuple(masked.items()))


NOTHING_REPORTED = ParseReport()


def _storable(text: str, max_chars: int) -> str:
    """PostgreSQL's JSON has no NUL, and a lone surrogate is not UTF-8."""
    text = text.replace("\0", "").encode(errors="replace").decode()
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"
