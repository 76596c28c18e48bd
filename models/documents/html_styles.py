"""What a page's own style sheets and styles hide: rules for a tag, classes or an id, without combinators.

A style that something undoes is no sign: `.panel.open {display: block}` says that a script shows the panel. Style
sheets of other files are not there, so colours are compared only where the page itself says what is behind the text.
"""

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from models.documents.css_rules import BACKGROUNDS, Rule, read_sheets
from models.documents.css_values import Declarations, colour, declarations, hides, hides_text

MAX_ANCESTORS = 50  # that are asked for a background
WHITE, NOT_HERE = "#ffffff", "not here"
MAX_SAME_NAMES = 1_000
MAX_INSIDE = 50  # elements that are looked at inside one with hidden letters


class Styles:
    """The styles of a page, from any element of it."""

    def __init__(self, node: LexborNode) -> None:
        root = _root(node)
        self._sheet = read_sheets("\n".join(element.text(deep=True) or "" for element in root.css("style")))
        has_files = root.css_first("link[rel=stylesheet], link[rel=preload]") is not None
        self._is_complete = not has_files and not self._sheet.has_complex_backgrounds
        self._same_names: dict[tuple[str, str, str], Declarations] = {}  # by tag, classes and id
        self._backgrounds: dict[int, str | None] = {}  # of elements that were asked before

    def hides(self, node: LexborNode) -> bool:
        """Whether styles hide an element and all inside it."""
        styles = self._of(node)
        if not styles:
            return False
        is_without_letters = hides_text(styles) and not self._is_sized_inside(node)
        return hides(styles) or is_without_letters or self._is_invisible(node, styles)

    def _of(self, node: LexborNode) -> Declarations:
        """The declarations for an element; those of its own style attribute are the last."""
        attributes = node.attributes
        styles = dict(self._by_rules(node, attributes)) if self._sheet.rules else {}
        if node.tag == "font" and attributes.get("color"):
            styles["color"] = (attributes["color"] or "").lower()
        inline = attributes.get("style")
        return styles | declarations(inline) if inline else styles

    def _by_rules(self, node: LexborNode, attributes: dict[str, str | None]) -> Declarations:
        key = (node.tag or "", attributes.get("class") or "", attributes.get("id") or "")
        styles = self._same_names.get(key)
        if styles is None:
            styles = {}
            for rule in sorted(self._matching(node, attributes), key=lambda rule: rule.weight):
                styles.update(rule.styles)
            if len(self._same_names) < MAX_SAME_NAMES:
                self._same_names[key] = styles
        return styles

    def _matching(self, node: LexborNode, attributes: dict[str, str | None]) -> Iterator[Rule]:
        tag = node.tag or ""
        names = {f".{name}" for name in (attributes.get("class") or "").split()}
        if attributes.get("id"):
            names.add(f"#{attributes['id']}")
        for key in (*names, tag, ""):
            for rule in self._sheet.rules.get(key, ()):
                if rule.tag in ("", tag) and rule.names <= names and not self._is_toggled(rule):
                    yield rule

    def _is_toggled(self, rule: Rule) -> bool:
        """Whether a script or a state of the page shows again what the rule hides."""
        return hides(rule.styles) and not self._sheet.shown.isdisjoint(rule.names)

    def _is_sized_inside(self, node: LexborNode) -> bool:
        """Whether something inside an element without letter size has one, as in rows of boxes."""
        if not self._is_complete and _has_elements(node):
            return True
        styled = node.css("[style*=font-size]")[:MAX_INSIDE]
        inline = (declarations(each.attributes.get("style") or "") for each in styled if each.mem_id != node.mem_id)
        return any(not hides_text(styles) for styles in inline) or _has_inside(node, self._sheet.sized)

    def _is_invisible(self, node: LexborNode, styles: Declarations) -> bool:
        """Whether the text has the colour of what is behind it, and nothing inside has another."""
        own = colour(styles.get("color", ""))
        if own is None or own != self._background(node, styles):
            return False
        return not any(
            each.mem_id != node.mem_id for each in node.css("[style*=color], font, a, img")[:2]
        ) and not _has_inside(node, self._sheet.coloured)

    def _background(self, node: LexborNode, styles: Declarations) -> str | None:
        """The colour behind an element; None if the page does not say it."""
        path: list[int] = []
        while (result := self._own_background(node, styles, len(path))) is NOT_HERE:
            path.append(node.mem_id)
            parent = _parent(node)
            assert parent is not None  # the outermost element has a result
            node, styles = parent, self._of(parent)
        self._backgrounds.update(dict.fromkeys(path, result))
        return result

    def _own_background(self, node: LexborNode, styles: Declarations, depth: int) -> str | None:
        """The colour that an element itself puts behind its text, NOT_HERE if the elements around it decide."""
        if node.mem_id in self._backgrounds:
            return self._backgrounds[node.mem_id]
        names = [name for name in BACKGROUNDS if name in styles]
        if names:
            return colour(styles[names[-1]])
        if node.attributes.get("bgcolor") or node.attributes.get("background"):
            return colour((node.attributes.get("bgcolor") or "").lower())
        if depth >= MAX_ANCESTORS:
            return None
        return (WHITE if self._is_complete else None) if _parent(node) is None else NOT_HERE


def _root(node: LexborNode) -> LexborNode:
    while (parent := _parent(node)) is not None:
        node = parent
    return node


def _parent(node: LexborNode) -> LexborNode | None:
    """The element around an element; None for the outermost one."""
    parent = node.parent
    return None if parent is None or not parent.tag or parent.tag.startswith(("-", "#")) else parent


def _has_elements(node: LexborNode) -> bool:
    return next(node.iter(), None) is not None


def _has_inside(node: LexborNode, selectors: str) -> bool:
    """Whether a selector fits an element inside another."""
    return bool(selectors) and any(each.mem_id != node.mem_id for each in node.css(selectors)[:2])
