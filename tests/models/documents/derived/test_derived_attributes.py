"""What a store may ask of a file's text: language, title, dates and keywords as attributes."""

from datetime import date

import pytest

from models.documents.chunkers.base import ChunkingOptions
from models.documents.derived.dates import MONTHS, dates_in
from models.documents.derived.keywords import keywords_of
from models.documents.file_parser import FileParser
from models.enrichment.options import KINDS, Enrichment, IngestOptions
from models.filters import Attributes
from models.tokens.text_tokenizer import WordTokenizer

EVERYTHING = Enrichment(language=True, title=True, dates=True, max_keywords=8)
TIDES = """# Spring tides of the harbour

The spring tide comes twice a month. The harbour master posts the spring tide on 3 May 2024 and on 2024-05-18.
A neap tide follows a spring tide after seven days, and the harbour is then calm.
"""
GEZEITEN = """# Springfluten im Hafen

Die Springflut kommt zweimal im Monat. Der Hafenmeister kündigt die Springflut am 3. Mai 2024 an, und wieder am
18.05.2024. Nach der Springflut ist der Hafen ruhig, denn die Nippflut folgt nach sieben Tagen.
"""


def derived(content: str, filename: str, enrichment: Enrichment = EVERYTHING, masked: bool = False) -> Attributes:
    options = IngestOptions(enrichment, KINDS if masked else ())
    return FileParser(WordTokenizer())(content.encode(), filename, ChunkingOptions(), options).derived


@pytest.mark.parametrize(("content", "language"), [(TIDES, "en"), (GEZEITEN, "de")])
def test_a_file_tells_its_language_title_and_dates(content: str, language: str) -> None:
    attributes = derived(content, "tides.md")

    assert attributes["auto.language"] == language
    assert attributes["auto.title"] == content[2:].split("\n")[0]
    assert attributes["auto.date"] == attributes["auto.first_date"] == "2024-05-03"
    assert attributes["auto.last_date"] == "2024-05-18"
    assert attributes["auto.dates"] == "2024-05-03, 2024-05-18"


def test_keywords_are_listed_and_each_is_an_attribute() -> None:
    attributes = derived(TIDES, "tides.md", Enrichment(max_keywords=4))

    keywords = str(attributes["auto.keywords"]).split(", ")
    assert 1 <= len(keywords) <= 4
    assert "spring tide" in " ".join(keywords)
    assert attributes == {"auto.keywords": ", ".join(keywords)} | {f"auto.keyword.{word}": True for word in keywords}


def test_nothing_is_derived_that_is_not_asked_for() -> None:
    assert derived(TIDES, "tides.md", Enrichment()) == {}
    assert derived(TIDES, "tides.md", Enrichment(language=True)) == {"auto.language": "en"}
    assert derived("42 17 2.5", "numbers.txt", Enrichment(language=True, dates=True)) == {}


def test_attributes_come_from_the_masked_text() -> None:
    attributes = derived(
        f"# Mail of jane@example.com\n\n{'Write to jane@example.com today. ' * 5}", "a.md", masked=True
    )

    assert "example" not in str(attributes)
    assert "jane" not in str(attributes)
    assert attributes["auto.title"] == "Mail of [EMAIL]"


def test_values_are_within_the_limits_of_attributes() -> None:
    attributes = derived("# " + "very long " * 200 + "\n\n" + "Donaudampfschifffahrtsgesellschaft " * 50, "a.md")

    assert max(len(name) for name in attributes) <= 64
    assert max(len(value) for value in attributes.values() if isinstance(value, str)) <= 512


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-03", "2024/05/03", "on 3 May 2024.", "May 3, 2024", "3rd of May 2024", "3. Mai 2024", "03.05.2024",
        "le 3 mai 2024", "el 3 de mayo de 2024", "il 3 maggio 2024", "3 de maio de 2024", "3 mei 2024", "3 maj 2024",
        "3. toukokuuta 2024", "3 maja 2024", "3. května 2024", "3 mai 2024", "3 Mayıs 2024", "3 мая 2024",
        "3 травня 2024", "3 Μαΐου 2024", "2024年5月3日", "2024년 5월 3일", "3\nMay 2024", "MAY 3, 2024",
    ],
)  # fmt: skip
def test_dates_of_many_languages(text: str) -> None:
    assert dates_in(text) == [date(2024, 5, 3)]


def test_months_are_complete_in_every_language() -> None:
    assert set(MONTHS.values()) == set(range(1, 13))
    assert (MONTHS["november"], MONTHS["décembre"], MONTHS["листопада"], MONTHS["augusztus"]) == (11, 12, 11, 8)


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "31.04.2024", "version 1.2.2024.1", "May 2024", "2024", "03/04/2024", "12/2024", "99 May 2024",
     "0123-45-67", "3 Maybe 2024", "192.168.2024-05-03x"],
)  # fmt: skip
def test_what_is_not_surely_a_date_is_none(text: str) -> None:
    assert dates_in(text) == []


def test_a_language_but_english_writes_the_day_first() -> None:
    assert dates_in("03/04/2024", "fr") == [date(2024, 4, 3)]
    assert dates_in("12/25/2024 25/12/2024", "en") == [date(2024, 12, 25)]


@pytest.mark.parametrize(
    ("text", "language", "keyword"),
    [
        ("合同的费用由租户承担。合同在五月结束。租户支付费用。", "zh", "合同"),
        ("サーバーの設定を変更します。サーバーを再起動します。", "ja", "サーバー"),
        ("Приливы в гавани высокие. Гавань закрыта, когда приливы высокие.", "ru", "приливы"),
        ("계약서 내용입니다. 계약서 기간은 일년입니다. 계약서 서명", "ko", "계약서"),
    ],
)
def test_keywords_of_other_scripts(text: str, language: str, keyword: str) -> None:
    assert keyword in keywords_of(text, 5, language)


@pytest.mark.parametrize("text", ["", " ", "1 2 3", "the of and", "[EMAIL] [PHONE]", "!!!"])
def test_a_text_without_words_has_no_keywords(text: str) -> None:
    assert keywords_of(text, 8, "en") == []
