"""How the templates of RAG frameworks mark their parts: patterns of labels, lines, tags and instructions.

Read in LangChain, LlamaIndex and Haystack, from their packages and tutorials. Every repetition is bounded, so that a
hostile prompt takes no long time.
"""

import re

_FLAGS = re.I | re.M
_LINE_START = r"^[ \t]{0,80}#{0,6}[ \t]{0,80}\*{0,3}"
_QUERY = (
    r"(?:the )?(?:(?:original|user(?:'s)?|latest|final|input|search) ){0,3}"
    r"(?:question|query|frage|pregunta|domanda|pergunta|вопрос|问题|質問)"
)
_COLON = r"\*{0,3}[ \t]{0,80}[:：]\*{0,3}[ \t]{0,80}"
_CONTEXT = (
    r"(?:context|documents?|passages?|sources?|background|information|excerpts?|extracts?|kontext|dokumente?|contexto|"
    r"contexte|contesto|контекст|上下文|文脈)"
)
_ANSWER = r"(?:answer|response|antwort|respuesta|réponse|risposta|resposta|ответ|回答|答案)"
_LONGEST = 240  # characters of a line that is a label

QUESTION_LABEL = re.compile(
    rf"{_LINE_START}{_QUERY}(?: is)?(?: as follows)?{_COLON}(?P<text>[^\n]*\S)"
    rf"|^[ \t]{{0,80}}(?:given|based|using|use|answer|please)\b[^\n:]{{0,{_LONGEST}}}\b(?:question|query){_COLON}"
    r"(?P<inline>[^\n]*\S)",
    _FLAGS,
)
LABEL_ALONE = re.compile(rf"{_LINE_START}{_QUERY}{_COLON}\n{{1,9}}(?P<text>[^\n]*\S)", _FLAGS)
EXAMPLE_ANSWER = re.compile(rf"{_LINE_START}(?:final |helpful )?{_ANSWER}{_COLON}\S[^\n]*$", _FLAGS)
EXISTING_ANSWER = re.compile(
    rf"{_LINE_START}(?:we have provided an )?(?:existing|original) answer{_COLON}\n{{0,9}}(?P<text>[^\n]*\S)", _FLAGS
)
REFINES = re.compile(r"\brefine the (?:existing|original) answer", re.I)
FENCE = re.compile(r"^[ \t]{0,80}(?:-{3,}|={3,}|\*{3,}|#{3,}|_{3,}|`{3,}|\"{3})[ \t]{0,80}\w{0,80}[ \t]{0,80}$", re.M)
OPENING_TAG = re.compile(r"<(?P<tag>context|documents?|passages?|sources?)>", re.I)
CONTEXT_LABEL = re.compile(
    rf"{_LINE_START}(?:(?:new|retrieved|relevant|given|provided|supporting|following) ){{0,3}}{_CONTEXT}"
    rf"(?: information)?{_COLON}"
    rf"|^[^\n:]{{0,{_LONGEST}}}\b{_CONTEXT}\b[^\n:]{{0,{_LONGEST}}}:[ \t]{{0,80}}$",
    _FLAGS,
)
END_LABEL = re.compile(
    rf"{_LINE_START}(?:(?:(?:helpful|final|your|refined|new) )?{_ANSWER}|relevant text(?:, if any)?){_COLON}$", _FLAGS
)
INSTRUCTION = re.compile(
    r"\s*(?:\d{1,2}[.)]|[-*])?\s{0,9}\*{0,3}(?:you are|you're|your (?:task|job|role)|answer|use|given|"
    r"based on|always|never|if|do not|don't|keep|only|please|act as|some rules|avoid|return|rewrite|repeat|respond|be|"
    r"the following|context information|below|treat|when in doubt|instructions?[ ]?:)(?!\w)",
    re.I,
)
NAMES_CONTEXT = re.compile(rf"\b(?:{_CONTEXT}|retrieved|portion|extracted parts)\b", re.I)
