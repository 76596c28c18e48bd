"""The question to search for a follow-up: the last message, and the words of the question before it.

Measured on 167 turns of MTRAG-UN that have relevant passages (docs/quality.md).
"""

import re
from collections.abc import Sequence
from itertools import accumulate

from models.generation.question_words import content_words
from models.generation.relevance import STOP_WORDS
from models.generation.small_talk import small_talk, without_small_talk
from models.generation.words import distinct, stem, words
from models.languages.detection import language_of
from models.languages.normal_form import normal_form
from models.types.generation import ChatMessage

_WORD = re.compile(r"[\w'-]+")
_MIN_WORD_CHARS = 3
_MAX_ADDED_WORDS, _MAX_ADDED_CHARS = 64, 1_000  # a run of letters without spaces counts as a word
_MAX_EARLIER = 32  # questions of the user among which the last is looked for
_MAX_EARLIER_CHARS = 8_000  # of it: the end, since a question follows a pasted text
_CORRECTION = re.compile(
    r"\W*(?:(?:no|nope|wait|sorry)\b[\s,.!:-]+(?:not that\b[\s,.!:-]+)?)?(?:i (?:meant|mean)\b[\s,:]+)|"
    r"\W*(?:no|nope|wait|sorry)\b[\s,.!:-]+not that\b[\s,.!:-]+",
    re.IGNORECASE,
)
_MIN_CONTENT_WORDS = 2  # of a question that says itself what it is about
# "How large" says what is asked for, and "large" is a stop word; "how do" says nothing.
_DEGREE = re.compile(
    r"\bhow (?!(?:do|does|did|can|could|is|are|was|were|am|has|have|had|should|would|will|may|might|to|about|come)\b)"
    r"\w+",
    re.IGNORECASE,
)

# Words at the beginning that go on with a conversation, and words that stand for something said before.
_OPENER = re.compile(
    r"\W*(?:and|but|or|so|also|then|what about|how about|why not|what else|und|aber|oder|was ist mit|wie sieht es mit"
    r"|et|mais|ou|y|pero|ma|maar)\b",
    re.IGNORECASE,
)
_THAT = re.compile(
    r"\b(?:that|there)\W*$|\b(?:about|after|before|do|does|did|for|is|like|of|was|with) that\b",
    re.IGNORECASE,
)
_PRONOUNS = {
    "english": "it its itself they them their theirs he him his she her hers this these those same latter former else",
    "german": "er sie es ihn ihm ihr ihre ihren ihrem ihrer sein seine seinen seinem seiner diese dieser dieses diesem "
    "diesen dessen deren davon dafür dazu damit dabei darin daran darauf darüber dort derselbe dieselbe dasselbe",
    "french": "il elle ils elles lui leur leurs son sa ses cela ça ceci celui celle ceux",
    "spanish": "él ella ellos ellas ello eso esto esa ese estos estas su sus",
    "italian": "esso essa essi esse lui lei loro suo sua suoi sue questo questa ciò",
    "portuguese": "ele ela eles elas isso isto esse essa seu sua seus suas dele dela",
    "dutch": "hij zij ze het hem haar hun hen deze dit daarvan ervan daarvoor",
}
_PRONOUNS_OF = {language: frozenset(line.split()) for language, line in _PRONOUNS.items()}


def search_query(messages: Sequence[ChatMessage]) -> str:
    """The last message of the user, then the content words that the question before it has and this one lacks.

    Greetings and thanks are no questions, nor is the beginning of a correction: "No, I meant …".
    """
    users = [message for message in messages if message.role == "user"]
    if not users:
        return ""
    question = as_question(users[-1].content.strip())
    texts = (_end(message.content) for message in users[-2 : -2 - _MAX_EARLIER : -1])
    earlier = next((text for text in texts if not small_talk(text)), "")
    return " ".join([question, *_new_words(question, as_question(earlier))])


def _end(text: str) -> str:
    """The end of a text that is too long to be read, from the beginning of a word."""
    text = text.rstrip()
    if len(text) <= _MAX_EARLIER_CHARS:
        return text.lstrip()
    cut = text[-_MAX_EARLIER_CHARS:]
    return cut[len(cut.split(maxsplit=1)[0]) :].lstrip() or cut


def as_question(text: str) -> str:
    """What a message asks, without a greeting, thanks or "No, I meant" before it; the text if nothing else is left."""
    question = without_small_talk(text)
    match = _CORRECTION.match(question)
    return question[match.end() :] if match and match.end() < len(question) else question


def stands_alone(question: str) -> bool:
    """Whether a question says by itself what it is about: no opener, no pronoun, and two content words.

    The degree in "How large can a file be?" counts as one of them.
    """
    if _OPENER.match(question) or _THAT.search(question):
        return False
    # A capital in German may be a polite form: "Können Sie …".
    pronouns = _PRONOUNS_OF.get(language_of(normal_form(question)), frozenset())
    if not pronouns.isdisjoint(_WORD.findall(_lower_first(question))):
        return False
    num_words = len(set(map(stem, content_words(question))))
    return num_words + bool(_DEGREE.search(question)) >= _MIN_CONTENT_WORDS


def _lower_first(text: str) -> str:
    stripped = text.lstrip()
    return stripped[:1].lower() + stripped[1:]


def _new_words(question: str, earlier: str) -> list[str]:
    stems = {stem(word) for word in words(question)}
    content = (word for word in _WORD.findall(earlier) if len(word) >= _MIN_WORD_CHARS)
    new = [word for word in content if word.lower() not in STOP_WORDS and stem(word.lower()) not in stems]
    chosen = distinct(new, str.lower)[:_MAX_ADDED_WORDS]
    ends = accumulate(len(word) + 1 for word in chosen)
    return [word for word, end in zip(chosen, ends, strict=True) if end <= _MAX_ADDED_CHARS]
