"""Choose the searches for a query from its form alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.languages import unspaced
from models.languages.normal_form import normal_form

MAX_OTHER_WORDS = 2  # beside identifiers: "error ERR_CONN_RESET nginx" is a look-up, a longer query a description
MAX_IDENTIFIER_CHARS = 256
MAX_UNSPACED_LETTERS = 12  # 无线网络密码 is a look-up; more letters are a sentence
MIN_CODE_DIGITS = 3  # COVID-19, UTF-8, F-16 and MP3 are words; SHA-256, ABC-123 and LM358N are identifiers

_QUOTED = re.compile(r'(?<!\S)(?:"([^"]+)"|“([^”“]+)”|„([^“”„]+)[“”]|«([^«»]+)»)(?!\w)')
_WORD = re.compile(r"[\w'’]+")
_IDENTIFIER = re.compile(
    r"""
      [^\s@]+@[^\s@]+\.\w+                                    # an e-mail address
    | \w+://\S+                                               # a URL
    | --[a-zA-Z][\w-]+                                        # a command's flag
    | _*[^\W_]+(?:_+[^\W_]+)+_*(?:\(\))? | __\w+__            # snake_case, __init__
    | [a-zA-Z_]\w+(?:\.[a-zA-Z_]\w+)+(?:\(\))?                # dotted.names, file.ext; not U.S., e.g.
    | \w+(?:(?:::|->)\w+)+(?:\(\))? | \w+\(\)                 # std::vector, call()
    | v\d+(?:\.\d+)+[\w.+-]* | \d+(?:\.\d+){2,}[\w.+-]*       # v1.2, 1.2.3-rc1, 10.0.0.1
    | (?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*)* | [a-zA-Z]:\\\S+    # an absolute or dotted path, C:\path
    | [\w-]+(?:/[\w.-]+)+\.[a-zA-Z]\w*                        # a/relative/path.ext; not and/or, TCP/IP
    | 0x[0-9a-fA-F]+
    """,
    re.VERBOSE,
)
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?:[-/.:][A-Z0-9]+)*|\d+[A-Z]+\d[A-Z0-9]*|\d+(?:[-/][A-Z0-9]+)+")
_HEX = re.compile(r"[0-9a-f]{7,128}|[0-9A-F]{7,128}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PUNCTUATION = "()[]{}<>,;:!?.\"'`‘’“”„«»"
_QUESTION = re.compile(
    r"\W*(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|should|would|will|has|have"
    r"|explain|describe|compare|tell)\b",
    re.IGNORECASE,
)
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f0-9]")
_STRAIGHT = str.maketrans("‘’“”", "''\"\"")


@dataclass(frozen=True)
class Route:
    """The searches for a query. In lexical mode, each hit must contain all `phrases`: see contains_phrases."""

    mode: Literal["hybrid", "lexical"]
    phrases: tuple[str, ...] = ()


def route(query: str) -> Route:
    """Choose lexical search for identifiers and quoted phrases with at most two other words, else hybrid search.

    So it is for one or two words without a Latin letter: models for English cannot read them, so that dense search
    and reranker would put noise first. A question in Latin script with other words is always hybrid. One quoted word is
    a phrase only if it is an identifier.
    """
    phrases = tuple(phrase for phrase in map(_inside, _QUOTED.finditer(query)) if _is_literal(phrase))
    words = [token for token in _without_phrases(query).split() if _WORD.search(token)]
    plain_words = [word for word in words if not _is_identifier(word)]
    has_identifier = bool(phrases) or len(plain_words) < len(words)
    is_description = len(plain_words) > MAX_OTHER_WORDS or (bool(plain_words) and _is_question(query))
    if (has_identifier and not is_description) or _is_foreign_word(query, words):
        return Route("lexical", phrases)
    return Route("hybrid")


def contains_phrases(text: str, phrases: tuple[str, ...]) -> bool:
    """Whether `text` contains every phrase. Case, Unicode form, white space and quotes' shape do not matter."""
    normalized = _normalize(text)
    return all(_normalize(phrase) in normalized for phrase in phrases)


def _inside(quoted: re.Match[str]) -> str:
    return next(group for group in quoted.groups() if group is not None).strip()


def _is_literal(phrase: str) -> bool:
    return len(_WORD.findall(phrase)) > 1 or _is_identifier(phrase)


def _without_phrases(query: str) -> str:
    """Replace each quoted phrase of the query by a space. A quoted common word stays."""
    return _QUOTED.sub(lambda quoted: " " if _is_literal(_inside(quoted)) else quoted.group(), query)


def _is_identifier(token: str) -> bool:
    return any(_has_identifier_form(form) for form in (token, token.strip(_PUNCTUATION)))


def _has_identifier_form(token: str) -> bool:
    if len(token) > MAX_IDENTIFIER_CHARS:
        return False
    if _IDENTIFIER.fullmatch(token):
        return True
    num_digits, has_letter = sum(map(str.isdigit, token)), any(map(str.isalpha, token))
    is_code = num_digits >= MIN_CODE_DIGITS and _CODE.fullmatch(token) is not None
    return has_letter and num_digits > 0 and (is_code or _HEX.fullmatch(token) is not None)


def _is_question(query: str) -> bool:
    return query.rstrip().endswith(("?", "？")) or _QUESTION.match(query) is not None


def _is_foreign_word(query: str, words: Sequence[str]) -> bool:
    """Whether a query is one or two words of a script other than Latin, with or without a question mark."""
    if query.isascii() or not 1 <= len(words) <= MAX_OTHER_WORDS or _LATIN.search(query):
        return False
    return unspaced.num_letters(query) <= MAX_UNSPACED_LETTERS


def _normalize(text: str) -> str:
    return " ".join(normal_form(text).translate(_STRAIGHT).casefold().split())
