"""Tags in Markdown that are text: placeholders such as <your-name>, type parameters, and openings without an end."""

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
TAG = re.compile(r"<(?:!--|([a-zA-Z][^\s<>/]*)([^<>]*+)(>?))")
CLOSING = re.compile(r"</([a-zA-Z][^\s<>/]*)")


def literal_tags(page: str) -> str:
    """A rendered page whose tags without meaning are text. Time is linear."""
    last_closing = {match.group(1).lower(): match.start() for match in CLOSING.finditer(page)}
    last_closing["!--"] = page.rfind("-->")

    def escape(match: re.Match[str]) -> str:
        name = (match.group(1) or "!--").lower()
        is_ended = last_closing.get(name, -1) > match.start()
        if name == "!--" or name in HIDING:
            is_markup = is_ended and name != "plaintext"
        else:
            is_markup = name in KNOWN or is_ended or bool((match.group(2) or "").strip())
        return match.group() if is_markup else "&lt;" + match.group()[1:]

    return TAG.sub(escape, page)
