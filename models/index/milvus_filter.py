"""Filters as Milvus expressions, made of nothing but letters, digits, `-` and `_` between the quotes.

Each Milvus has its own rules of escaping, its own mind about comparing values of two types, and about keys that are
not there. So attributes are kept as text that every one of them orders as we do: a letter for the type, then a number's
bits or a string's UTF-8, in digits whose ASCII order is their value's. What a caller wrote never reaches the parser.
"""

import base64
import math
import struct

from models.filters import Attributes, AttributeValue, Comparison, Filter

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ORDERED = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_IN_ORDER = bytes.maketrans(_STANDARD, _ORDERED)
_SIGN = 1 << 63

_NOTHING = "(file_key == 0 and file_key == 1)"
_EVERYTHING = "(file_key == 0 or file_key != 0)"
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def encode_text(text: str) -> str:
    """Base64 without padding whose order is that of the text's code points."""
    encoded = base64.b64encode(text.encode(errors="surrogatepass")).rstrip(b"=")
    return encoded.translate(_IN_ORDER).decode()


def encode_attributes(attributes: Attributes) -> dict[str, str]:
    """What Milvus keeps of a file's attributes."""
    return {_name(key): _encode(value) for key, value in attributes.items()}


def to_expression(where: Filter) -> str:
    """A Milvus expression over the field `attributes` that lets through what `matches` does.

    Numbers are compared as doubles: integers past 2^53 may count as equal.
    """
    if isinstance(where, Comparison):
        return _comparison(where)
    return "(" + f" {where.op} ".join(to_expression(one) for one in where.filters) + ")"


def _comparison(where: Comparison) -> str:
    field = f'attributes["{_name(where.key)}"]'
    values = where.value if isinstance(where.value, tuple) else (where.value,)
    match where.op:
        case "eq" | "in":
            # Milvus Lite has no `in` for a JSON field's keys.
            equals = [f'{field} == "{_encode(value)}"' for value in values]
            return f"({' or '.join(equals)})" if equals else _NOTHING
        case "ne" | "nin":
            differs = [f'{field} != "{_encode(value)}"' for value in values]
            return f"((not (exists {field})) or ({' and '.join(differs)}))" if differs else _EVERYTHING
        case _:
            return _ordered(field, _SIGNS[where.op], values[0])


def _ordered(field: str, sign: str, value: AttributeValue) -> str:
    if isinstance(value, bool):
        return _NOTHING
    encoded = _encode(value)
    kind, next_kind = encoded[0], chr(ord(encoded[0]) + 1)
    return f'({field} {sign} "{encoded}" and {field} >= "{kind}" and {field} < "{next_kind}")'


def _name(key: str) -> str:
    return "k" + encode_text(key)


def _encode(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "b1" if value else "b0"
    return "s" + encode_text(value) if isinstance(value, str) else "n" + _encode_number(value)


def _encode_number(value: float) -> str:
    """Sixteen hex digits in the order of the numbers: the bits of a double, its sign turned round."""
    bits = int.from_bytes(struct.pack(">d", _to_double(value) + 0.0))  # -0.0 + 0.0 is 0.0, which it equals
    return f"{(bits ^ (_SIGN if bits < _SIGN else 2 * _SIGN - 1)):016x}"


def _to_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf
