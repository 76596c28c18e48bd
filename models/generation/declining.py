"""What an answer says instead of an answer: nothing in the documents, or nothing to look up."""

import re
from typing import Literal

from models.generation.words import words

NOT_IN_DOCUMENTS = "The documents do not answer this question; the passages nearest to it are listed with this answer."
GREETING = "Hello, ask me a question about the documents."
THANKS = "You are welcome, ask me another question about the documents at any time."

SmallTalk = Literal["greeting", "thanks"]

_GREETINGS = frozenset(
    words(
        "hi hello hey hiya howdy greetings welcome yo morning afternoon evening hallo moin servus tag morgen "
        "abend bonjour salut bonsoir hola buenos buenas ciao buongiorno buonasera salve olá oi bom boa hej "
        "hei cześć merhaba привет здравствуйте 你好 您好 嗨 こんにちは おはよう 안녕하세요 안녕 नमस्ते مرحبا"
    )
)
_THANKS = frozenset(
    words(
        "thanks thank dank thx ty cheers bye goodbye cya danke dankeschön tschüss merci gracias adiós grazie "
        "arrivederci obrigado obrigada tack kiitos dziękuję teşekkürler спасибо 谢谢 謝謝 再见 "
        "ありがとう ありがとうございます 감사합니다 शुक्रिया شكرا"
    )
)
# They say nothing to look up, beside a greeting or thanks.
_FILLERS = frozenset(
    words(
        "a again all and und et y are awesome beaucoup bien buddy bot day days dear assistant dia doing everybody "
        "everyone excellent folks for friend good great guten help helpful i it is its just later lot lots "
        "love many mate much muchas my nice night no noche noches now of ok okay oh perfect please really see "
        "so soon sehr ladies gentlemen schönen team that the there this to today tout tutti very vielen was "
        "week well wonderful worries you your di mille días tardes per il guys sir madam problem appreciated "
        "información answer"
    )
)
_HOW_ARE_YOU = re.compile(
    r"\b(how (are|r) (you|u)( doing| today)*|how is it going|how's it going|what's up|wie geht'?s)\b"
)
_MAX_WORDS = 10


def small_talk(text: str) -> SmallTalk | None:
    """Whether a message only greets or thanks, in some twenty languages. None: it may be a question."""
    lowered = text.lower().replace("’", "'")
    without_phrase, num_phrases = _HOW_ARE_YOU.subn(" ", lowered)
    message = set(words(without_phrase))
    if len(message) > _MAX_WORDS or message - _FILLERS - _GREETINGS - _THANKS:
        return None
    if message & _THANKS:
        return "thanks"
    return "greeting" if num_phrases or message & _GREETINGS else None
