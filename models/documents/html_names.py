"""Tags in Markdown that are text: placeholders such as <your-name>, type parameters, comparisons (a<b and c>d)."""

import re

# These hide all text up to their closing tag, or to the end of the page.
HIDING = frozenset(
    [
        *("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"),
        *("template", "select", "object", "svg", "math", "dialog", "nav", "button", "head", "frameset", "datalist"),
    ]
)
KNOWN = HIDING | frozenset(
    """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body br
    canvas caption center cite code col colgroup data dd del details dfn dir div dl dt em embed fieldset figcaption
    figure font footer form frame h1 h2 h3 h4 h5 h6 header hgroup hr html i img input ins isindex kbd label legend li
    link main map mark marquee menu menuitem meta meter nobr ol optgroup option output p param picture pre progress q
    rb rp rt rtc ruby s samp search section slot small source span strike strong sub summary sup table tbody td tfoot
    th thead time tr track tt u ul var video wbr
    """.split()  # noqa: SIM905
)
# They have no closing tag, or need none.
UNCLOSED = frozenset(
    """
    area base basefont bgsound body br col colgroup dd dt embed frame hr html img input li link menuitem meta optgroup
    option p param rb rp rt rtc source tbody td tfoot th thead tr track wbr
    """.split()  # noqa: SIM905
)
# Attributes that need no value. Other words inside a tag are words of a sentence.
BARE_ATTRIBUTES = frozenset(
    """
    allowfullscreen async autofocus autoplay checked compact controls default defer disabled download hidden inert
    ismap itemscope loop multiple muted nohref noresize noshade novalidate nowrap open playsinline readonly required
    reversed selected
    """.split()  # noqa: SIM905
)
WORD = re.compile(r"[^\s=:@\"'/-]++")
TAG = re.compile(r"<(?:!--|([a-zA-Z][^\s<>/]*)([^<>]*+)(>?))")
CLOSING = re.compile(r"</([a-zA-Z][^\s<>/]*)")


def literal_tags(page: str) -> str:
    """A rendered page whose tags without meaning are text. Time is linear."""
    last_closing = {match.group(1).lower(): match.start() for match in CLOSING.finditer(page)}
    last_closing["!--"] = page.rfind("-->")

    def escape(match: re.Match[str]) -> str:
        name = (match.group(1) or "!--").lower()
        is_ended = last_closing.get(name, -1) > match.start()
        return match.group() if _is_markup(name, match.group(2) or "", is_ended) else "&lt;" + match.group()[1:]

    return TAG.sub(escape, page)


def tag_name(tag: str) -> str:
    """The name of an opening tag; "" for other texts."""
    match = TAG.match(tag)
    return (match.group(1) or "").lower() if match else ""


def is_literal(tag: str, is_ended: bool) -> bool:
    """Whether an opening tag is text. `is_ended`: a closing tag with its name follows."""
    match = TAG.fullmatch(tag)
    return match is not None and bool(match.group(1)) and not _is_markup(match[1].lower(), match[2] or "", is_ended)


def _is_markup(name: str, attributes: str, is_ended: bool) -> bool:
    if name == "!--" or name in HIDING:
        return is_ended and name != "plaintext"
    if _are_words(attributes):
        return False
    return is_ended or name in UNCLOSED or bool(attributes.strip(" \t\n/"))


def _are_words(attributes: str) -> bool:
    """Whether a tag has words of a sentence where attributes stand: no values, and names that HTML does not know."""
    words = attributes.split()
    is_sentence = bool(words) and all(WORD.fullmatch(word) for word in words)
    return is_sentence and not BARE_ATTRIBUTES.issuperset(map(str.lower, words)) and "hidden" not in words
