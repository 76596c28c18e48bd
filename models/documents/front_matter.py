"""Front matter: what static-site generators read before a page's text, as YAML, TOML or JSON."""

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

# Longer ones are not parsed: the title is searched by its line. PyYAML reads about 100 kB/s.
MAX_PARSED_CHARS = 16_384
MAX_CHARS = 262_144

YAML_FENCE = re.compile(r"---[ \t]*\n")
YAML_END = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
TOML_FENCE = re.compile(r"\+\+\+[ \t]*\n")
TOML_END = re.compile(r"^\+\+\+[ \t]*(?:\n|\Z)", re.MULTILINE)
# Front matter that its format refuses is often a title with a colon: `title: Pumps: a guide`.
FIELD_LINE = re.compile(
    r"""[ \t]*(?:\#.* | [\w"'-][\w\ ."'-]*(?: :(?:[ \t].*)? | =.* ) | \[.*\] | -[ \t].* | [}\]],?)?\Z | [ \t]+\S.*\Z""",
    re.VERBOSE,
)
TITLE_LINE = re.compile(r"^title[ \t]*[:=][ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
BLOCK_SCALAR = re.compile(r"[|>][-+\d]*\s*\Z")

Fields = dict[str, Any]


@dataclass(frozen=True)
class FrontMatter:
    """The title, the number of fields, and the text after them."""

    title: str
    num_fields: int
    body: str


def split_front_matter(text: str) -> FrontMatter:
    """The front matter of a text, empty if there is none. A first line of dashes may also be a rule."""
    if match := YAML_FENCE.match(text):
        front_matter = _fenced(text, match.end(), YAML_END, _yaml_fields)
    elif match := TOML_FENCE.match(text):
        front_matter = _fenced(text, match.end(), TOML_END, _toml_fields)
    else:
        front_matter = _json(text)
    return front_matter or FrontMatter("", 0, text)


def _fenced(text: str, start: int, fence: re.Pattern[str], read: Callable[[str], Fields | None]) -> FrontMatter | None:
    end = fence.search(text, start, start + MAX_CHARS)
    if end is None:
        return None
    source = text[start : end.start()]
    fields = read(source)
    if fields is None:
        return None
    return FrontMatter(_title(fields), len(fields), text[end.end() :])


def _yaml_fields(source: str) -> Fields | None:
    """The fields, or None if the lines are no YAML mapping. Comments alone are no fields."""
    try:
        # BaseLoader makes nothing but strings, lists and mappings.
        fields = yaml.load(source, Loader=yaml.BaseLoader) if len(source) <= MAX_PARSED_CHARS else source
    except (yaml.YAMLError, ValueError, RecursionError):
        fields = source
    if isinstance(fields, dict):
        return {str(name): value for name, value in fields.items()}
    if fields in (None, "") and source.strip():
        return {}
    return _by_lines(source) if fields is source else None


def _toml_fields(source: str) -> Fields | None:
    try:
        return tomllib.loads(source) if len(source) <= MAX_PARSED_CHARS else _by_lines(source)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return _by_lines(source)


def _by_lines(source: str) -> Fields | None:
    """The title of front matter that is broken or long, if all its lines look like fields."""
    lines = source.split("\n")
    num_fields = sum(1 for line in lines if line[:1].isalnum())
    if not num_fields or not all(FIELD_LINE.match(line) for line in lines):
        return None
    fields: Fields = {f"field {number}": "" for number in range(num_fields - 1)}
    match = TITLE_LINE.search(source)
    title = match.group(1).strip().strip("\"'") if match else ""
    return fields | {"title": "" if BLOCK_SCALAR.match(title) else title}


def _json(text: str) -> FrontMatter | None:
    """Hugo's JSON: an object with a title, then the text."""
    if not text.startswith("{\n") or '"title"' not in text[:MAX_PARSED_CHARS]:
        return None
    try:
        fields, end = json.JSONDecoder().raw_decode(text[:MAX_PARSED_CHARS])
    except (ValueError, RecursionError):
        return None
    is_followed = isinstance(fields, dict) and text[end : end + 1] == "\n"
    return FrontMatter(_title(fields), len(fields), text[end:]) if is_followed else None


def _title(fields: Fields) -> str:
    for name, value in fields.items():
        if name.lower() == "title" and isinstance(value, str | int | float):
            return str(value)
    return ""
