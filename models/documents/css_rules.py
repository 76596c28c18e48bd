"""The rules of a page's style sheets that decide whether a reader sees a text. Time is linear in the sheets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from models.documents.css_values import SHOWING, Declarations, declarations, hides, hides_text

MAX_STYLE_CHARS = 500_000  # of all style sheets of a page
MAX_RULES = 5_000
MAX_SAME_KEY = 100  # rules for one name or tag: each is compared with each element that has it
MAX_INNER_RULES = 50  # for what is inside an element with hidden letters
COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
BRACE = re.compile(r"[{}]")
SIMPLE = re.compile(r"(?P<tag>[a-zA-Z][\w-]*|\*)?(?P<names>(?:[.#][a-zA-Z_-][\w-]*)*)")
NAME = re.compile(r"[.#][a-zA-Z_-][\w-]*")
SCREEN = re.compile(r"@media\s+(?:only\s+)?(?:screen|all)", re.IGNORECASE)
BACKGROUNDS = ("background", "background-color", "background-image")
CONDITIONAL = ":is"  # before a selector: it is no simple one


@dataclass(frozen=True)
class Rule:
    """A rule for elements with this tag (empty: any) and all these names, such as .note or #top.

    `weight` decides between rules: the ids, then the classes, then the tag, then the order.
    """

    tag: str
    names: frozenset[str]
    styles: Declarations
    weight: tuple[int, int, int, int]

    @property
    def selector(self) -> str:
        return f"{self.tag}{''.join(sorted(self.names))}" or "*"


@dataclass
class Sheet:
    """Simple rules by one of their names or their tag.

    `shown`: names that another rule shows. `sized` and `coloured`: selectors that give letters a size or a colour.
    """

    rules: dict[str, list[Rule]] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    has_complex_backgrounds: bool = False
    sized: str = ""
    coloured: str = ""

    def add(self, selector: str, styles: Declarations, number: int) -> None:
        match = SIMPLE.fullmatch(selector)
        names = frozenset(NAME.findall(selector))
        if (match is None or len(names) > 1) and not hides(styles) and SHOWING & styles.keys():
            self.shown |= names
        if match is None or not selector:
            self.has_complex_backgrounds |= any(name in styles for name in BACKGROUNDS)
            return
        tag = (match["tag"] or "").lower().replace("*", "")
        num_ids = sum(name.startswith("#") for name in names)
        key = max(names, key=lambda name: (name.startswith("#"), name), default=tag)
        weight = (num_ids, len(names) - num_ids, int(bool(tag)), number)
        same_key = self.rules.setdefault(key, [])
        if len(same_key) < MAX_SAME_KEY:
            same_key.append(Rule(tag, names, styles, weight))

    def finish(self) -> "Sheet":
        rules = [rule for same_key in self.rules.values() for rule in same_key]
        sized = [rule.selector for rule in rules if "font-size" in rule.styles and not hides_text(rule.styles)]
        coloured = [rule.selector for rule in rules if "color" in rule.styles]
        self.sized, self.coloured = ", ".join(sized[:MAX_INNER_RULES]), ", ".join(coloured[:MAX_INNER_RULES])
        return self


@lru_cache(maxsize=2)
def read_sheets(text: str) -> Sheet:
    """The rules of style sheets. The same page may ask again for its next part."""
    sheet = Sheet()
    for number, (selectors, styles) in enumerate(_rules(COMMENT.sub(" ", text[:MAX_STYLE_CHARS]))):
        if number >= MAX_RULES:
            break
        for selector in selectors:
            sheet.add(selector, styles, number)
    return sheet.finish()


def _rules(text: str) -> Iterator[tuple[list[str], Declarations]]:
    """The selectors and declarations of each rule. One with a condition, such as a width, is no simple rule."""
    for head, body, is_conditional in _blocks(text):
        styles = declarations(body)
        if styles:
            prefix = CONDITIONAL if is_conditional else ""
            yield [f"{prefix} {selector}".strip() for selector in head.split(",")], styles


def _blocks(text: str) -> Iterator[tuple[str, str, bool]]:
    """(selectors, declarations, whether a condition is around them), in order."""
    position = num_conditions = 0
    outer: list[bool] = []  # for each open block, whether it is a condition
    head = ""
    for match in BRACE.finditer(text):
        body = text[position : match.start()]
        position = match.end()
        if match.group() == "{":
            if head:
                outer.append(not (SCREEN.fullmatch(head)))
                num_conditions += outer[-1]
            head = body.rpartition(";")[2].strip() or "@"
        elif head:
            if not head.startswith("@"):
                yield head, body, num_conditions > 0
            head = ""
        elif outer:
            num_conditions -= outer.pop()
