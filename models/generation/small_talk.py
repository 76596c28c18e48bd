"""Messages with nothing to look up: greetings and thanks."""

import re
from typing import Literal

from models.generation.words import words
from models.languages.tags import language_tag

SmallTalk = Literal["greeting", "thanks"]

_GREETINGS = frozenset(
    words(
        "hi hello hey hiya howdy greetings welcome yo morning afternoon evening hallo moin servus tag morgen "
        "abend bonjour salut bonsoir hola buenos buenas ciao buongiorno buonasera salve olá oi bom boa hej "
        "hei cześć merhaba xin chào привет здравствуйте сәлем вітаю здравейте γεια שלום 你好 您好 嗨 こんにちは "
        "おはよう 안녕하세요 안녕 नमस्ते مرحبا "
    )
)
_THANKS = frozenset(
    words(
        "thanks thank dank thx ty cheers bye goodbye cya danke dankeschön tschüss merci gracias adiós grazie "
        "arrivederci obrigado obrigada tack kiitos dziękuję teşekkürler спасибо 谢谢 謝謝 再见 "
        "ありがとう ありがとうございます 감사합니다 शुक्रिया धन्यवाद شكرا bedankt tak mulțumesc дякую ευχαριστώ תודה"
    )
)
# They say nothing to look up, beside a greeting or thanks.
_FILLERS = frozenset(
    words(
        "a again all and und et y are awesome beaucoup bien buddy bot day days dear assistant dia doing "
        "everybody everyone excellent folks for friend good great guten help helpful i it is its just later lot lots "
        "love many mate much muchas my nice night no noche noches now of ok okay oh perfect please "
        "really see so soon sehr ladies gentlemen schönen team that the there this to today tout tutti very vielen was "
        "week well wonderful worries you your di mille días tardes per il guys sir madam problem appreciated "
        "información answer schön dir ihnen euch viele dank mange heel erg veel grand molto tante mille "
        "obrigado muito большое дуже herzlichen für die hilfe pour votre aide votre por su ayuda per l aiuto "
        "all's that's"
    )
)
_HOW_ARE_YOU = re.compile(
    r"\b(how (are|r) (you|u)( doing| today)*|how is it going|how's it going|what's up"
    r"|wie geht'?s|wie geht es (dir|ihnen)"
    r"|(comment )?ça va|comment (allez[- ]vous|vas[- ]tu)|(cómo estás?|qué tal)( hoy)?|come (stai|va)|tudo bem|como vai"
    r"|hoe gaat het|hur mår du|jak się masz|как (дела|у вас дела|поживаете)|nasılsın(ız)?)\b"
)
# No spaces tell their words. The longest comes first.
_UNSPACED_GREETING = re.compile(
    r"(สวัสดี|หวัดดี)(ครับ|ค่ะ|คะ|จ้า)?|(你|您|大家)好[啊呀]?吗?|早上好|晚上好|下午好"
    r"|こんにち[はわ]|おはよう(ございます)?|こんばんは|お元気ですか"
)
_UNSPACED_THANKS = re.compile(
    r"ขอบคุณ(มาก)?(ครับ|ค่ะ|คะ)?|(非常|多)?[谢謝][谢謝][你您]?们?|感谢|再见|どうもありがとう(ございます|ございました)?"
    r"|ありがとう(ございます|ございました)?|さようなら"
)
_MAX_WORDS, _MAX_CHARS = 10, 400
_MAX_PREFIX_CHARS = 80
_PREFIX_END = re.compile(r"[!.,;:，。！、]+\s*(?=\w)(?:and\s+)?|\s+(?:and|but|so|und|et|y)\s+", re.IGNORECASE)
# Words of one language alone; a script tells the language of the others.
_TAGS = {
    word: tag
    for tag, telling_words in {
        "da": "mange tak",
        "de": "hallo moin servus guten abend danke dankeschön tschüss",
        "es": "hola buenos buenas gracias adiós",
        "fi": "kiitos",
        "fr": "bonjour salut bonsoir merci",
        "it": "ciao buongiorno buonasera grazie arrivederci",
        "nl": "bedankt",
        "pl": "cześć dziękuję",
        "pt": "olá oi obrigado obrigada",
        "sv": "tack",
        "tr": "merhaba teşekkürler",
    }.items()
    for word in words(telling_words)
}


def small_talk(text: str) -> SmallTalk | None:
    """Whether a message only greets or thanks, in some twenty languages. None: it may be a question."""
    if len(text) > _MAX_CHARS:
        return None
    lowered = text.lower().replace("’", "'")
    lowered, num_thanks = _UNSPACED_THANKS.subn(" ", lowered)
    lowered, num_greetings = _UNSPACED_GREETING.subn(" ", lowered)
    lowered, num_questions = _HOW_ARE_YOU.subn(" ", lowered)
    message = set(words(lowered))
    if len(message) > _MAX_WORDS or message - _FILLERS - _GREETINGS - _THANKS:
        return None
    if num_thanks or message & _THANKS:
        return "thanks"
    return "greeting" if num_greetings or num_questions or message & _GREETINGS else None


def without_small_talk(text: str) -> str:
    """The text without a greeting or thanks at its beginning: "Thanks! How do I back it up?" asks how to back it up."""
    for match in _PREFIX_END.finditer(text[:_MAX_PREFIX_CHARS]):
        if small_talk(text[: match.start()]):
            return text[match.end() :] or text
    return text


def small_talk_language(text: str) -> str:
    """The tag of the language of a greeting or thanks: that of its first telling word, else of its script."""
    tags = (_TAGS[word] for word in words(text.lower()) if word in _TAGS)
    return next(tags, None) or language_tag(text)
