"""Quotes for a question that names a version, a number or a part: the exact one first."""

import random

import pytest

from models.generation.citations import CitationStream
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest

NOTES = [
    f"# Release notes {name}\n\nVersion {name} fixes {count} bugs in the clock."
    for name, count in [("v2.4", 21), ("v2.4.3", 35), ("v2.4.30", 42), ("v3.4", 7)]
]
ADVISORIES = ["CVE-2021-4104 affects the winch. CVE-2021-41045 affects the crane. CVE-2020-4104 affects the boom."]
PARTS = ["The Q300 costs 9 EUR. The Q3000 costs 12 EUR. The Q30 costs 4 EUR."]
SECTIONS = ["## Section 7.2.1\n\nPumps are checked monthly.\n\n## Section 7.2\n\nNoise is checked yearly."]


async def quotes_of(question: str, texts: list[str], earlier: str = "") -> list[str]:
    passages = tuple(
        Passage(key, f"chunk{key}", f"file{key}", f"{key}.md", text, 0, len(text)) for key, text in enumerate(texts)
    )
    messages = (ChatMessage("user", question),)
    request = GenerationRequest("1", messages, passages, search_query=f"{question} {earlier}" if earlier else "")
    [delta] = [delta async for delta in ExtractiveModel("extractive", ExtractiveConfig()).stream(request)]
    return [citation.quote for citation in CitationStream(passages).read(delta).citations]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("question", "texts", "expected"),
    [
        ("How many bugs does v2.4 fix?", NOTES, "Version v2.4 fixes 21 bugs"),
        ("v2.4", NOTES, "Version v2.4 fixes 21 bugs"),
        ("V2.4.3", NOTES, "Version v2.4.3 fixes 35 bugs"),
        ("How many bugs are fixed in version 2.4.30?", NOTES, "Version v2.4.30 fixes 42 bugs"),
        ("CVE-2021-4104", ADVISORIES, "CVE-2021-4104 affects the winch."),
        ("What does cve-2021-41045 affect?", ADVISORIES, "CVE-2021-41045 affects the crane."),
        ("What does the q30 cost?", PARTS, "The Q30 costs 4 EUR."),
        ("What does the Q300 cost?", PARTS, "The Q300 costs 9 EUR."),
        ("What is checked by section 7.2?", SECTIONS, "Noise is checked yearly."),
        ("What is checked by section 7.2.1?", SECTIONS, "Pumps are checked monthly."),
    ],
)
async def test_the_exact_one_is_quoted_first(question: str, texts: list[str], expected: str, seed: int) -> None:
    shuffled = random.Random(seed).sample(texts, len(texts))

    assert expected in (await quotes_of(question, shuffled))[0]


async def test_a_follow_up_about_another_version_is_answered_for_that_one() -> None:
    quotes = await quotes_of("How many bugs does v3.4 fix?", NOTES, earlier="v2.4")

    assert "7 bugs" in quotes[0]


async def test_without_the_exact_one_the_order_is_that_of_the_words() -> None:
    assert await quotes_of("What does CVE-2021-4104 affect?", ["CVE-2020-1 affects the boom."])


async def test_quotes_of_one_file_stand_in_its_order_after_the_best() -> None:
    text = (
        "The mill turns in the wind. The mill has four sails. Bread is baked on Friday. "
        "The miller of the mill is Ada. The mill was built in 1790."
    )

    quotes = await quotes_of("When was the mill built?", [text])

    assert quotes[0] == "The mill was built in 1790."
    assert [text.index(quote) for quote in quotes[1:]] == sorted(text.index(quote) for quote in quotes[1:])
