"""Questions about the conversation itself ("Which oven did I say I have?"), and what users say about themselves.

In English, German, French, Spanish, Italian, Portuguese and Dutch.
"""

import re

from models.generation.sentences import sentence_spans
from models.languages.normal_form import normal_form

MAX_STATEMENT_CHARS = 300
MAX_STATEMENTS = 8  # of one message
MAX_READ_CHARS = 20_000  # of one message

_SPOKE = r"(?:say|said|tell|told|mention(?:ed)?|ask(?:ed)?|discuss(?:ed)?|recommend(?:ed)?|suggest(?:ed)?|talk(?:ed)?)"
_LOOKS_BACK = re.compile(
    rf"\b(?:did|have|had)\s+(?:i|you|we)\s+(?:\w+\s+)?{_SPOKE}\b(?:\s+(?:about|to)\s+(?:you|me|us))?"
    rf"|\b(?:i|you|we)\s+(?:had\s+|have\s+)?{_SPOKE}\b(.{{0,60}})\b(?:earlier|before|previously|at the beginning)\b"
    rf"|\b(?:earlier|previously)\b(.{{0,30}})\b(?:i|you|we)\s+{_SPOKE}\b"
    r"|\bremind me (?:what|which|who|where|when)\b|\b(?:do|can) you (?:still )?(?:remember|recall)\b"
    r"|\b(?:earlier|previously|before) in (?:this|our) (?:conversation|chat)\b"
    r"|\b(?:habe|hatte|hatten|haben|hast)\s+(?:ich|du|wir|sie)\b(.{0,80})"
    r"\b(?:gesagt|erwähnt|erzählt|gefragt|genannt|besprochen|empfohlen)\b"
    r"|\b(?:erinnerst du dich|erinnern sie sich|weißt du noch|wissen sie noch|erinnere mich)\b"
    r"|\b(?:ai-je|as-tu|avez-vous|avons-nous)\s+(?:dit|mentionné|parlé|demandé|recommandé)\b"
    r"|\b(?:te souviens-tu|tu te souviens|vous souvenez-vous|vous vous souvenez|rappelle-moi|rappelez-moi)\b"
    r"|\b(?:te|le|me|les)\s+(?:dije|dijiste|dijo|mencioné|mencionaste|recomendaste|conté|contaste)\b"
    r"|\b(?:recuerdas|recuerda usted|recuérdame)\b"
    r"|\b(?:ti|le|vi|mi)\s+(?:ho|hai|ha)\s+(?:detto|chiesto|consigliato|parlato)\b"
    r"|\b(?:ti ricordi|si ricorda|ricordami)\b"
    r"|\b(?:eu te|eu lhe|você me)\s+(?:disse|falei|contei|falou|contou|recomendou)\b"
    r"|\b(?:você se lembra|lembras-te|lembre-me|me lembra)\b"
    r"|\b(?:heb ik|heb je|heeft u|hebben we)\b(.{0,80})\b(?:gezegd|verteld|genoemd|gevraagd|besproken|aangeraden)\b"
    r"|\b(?:weet je nog|weet u nog|herinner je je)\b",
    re.IGNORECASE | re.DOTALL,
)
_REQUEST_TO_KEEP = re.compile(
    r"\W*(?:please |bitte |s'il te plaît |por favor |per favore )?(?:remember that|keep in mind that|note that"
    r"|merk dir,? dass|merken sie sich,? dass|souviens-toi que|souvenez-vous que|retiens que|retenez que"
    r"|recuerda que|recuerde que|ricorda che|ricordi che|lembre(?:-se)? (?:de )?que|lembra que|onthoud dat)\b",
    re.IGNORECASE,
)
# What lasts: who somebody is, has, does, lives and prefers. Not what somebody sees, thinks or wants to know now.
_ABOUT_ONESELF = re.compile(
    r"\W*(?:(?:and|but|also|well|hi|hello|und|et|y|e|en)\b,? )?(?:"
    r"(?:i am|i'm|i’m|we are|we're) (?:not )?(?:an?|the|from|in|at|based|allergic|vegan|vegetarian|married|\d+)\b"
    r"|(?:i|we) (?:just |recently |also |only |always |never |usually )?(?:live|lived|work|moved|own|bought|use|study"
    r"|teach|speak|prefer|like|love|hate|drive|run|eat|drink|have an?\b(?! question| error| problem| issue| doubt))\b"
    r"|(?:my|our) (?:\w+ ){1,4}(?:is|are)\b|call me\b"
    r"|ich (?:bin|wohne|lebe|arbeite|heiße|besitze|benutze|nutze|studiere|spreche|bevorzuge|mag|hasse|fahre|esse"
    r"|trinke|komme aus|habe (?:einen?|zwei|drei)\b(?! frage| fehler| problem))\b"
    r"|(?:mein|meine|unser|unsere) (?:\w+ ){1,4}(?:ist|sind)\b|nenn mich\b"
    r"|(?:je suis|j['’]habite|je vis|je travaille|je m['’]appelle|je possède|j['’]utilise|j['’]étudie|je parle"
    r"|je préfère|j['’]aime|je déteste|j['’]ai (?:une?|deux|trois)\b(?! question| erreur| problème))\b"
    r"|(?:mon|ma|mes|notre|nos) (?:\w+ ){1,4}(?:est|sont)\b"
    r"|(?:soy|vivo|trabajo|me llamo|hablo|prefiero|me gusta|odio|tengo (?:una?|dos|tres)\b"
    r"(?! pregunta| error| problema))\b"
    r"|(?:mi|mis|nuestro|nuestra) (?:\w+ ){1,4}(?:es|son)\b"
    r"|(?:sono (?:una?|di)|abito|lavoro|mi chiamo|parlo|preferisco|mi piace|ho (?:una?|due|tre)\b"
    r"(?! domanda| errore| problema))\b"
    r"|(?:il mio|la mia|i miei|le mie) (?:\w+ ){1,4}(?:è|sono)\b"
    r"|(?:eu )?(?:sou|moro|trabalho|me chamo|falo|prefiro|gosto de|tenho (?:uma?|dois|duas|três)\b"
    r"(?! pergunta| erro| problema))\b|(?:o meu|a minha|meu|minha) (?:\w+ ){1,4}(?:é|são)\b"
    r"|ik (?:ben|woon|leef|werk|heet|bezit|gebruik|studeer|spreek|hou van|haat|rijd|eet|drink"
    r"|heb (?:een|twee|drie)\b(?! vraag| fout| probleem))\b|(?:mijn|onze?) (?:\w+ ){1,4}(?:is|zijn)\b"
    r")",
    re.IGNORECASE,
)
_ONESELF = re.compile(
    r"\b(?:i|me|my|mine|our|ich|mir|mich|mein\w*|unser\w*|je|moi|mon|ma|mes|nos|yo|mi|mis|tengo|io|mio|mia|miei|mie"
    r"|eu|meu|minha|meus|minhas|ik|mij|mijn)\b|\bj['’]",
    re.IGNORECASE,
)
_ASKS = ("?", "？", "؟")


def looks_back(question: str) -> bool:
    """Whether a question asks for what was said in the conversation."""
    return _LOOKS_BACK.search(normal_form(question)) is not None


def without_looking_back(question: str) -> str:
    """The question without the words by which it looks back; the question if no other words are left."""
    between = _LOOKS_BACK.sub(lambda match: f" {' '.join(filter(None, match.groups()))} ", normal_form(question))
    return " ".join(between.split()).strip(" ,?") or question


def speaks_of_oneself(question: str) -> bool:
    """Whether a question has a word of the first person."""
    return _ONESELF.search(normal_form(question)) is not None


def statements(text: str) -> list[str]:
    """The sentences in which users say something lasting about themselves, or ask to remember it, as they are."""
    own = [text[start:end].strip() for start, end in sentence_spans(text[:MAX_READ_CHARS])]
    return [sentence for sentence in own if _is_statement(sentence)][:MAX_STATEMENTS]


def _is_statement(sentence: str) -> bool:
    if len(sentence) > MAX_STATEMENT_CHARS or "\n" in sentence or sentence.endswith(_ASKS):
        return False
    return any(pattern.match(normal_form(sentence)) for pattern in (_REQUEST_TO_KEEP, _ABOUT_ONESELF))
