"""Equations of Word (OMML) on one line: (a + b)/2, x^2, sqrt(x), sum_(i=1)^n (x_i)."""

from collections.abc import Callable

from models.documents.word.xml import PROPERTIES, Element, child, name, names

PROPERTY_TAGS = PROPERTIES | names(
    *(
        "m:fPr",
        "m:sSupPr",
        "m:sSubPr",
        "m:sSubSupPr",
        "m:sPrePr",
        "m:radPr",
        "m:naryPr",
        "m:dPr",
        "m:funcPr",
        "m:accPr",
    ),
    *("m:barPr", "m:limLowPr", "m:limUppPr", "m:mPr", "m:eqArrPr", "m:boxPr", "m:groupChrPr", "m:rPr", "m:ctrlPr"),
    *("m:oMathParaPr", "m:borderBoxPr", "m:phantPr"),
)


def equation_text(element: Element) -> str:
    """The equation as it would be typed. Depth is limited by libxml2."""
    if element.tag in PROPERTY_TAGS:
        return ""
    if element.tag == name("m:t"):
        return element.text or ""
    write = WRITERS.get(element.tag)
    return write(element) if write else "".join(map(equation_text, element.iterchildren()))


def _operand(element: Element, path: str) -> str:
    """A part of an equation, in brackets if it is more than one number or word."""
    text = _bare(element, path)
    is_simple = text.replace(".", "").replace(",", "").isalnum() or (text[:1] == "(" and text[-1:] == ")")
    return text if is_simple or not text else f"({text})"


def _bare(element: Element, path: str) -> str:
    target = child(element, path)
    return "" if target is None else equation_text(target).strip()


def _fraction(element: Element) -> str:
    return f"{_operand(element, 'm:num')}/{_operand(element, 'm:den')}"


def _scripts(element: Element) -> str:
    sub, sup = _operand(element, "m:sub"), _operand(element, "m:sup")
    return _operand(element, "m:e") + (f"_{sub}" if sub else "") + (f"^{sup}" if sup else "")


def _root(element: Element) -> str:
    degree = _bare(element, "m:deg")
    return f"root({degree}, {_bare(element, 'm:e')})" if degree else f"sqrt({_bare(element, 'm:e')})"


def _operator(element: Element) -> str:
    """A sum, product or integral with its limits."""
    sign = _character(element, "m:naryPr/m:chr", "∫")
    sub, sup = _operand(element, "m:sub"), _operand(element, "m:sup")
    limits = (f"_{sub}" if sub else "") + (f"^{sup}" if sup else "")
    return f"{sign}{limits} {_bare(element, 'm:e')}"


def _delimiters(element: Element) -> str:
    opening = _character(element, "m:dPr/m:begChr", "(")
    closing = _character(element, "m:dPr/m:endChr", ")")
    separator = _character(element, "m:dPr/m:sepChr", ", ")
    return opening + separator.join(equation_text(item).strip() for item in element.iterchildren(name("m:e"))) + closing


def _function(element: Element) -> str:
    argument = _operand(element, "m:e")
    return f"{_bare(element, 'm:fName')}{argument if argument.startswith('(') else f'({argument})'}"


def _limit(element: Element) -> str:
    return f"{_bare(element, 'm:e')}_{_operand(element, 'm:lim')}"


def _matrix(element: Element) -> str:
    rows = element.iterchildren(name("m:mr"))
    return "[" + "; ".join(", ".join(map(equation_text, row.iterchildren(name("m:e")))) for row in rows) + "]"


def _lines(element: Element) -> str:
    return "\n".join(equation_text(line).strip() for line in element.iterchildren(name("m:e")))


def _character(element: Element, path: str, default: str) -> str:
    """The character of a property; an empty one means none, an absent one the default."""
    target = child(element, path)
    return default if target is None else target.get(name("m:val")) or ""


WRITERS: dict[str, Callable[[Element], str]] = {
    name("m:f"): _fraction,
    name("m:sSup"): _scripts,
    name("m:sSub"): _scripts,
    name("m:sSubSup"): _scripts,
    name("m:rad"): _root,
    name("m:nary"): _operator,
    name("m:d"): _delimiters,
    name("m:func"): _function,
    name("m:limLow"): _limit,
    name("m:limUpp"): _limit,
    name("m:m"): _matrix,
    name("m:eqArr"): _lines,
}
