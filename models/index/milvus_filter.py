"""Filters as Milvus expressions, which contain only letters, digits, `-` and `_` between quotes.

The kinds of Milvus differ in their rules for escaping, for comparing values of different types, and for missing keys.
So attributes are stored as text that sorts the same everywhere: a letter for the type, then the bits of a number or the
UTF-8 of a string, in digits that sort by value. The caller's own text never reaches Milvus' parser.
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
    """Encode as base64 without padding, with digits that sort as the text's code points do."""
    encoded = base64.b64encode(text.encode(errors="surrogatepass")).rstrip(b"=")
    return encoded.translate(_IN_ORDER).decode()


def encode_attributes(attributes: Attributes) -> dict[str, str]:
    """Encode a file's attributes for Milvus."""
    return {_name(key): _encode(value) for key, value in attributes.items()}


def to_expression(where: Filter) -> str:
    """Convert a filter to a Milvus expression on the field `attributes`, with the results of `matches`.

    Numbers are compared as doubles: integers past 2^53 may count as equal.
    """
    if isinstance(where, Comparison):
        return _comparison(where)
    return "(" + f" {where.op} ".join(to_expression(operand) for operand in where.filters) + ")"


def _comparison(where: Comparison) -> str:
    field = f'attributes["{_name(where.key)}"]'
    values = where.value if isinstance(where.value, tuple) else (where.value,)
    match where.op:
        case "eq" | "in":
            # Milvus Lite has no `in` for keys of a JSON field.
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
    """Encode as sixteen hex digits that sort as the numbers do: the bits of a double with a changed sign."""
    bits = int.from_bytes(struct.pack(">d", _to_double(value) + 0.0))  # -0.0 + 0.0 is 0.0; they are equal
    return f"{(bits ^ (_SIGN if bits < _SIGN else 2 * _SIGN - 1)):016x}"


def _to_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf
