"""The words that begin a question in one language only.

A short question has few function words: "Wie viel kostet es?" has none. Its first words tell its language. Words that
begin a sentence in English or in another of these languages, such as "was", "come", "qui" or "quanto", are left out.
"""

_BEGINNINGS = {
    "de": "warum, wieso, weshalb, wann, wo, wohin, woher, womit, wofür, welche, welcher, welches, welchen, wem, wen, "
    "wessen, wie viel, wie viele, wie lange, wie oft, wie kann, wie wird, wie hoch, wie groß, wie heißt, wie geht, "
    "wie funktioniert, was ist, was sind, was kostet, was bedeutet, was macht, was kann, wer ist, wer hat",
    "fr": "pourquoi, combien, quand, quel, quelle, quels, quelles, qu'est-ce, où, est-ce, comment faire, comment puis",
    "es": "cuánto, cuánta, cuántos, cuántas, cuándo, dónde, quién, quiénes, cuál, cuáles, cómo, qué, por qué",
    "it": "perché, quanto costa, quanto dura, quanti, quante, cos'è, cosa, chi, quando è, quali, dov'è, com'è",
    "pt": "quanto custa, onde, quem, quais, quantos, quantas, por que, como faço, o que",
    "nl": "hoeveel, wanneer, waarom, waar, welke, hoe lang, hoe kan, hoe werkt, wat is, wat zijn, wat kost, wie is",
    "pl": "ile, kiedy, dlaczego, gdzie, jak, który, która, które, czy",
    "sv": "hur, varför, vilken, vilka, vad, vem",
    "da": "hvor, hvornår, hvorfor, hvilken, hvad",
}
_TAGS = {words: tag for tag, beginnings in _BEGINNINGS.items() for words in beginnings.split(", ")}
_NUM_WORDS = 2


def tag_of_question(text: str) -> str:
    """The tag of the language whose question word the text begins with; "" if it begins with none."""
    first = text.lower().replace("’", "'").lstrip("¿ \t\n").split(maxsplit=_NUM_WORDS)[:_NUM_WORDS]
    words = [word.strip("?!.,:") for word in first]
    return _TAGS.get(" ".join(words)) or _TAGS.get(words[0] if words else "", "")
