"""Numbers of spreadsheets as their cells show them: 0.25 with the format 0% is 25%, 46084 with yyyy-mm-dd a date."""

import re
from datetime import datetime, timedelta
from functools import lru_cache

BUILT_IN = {
    **{1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??"},
    # What these show depends on the reader's country: ISO's order is the same everywhere.
    **{14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 22: "yyyy-mm-dd hh:mm"},
    **{18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0"},
    **{37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)"},
    **{41: "#,##0", 42: "$#,##0", 43: "#,##0.00", 44: "$#,##0.00", 48: "##0.0E+0", 49: "@"},
    **dict.fromkeys((*range(27, 32), *range(34, 37), *range(50, 59)), "yyyy-mm-dd"),  # dates of East Asia
    **dict.fromkeys((32, 33), "h:mm:ss"),
}
TOKEN = re.compile(
    r'"(?P<text>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]|\[(?P<elapsed>h+|m+|s+)\]'
    r"|\[[^\]]*\]|(?P<general>General)|(?P<ampm>AM/PM|A/P)|(?P<date>y+|m+|d+|h+|s+|e+(?![+-]))|(?P<number>[0#?][0#?,.]*|\.[0#?]+)"
    r"|(?P<exponent>E[+-][0#?]+)|(?P<fraction>\s[#?0]*/[#?0-9]+|/[?0-9]+)|(?P<other>.)",
    re.IGNORECASE,
)
MAX_SIGNIFICANT = 15
EPOCH, EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
MAX_DAYS = 2_958_465  # 9999-12-31
MAX_DECIMALS = 30
MONTHS = tuple(
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Token = tuple[str, str]  # (kind, text)


def shown(number: float, code: str, is_1904: bool = False) -> str:
    """The number under a format code. A code that is not understood gives the plain number."""
    sections = _sections(code)
    section = sections[0]
    if number < 0 and any(kind in ("date", "elapsed") for kind, _ in section):
        return general(number)
    if number < 0 and len(sections) > 1:
        section, number = sections[1], -number
    elif number == 0 and len(sections) > 2:
        section = sections[2]
    kinds = {kind for kind, _ in section}
    if "date" in kinds or "elapsed" in kinds:
        return _date(number, section, is_1904)
    if "general" in kinds or "fraction" in kinds:
        return _around(section, general(number))
    return _number(number, section) if "number" in kinds else _around(section, "")


def general(number: float) -> str:
    """The number as Excel's format General shows it, without the noise of binary fractions."""
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.{MAX_SIGNIFICANT}g}"


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[tuple[Token, ...], ...]:
    """The tokens of each section: positive; negative; zero."""
    if code.strip() in ("", "@"):
        return ((("general", ""),),)
    sections: list[list[Token]] = [[]]
    for match in TOKEN.finditer(code[:255]):
        kind = match.lastgroup or ""
        text = match.group(kind) if kind else ""
        if kind == "other" and text == ";":
            sections.append([])
        elif kind in ("escaped", "other"):
            sections[-1].append(("text", text))
        elif kind:
            sections[-1].append((kind, text))
    return tuple(map(tuple, sections[:3]))


def _number(number: float, section: tuple[Token, ...]) -> str:
    pattern = next(text for kind, text in section if kind == "number")
    whole, _, decimals = pattern.partition(".")
    if number == 0 and "0" not in pattern:
        return _around(section, "")
    number *= 100 ** sum(text.count("%") for kind, text in section if kind == "text")
    thousands = len(pattern) - len(pattern.rstrip(","))  # each of these commas divides by 1,000
    number /= 1000**thousands
    num_decimals = min(sum(map(decimals.count, "0#?")), MAX_DECIMALS)
    if any(kind == "exponent" for kind, _ in section):
        text = f"{number:.{num_decimals}E}"
    else:
        text = f"{number:{',' if ',' in whole.rstrip(',') else ''}.{num_decimals}f}"
        text = _without_optional(text, decimals)
        text = text.zfill(whole.count("0")) if "," not in whole else text
    return _around(section, text)


def _without_optional(text: str, decimals: str) -> str:
    """Zeros at the end where the format has # or ?."""
    for place in reversed(decimals):
        if place not in "#?" or not text.endswith("0"):
            break
        text = text[:-1]
    return text.rstrip(".")


def _around(section: tuple[Token, ...], text: str) -> str:
    pieces: list[str] = []
    for kind, piece in section:
        if kind in ("number", "general", "fraction"):
            pieces.append(text)
            text = ""
        elif kind in ("text", "currency"):
            pieces.append(piece)
    return "".join(pieces).strip()


def _date(number: float, section: tuple[Token, ...], is_1904: bool) -> str:
    days = number if is_1904 or number >= 60 else number + 1  # Excel has a 29 February 1900
    if not 0 <= days <= MAX_DAYS:
        return general(number)
    moment = (EPOCH_1904 if is_1904 else EPOCH) + timedelta(milliseconds=round(days * 86_400_000))
    seconds = round(number * 86_400)
    has_half = any(kind == "ampm" for kind, _ in section)
    pieces: list[str] = []
    for place, (kind, text) in enumerate(section):
        if kind == "date":
            pieces.append(_date_part(moment, text.lower(), has_half, _is_minute(section, place)))
        elif kind == "elapsed":
            pieces.append(str(seconds // {"h": 3600, "m": 60, "s": 1}[text[0].lower()]).zfill(len(text)))
        elif kind == "ampm":
            pieces.append("AM" if moment.hour < 12 else "PM")
        elif kind == "number":
            pieces.append(f".{moment.microsecond // 1000:03d}"[: len(text)])
        elif kind in ("text", "currency"):
            pieces.append(text)
    return "".join(pieces).strip()


def _is_minute(section: tuple[Token, ...], place: int) -> bool:
    """Whether m means minutes: after hours, or before seconds."""
    times = [(at, text[0].lower()) for at, (kind, text) in enumerate(section) if kind in ("date", "elapsed")]
    before = [letter for at, letter in times if at < place]
    after = [letter for at, letter in times if at > place]
    return before[-1:] == ["h"] or after[:1] == ["s"]


def _date_part(moment: datetime, token: str, has_half: bool, is_minute: bool) -> str:
    size = len(token)
    hour = (moment.hour % 12 or 12) if has_half else moment.hour
    plain = {"d": moment.day, "h": hour, "s": moment.second, "m": moment.minute if is_minute else moment.month}
    if token[0] in "ye":
        return f"{moment.year % 100:02d}" if token[0] == "y" and size < 3 else str(moment.year)
    if token[0] == "d" and size > 2:
        return DAYS[moment.weekday()][: 3 if size == 3 else None]
    if token[0] == "m" and size > 2 and not is_minute:
        return MONTHS[moment.month - 1][: {3: 3, 5: 1}.get(size)]
    return str(plain[token[0]]).zfill(min(size, 2))
