"""The words and phrases that a text is about, from the text alone, without a corpus or a model.

As in YAKE, a word counts more the more often it occurs, the earlier it comes, the more sentences it is spread over and
the more often it has a capital inside a sentence. A phrase is up to three such words in a row, and counts as its words
and as often as it occurs. Words of function never begin or end one.
Source: Campos and others, YAKE! Keyword extraction from single documents, Information Sciences 509, 2020.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from models.languages.file_language import function_words
from models.languages.normal_form import normal_form

MAX_CHARS = 300_000  # further text rarely changes what a file is about
MAX_PHRASE_WORDS = 3
MAX_PHRASE_CHARS = 40
MIN_WORD_CHARS = 3
MAX_WORD_CHARS = 30
PHRASE_BONUS = 1.5  # of each further word, if the phrase occurs again: "spring tide" says more than "tide"
MAX_IDEOGRAPHS = 4  # of a term
MAX_COUNTED_IDEOGRAPHS = 50_000
# A text is cut at punctuation, at what stands for personal data, and at words that are no letters.
_SEGMENT = re.compile(r"\[[A-Z_]{4,12}\]|[^\w\s'’-]+|\n\s*\n|\b\w*\d\w*\b")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]{2,}")
_KATAKANA = re.compile("[\u30a1-\u30fa\u30fc]{2,20}")
# Thai and its like put no space between words either, and have no signs that begin one: no keywords.
_UNSPACED = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
_FUNCTION_SIGNS = frozenset(
    "的了是在有和与與吗嗎呢什么麼怎多少几幾哪谁誰我你您他她它们們这這那个個不也都就很请請问問为為以及或及之其所者可"
)


@dataclass
class _Word:
    """What a text tells of a word."""

    count: int = 0
    num_capitals: int = 0
    first: int = 0
    segments: int = 0
    last_segment: int = -1


def keywords_of(text: str, max_keywords: int, language: str = "") -> list[str]:
    """At most `max_keywords` words or phrases, the best first, lower-cased. Time is linear in the text.

    `language` is the text's, as a code of ISO 639-1. English words of function never count.
    """
    text = normal_form(text[:MAX_CHARS])
    ranked = _unspaced_terms(text) + _phrases(_UNSPACED.sub(" ", text), function_words("en") | function_words(language))
    chosen: list[str] = []
    for _, phrase in sorted(ranked, key=lambda scored: (-scored[0], scored[1])):
        if len(chosen) == max_keywords:
            break
        if not any(_overlap(phrase, other) for other in chosen):
            chosen.append(phrase)
    return chosen


def _overlap(phrase: str, chosen: str) -> bool:
    """Whether one is a piece of the other, in words whose endings do not matter or, without spaces, in letters."""
    if _UNSPACED.match(phrase) or _UNSPACED.match(chosen):
        return phrase in chosen or chosen in phrase
    phrase, chosen = _stems(phrase), _stems(chosen)
    return phrase in chosen or chosen in phrase


def _stems(phrase: str) -> str:
    return f" {' '.join(word[: max(MIN_WORD_CHARS, len(word) - 1)] for word in phrase.split())} "


def _phrases(text: str, ignored: frozenset[str]) -> list[tuple[float, str]]:
    words: defaultdict[str, _Word] = defaultdict(_Word)
    phrases: Counter[tuple[str, ...]] = Counter()
    num_segments = 0
    for number, segment in enumerate(_segments(text)):
        num_segments = number + 1
        _count(segment, number, words)
        phrases.update(_runs([word.lower() for word in segment], ignored))
    scores = {word: _score(entry, num_segments) for word, entry in words.items()}
    min_count = 2 if len(phrases) > 200 else 1
    alone = _counts_alone(phrases)
    return [(_phrase_score(run, count, scores), " ".join(run)) for run, count in alone.items() if count >= min_count]


def _counts_alone(phrases: Counter[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    """How often each phrase occurs outside of longer ones that occur again: `spring` outside of `spring tide`."""
    inside: Counter[tuple[str, ...]] = Counter()
    for phrase, count in phrases.items():
        if len(phrase) > 1 and count > 1:
            for shorter in {phrase[:-1], phrase[1:]} | ({phrase[1:-1]} if len(phrase) > 2 else set()):
                inside[shorter] = max(inside[shorter], count)
    return phrases - inside


def _segments(text: str) -> Iterator[list[str]]:
    """The words of each stretch without punctuation."""
    for stretch in _SEGMENT.split(text):
        if words := _WORD.findall(stretch):
            yield words


def _count(segment: list[str], number: int, words: defaultdict[str, _Word]) -> None:
    for place, word in enumerate(segment):
        entry = words[word.lower()]
        if not entry.count:
            entry.first = number
        entry.count += 1
        entry.num_capitals += place > 0 and word[0].isupper()
        entry.segments += entry.last_segment != number
        entry.last_segment = number


def _score(word: _Word, num_segments: int) -> float:
    position = 1 / math.log2(3 + word.first)
    capitals = 1 + word.num_capitals / word.count
    spread = 1 + word.segments / num_segments
    return math.log2(1 + word.count) * capitals * spread * (0.5 + position)


def _runs(words: list[str], ignored: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """The runs of up to three words without words of function."""
    is_content = [MIN_WORD_CHARS <= len(word) <= MAX_WORD_CHARS and word not in ignored for word in words]
    for start in range(len(words)):
        for end in range(start + 1, min(start + MAX_PHRASE_WORDS, len(words)) + 1):
            if not is_content[end - 1]:
                break
            yield tuple(words[start:end])


def _phrase_score(phrase: tuple[str, ...], count: int, scores: dict[str, float]) -> float:
    if sum(map(len, phrase)) + len(phrase) > MAX_PHRASE_CHARS:
        return 0.0
    mean = sum(scores[word] for word in phrase) / len(phrase)
    bonus = PHRASE_BONUS if count > 1 else 1 / PHRASE_BONUS
    return mean * math.log2(1 + count) * bonus ** (len(phrase) - 1)


def _unspaced_terms(text: str) -> list[tuple[float, str]]:
    """Of Chinese and Japanese: runs of ideographs that occur again, and words in katakana."""
    counts = Counter(_KATAKANA.findall(text))
    counts.update(_ideographs(text))
    return [
        (math.log2(1 + count) ** 2 * PHRASE_BONUS ** (len(term) - 2), term)
        for term, count in counts.items()
        if count > 1
    ]


def _ideographs(text: str) -> Iterator[str]:
    num_left = MAX_COUNTED_IDEOGRAPHS
    for run in _IDEOGRAPHS.findall(text):
        num_left -= len(run)
        if num_left < 0:
            return
        for start in range(len(run) - 1):
            for end in range(start + 2, min(start + MAX_IDEOGRAPHS, len(run)) + 1):
                if run[start] not in _FUNCTION_SIGNS and run[end - 1] not in _FUNCTION_SIGNS:
                    yield run[start:end]
