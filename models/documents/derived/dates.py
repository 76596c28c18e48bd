"""The dates that a text names: in digits as ISO 8601 or by day, month and year, and with the month's name.

It is strict. 03/04/2024 is no date in an English text, where its day and its month could be exchanged. Nor is a month
without a day.
"""

import re
from collections.abc import Iterator
from datetime import date

# January to December; further forms of a month after a slash.
_MONTHS = """
january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sept/sep october/oct
november/nov december/dec
januar/jänner februar/feber märz april mai juni juli august september oktober/okt november dezember/dez
janvier/janv février/févr/fevrier mars avril/avr mai juin juillet/juil août/aout septembre octobre novembre décembre/déc
enero/ene febrero marzo abril/abr mayo junio julio agosto/ago septiembre/setiembre octubre noviembre diciembre/dic
gennaio/gen febbraio marzo aprile maggio/mag giugno/giu luglio/lug agosto settembre/set ottobre/ott novembre dicembre
janeiro fevereiro/fev março abril maio/mai junho julho agosto setembro outubro/out novembro dezembro
januari februari maart/mrt april mei juni juli augustus september oktober november december
januari februari mars april maj juni juli augusti september oktober november december
januar februar mars/marts april mai/maj juni juli august september oktober november desember/december
tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta marraskuuta
joulukuuta
stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia
ledna února března dubna května června července srpna září října listopadu prosince
ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie
ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık
января февраля марта апреля мая июня июля августа сентября октября ноября декабря
січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня
ιανουαρίου φεβρουαρίου μαρτίου απριλίου μαΐου ιουνίου ιουλίου αυγούστου σεπτεμβρίου οκτωβρίου νοεμβρίου δεκεμβρίου
január február március április május június július augusztus szeptember október november december
"""
MONTHS = {name: number % 12 + 1 for number, names in enumerate(_MONTHS.split()) for name in names.split("/")}
MAX_DATES = 16
MIN_YEAR, MAX_YEAR = 1500, 2199

_YEAR = r"(?P<year>[12]\d{3})(?!\w|\.\d)"
_DAY = r"(?<![\w./,-])(?P<day>\d{1,2})"
_NAME = r"(?P<name>[^\W\d_]{3,14})\.?"
_GAP = r"[ \t]{0,3}+\n?[ \t]{0,3}+"  # possessive, and bounded: time is linear in any text
_FORMS = (
    re.compile(r"(?<![\w./-])(?P<year>[12]\d{3})(?P<sign>[-/.])(?P<month>\d\d?)(?P=sign)(?P<day>\d\d?)(?![\d/-]|\.\d)"),
    re.compile(rf"{_DAY}\. ?(?P<month>\d{{1,2}})\. ?{_YEAR}"),
    re.compile(rf"{_DAY}(?P<sign>[/-])(?P<second>\d{{1,2}})(?P=sign){_YEAR}(?![/-])"),
    re.compile(
        rf"{_DAY}(?:\.|st|nd|rd|th|er|º|ª|°)?{_GAP}(?:of |de |di |d')?{_NAME},?{_GAP}(?:de |del |of )?{_YEAR}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<!\w){_NAME}{_GAP}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?{_GAP}{_YEAR}", re.IGNORECASE),
    re.compile(r"(?<!\d)(?P<year>[12]\d{3}) ?[年년] ?(?P<month>\d{1,2}) ?[月월] ?(?P<day>\d{1,2}) ?[日일]"),
)


def dates_in(text: str, language: str = "") -> list[date]:
    """The distinct dates in the order of their first mention, at most MAX_DATES. Time is linear in the text.

    `language` is a code of ISO 639-1. Languages but English write the day before the month.
    """
    is_day_first = language not in ("", "en")
    mentions = sorted(mention for form in _FORMS for mention in _read(form, text, is_day_first))
    return list(dict.fromkeys(day for _, day in mentions))[:MAX_DATES]


def _read(form: re.Pattern[str], text: str, is_day_first: bool) -> Iterator[tuple[int, date]]:
    """The place and the day of each date in this form."""
    for mention in form.finditer(text):
        fields = mention.groupdict()
        day, month = _day_and_month(fields, is_day_first)
        try:
            yield mention.start(), _checked(int(fields["year"]), month, day)
        except ValueError:
            continue  # 2024-02-30, or a word that is no month


def _day_and_month(fields: dict[str, str], is_day_first: bool) -> tuple[int, int]:
    """A month of 0 if it is not sure."""
    day = int(fields["day"])
    if name := fields.get("name"):
        return day, MONTHS.get(name.lower(), 0)
    if (second := fields.get("second")) is None:
        return day, int(fields["month"])
    month = int(second)
    if month > 12:
        return month, day
    return day, month if is_day_first or day > 12 or day == month else 0


def _checked(year: int, month: int, day: int) -> date:
    if not MIN_YEAR <= year <= MAX_YEAR:
        raise ValueError(year)
    return date(year, month, day)
