"""What a page shows around its text and what a reader opens with a click: which elements are read, which left out."""

import re

from selectolax.lexbor import LexborNode

from models.documents.html_styles import Styles


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Left out without a count: they are no text.
SILENT_TAGS = _words("-comment script style noscript template")
OMITTED_TAGS = {
    "nav": "menus",
    **dict.fromkeys(("svg", "iframe", "object"), "embedded objects"),
    **dict.fromkeys(("select", "textarea"), "form fields"),
    "dialog": "dialogs",
}
OMITTED_ROLES = {
    **dict.fromkeys(("navigation", "menu", "menubar", "toolbar", "search"), "menus"),
    **dict.fromkeys(("banner", "contentinfo"), "page headers and footers"),
    **dict.fromkeys(("dialog", "alertdialog"), "dialogs"),
}
OMITTED_CLASSES = {
    # Wikipedia's edit links and navigation boxes, Sphinx's and MkDocs' paragraph marks, tables of contents.
    **dict.fromkeys(("mw-editsection", "navbox", "catlinks", "mw-jump-link", "toc", "printfooter"), "menus"),
    **dict.fromkeys(("headerlink", "anchorjs-link", "hash-link", "footnote-backref"), "paragraph marks"),
    # Pygments, Hexo, GitHub, Prism, highlight.js.
    **dict.fromkeys(
        ("linenos", "lineno", "linenodiv", "gutter", "blob-num", "line-numbers-rows", "hljs-ln-numbers"), "line numbers"
    ),
}
# Chroma, Rouge and others; other elements have these names, too.
NUMBER_CLASSES = _words("ln lnt line-number line-num linenumber lnum react-syntax-highlighter-line-number")
SIDE_CLASSES = re.compile(
    r"(?:^|[\s_-])(?:sidebar|related|ads?|advert\w*|promo\w*|newsletter|share|social)(?:[\s_-]|$)"
)
MAX_LINK_FRACTION = 0.5  # a passage with more of its characters in links is a menu

# Parts that a click or a search opens: tabs, accordions, answers of a list of questions.
OPENABLE_TAGS = _words("div section article aside ul ol dl dd li p pre table tbody tr td figure span")
OPENABLE_CLASSES = re.compile(
    r"tab|accordion|collaps|panel|expand|disclos|toggle|\bmore\b|faq|answer|detail|spoiler|mathml"
)
OPENABLE_ROLES = _words("tabpanel region")
OPENING_ATTRIBUTES = ("aria-controls", "data-bs-target", "data-target", "href")
OPENING_CLASSES = re.compile(r"accordion|collaps|faq|question|expand|disclos")


def opened_ids(root: LexborNode) -> frozenset[str]:
    """The ids of the elements that buttons, tabs and links of the page open."""
    openers = root.css(
        "button, [role=tab], [role=button], [aria-controls], [data-toggle], [data-bs-toggle], a[href^='#']"
    )
    values = (node.attributes.get(name) for node in openers for name in OPENING_ATTRIBUTES)
    return frozenset(word.lstrip("#") for value in values if value for word in value.split())


def omission(
    node: LexborNode, opened: frozenset[str], styles: Styles, is_inside_content: bool, is_trusted: bool
) -> str:
    """Why an element is left out, in the plural; "" if it is read.

    `is_inside_content`: inside <main>, <article> or <section>. `is_trusted`: inside a passage that was judged as text.
    """
    tag, attributes = node.tag, node.attributes
    classes = attributes.get("class") or ""
    if tag in OMITTED_TAGS:
        return OMITTED_TAGS[tag]
    if tag == "button":
        return "" if _opens_text(node, classes) else "buttons"
    if (role := attributes.get("role")) in OMITTED_ROLES:
        return OMITTED_ROLES[role]
    if _is_hidden(attributes) or styles.hides(node):
        is_read = _is_openable(node, classes, opened) and (is_trusted or not _is_menu(node))
        return "" if is_read else "hidden passages"
    for name in classes.split():
        if name in OMITTED_CLASSES:
            return OMITTED_CLASSES[name]
        if name in NUMBER_CLASSES and (node.text(deep=True) or "").strip().isdecimal():
            return "line numbers"
    if tag == "sup" and "reference" in classes.split():
        return "note references"  # Wikipedia's "[12]" would look like one of our citations
    return _side_omission(node, f"{classes} {attributes.get('id') or ''}", is_inside_content, is_trusted)


def is_side_part(node: LexborNode) -> bool:
    """Whether an element often holds what is no text of the page, and needs a look at its content."""
    return node.tag in ("aside", "footer", "header") or node.attributes.get("role") == "complementary"


def _side_omission(node: LexborNode, names: str, is_inside_content: bool, is_trusted: bool) -> str:
    if is_trusted or not is_side_part(node):
        return ""
    if node.tag == "footer":  # of a quotation or an article, not of the page
        is_read = is_inside_content and node.css_first("a") is None
        return "" if is_read else "page headers and footers"
    if node.tag == "header":
        return ""  # the caller reads its headings
    return "side columns" if SIDE_CLASSES.search(names.lower()) or _is_menu(node) else ""


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or attributes.get("aria-hidden") == "true"


def _is_openable(node: LexborNode, classes: str, opened: frozenset[str]) -> bool:
    attributes = node.attributes
    return attributes.get("hidden") == "until-found" or (
        node.tag in OPENABLE_TAGS
        and (
            attributes.get("role") in OPENABLE_ROLES
            or attributes.get("id") in opened
            or bool(OPENABLE_CLASSES.search(classes.lower()))
        )
    )


def _opens_text(button: LexborNode, classes: str) -> bool:
    """Whether a button is a question of an accordion or the name of a tab, not a command."""
    attributes = button.attributes
    parent = button.parent
    return (
        "aria-expanded" in attributes
        or attributes.get("role") == "tab"
        or (attributes.get("data-bs-toggle") or attributes.get("data-toggle")) in ("collapse", "tab", "pill")
        or bool(OPENING_CLASSES.search(classes.lower()))
        or (parent is not None and parent.tag in ("summary", "dt", "h1", "h2", "h3", "h4", "h5", "h6"))
    )


def _is_menu(node: LexborNode) -> bool:
    """Whether most of an element's text are links. Time is linear in the element: never ask inside a judged one."""
    num_characters = len("".join((node.text(deep=True) or "").split()))
    num_linked = sum(len("".join((link.text(deep=True) or "").split())) for link in node.css("a"))
    return num_linked > MAX_LINK_FRACTION * num_characters
