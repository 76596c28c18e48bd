import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.generation.sentences import MAX_UNIT_CHARS, sentence_spans, unwrapped

MARKDOWN_PIECES = [
    "# Title",
    "- item",
    "1. step",
    "```",
    "    code",
    "| a | b |",
    "It is so. Is it?",
    ":",
    "\n",
    " ",
    "\r",
]


def units(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_prose_is_split_into_sentences_across_its_line_breaks() -> None:
    text = "Dr. Smith paid $3.50\nfor it. He left (at 5 p.m.) in a hurry.\n\nNobody knew why."

    assert units(text) == ["Dr. Smith paid $3.50\nfor it.", "He left (at 5 p.m.) in a hurry.", "Nobody knew why."]


SENTENCES = {
    "german": ["Der Umbau kostet rund 12 Mio. Euro laut Nr. 7 des Plans.", "Er beginnt am 14. Mai."],
    "italian": ["Il sig. Conti abita in via L. Manara n. 8.", "La risposta della dott.ssa Riva è a pag. 3."],
    "french": ["M. Leroy habite au no. 12 de la rue.", "Le plan est dans le chap. 4 du livre."],
    "spanish": ["El Sr. Ruiz vive en la Av. Central núm. 9.", "La reunión es el lunes."],
    "russian": ["Склад находится на ул. Мира, д. 7, см. рис. 2.", "Население города 2 млн. человек."],
    "dutch": ["Dhr. Smit woont op nr. 4 van het plein.", "Het kost ca. 3 mln. euro."],
    "danish": ["Mødet er den 3. november hos hr. Holm.", "Det koster ca. 4 mio. kr. om året."],
    "finnish": ["Kokous on 3. marraskuuta ja se on auki.", "Se maksaa n. 4 euroa."],
    "hungarian": ["A bolt a 2. emeleten van a kb. száz éves házban.", "Az ajtó nyitva van."],
    "portuguese": ["O Sr. Costa mora na av. Brasil, n. 7 do bairro.", "A reunião é na segunda."],
    "turkish": ["Toplantı 3. katta ve Dr. Kaya bu saatte gelecek.", "Kapı açık ve bu iyi."],
    "english": ["The fee is approx. 40 dollars.", "Mr. Hale of Acme Inc. paid it; see Fig. 2."],
    "chinese": ["仓库在二楼。", "星期一开放！"],
    "arabic": ["المخزن في الطابق الثاني.", "نعم.", "يفتح يوم الاثنين."],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_an_abbreviation_or_an_ordinal_ends_no_sentence(language: str) -> None:
    sentences = SENTENCES[language]

    assert units(("" if language == "chinese" else " ").join(sentences)) == sentences


def test_a_sentence_may_begin_with_an_initial() -> None:
    assert units("J. Moreau wrote it. M. Petit read it.") == ["J. Moreau wrote it.", "M. Petit read it."]


def test_headings_list_items_and_table_rows_are_units_by_themselves() -> None:
    items = "- five seconds. At most.\n- ten\n  retries\n1) one"
    text = f"## Limits\nTwo things:\n{items}\n\n| a | b |\n|---|---|\n| c | d |\n"

    assert units(text) == [
        "## Limits",
        "Two things:",
        "- five seconds. At most.",
        "- ten\n  retries",
        "1) one",
        "| a | b |",
        "| c | d |",
    ]


def test_an_underlined_heading_does_not_run_into_the_text() -> None:
    assert units("Setup\n=====\nDo this now.") == ["Setup", "Do this now."]


def test_a_code_block_belongs_to_the_sentence_before_it() -> None:
    text = "It is easy. Install it with pip:\n\n```shell\n$ pip install httpx\n```\n\nThen import it."

    assert units(text) == [
        "It is easy.",
        "Install it with pip:\n\n```shell\n$ pip install httpx\n```",
        "Then import it.",
    ]


def test_code_without_a_fence_is_told_by_its_looks() -> None:
    text = "Make a request.\n\nr = httpx.get(url)\nprint(r.text)\n\nNote:\n\nIt may fail. Catch that."

    assert units(text) == [
        "Make a request.\n\nr = httpx.get(url)\nprint(r.text)",
        "Note:",
        "It may fail.",
        "Catch that.",
    ]


def test_a_sole_line_after_a_colon_completes_its_sentence() -> None:
    assert units("Build it:\n\nmake all\n\nThat is it.") == ["Build it:\n\nmake all", "That is it."]


def test_indented_code_belongs_to_a_sentence_that_ends_in_a_colon() -> None:
    assert units("Run::\n\n    make\n\n    make test\n\nDone.") == ["Run::\n\n    make\n\n    make test", "Done."]


def test_a_long_code_block_is_split_into_its_lines() -> None:
    lines = [f"value_{number} = {number}" for number in range(60)]
    text = "Set:\n```\n" + "\n".join(lines) + "\n```\n"

    assert units(text) == ["Set:", *lines]


def test_a_code_block_that_the_chunk_cuts_off_stays_code() -> None:
    assert units("```\nmake\n\n# not a heading") == ["make", "# not a heading"]


def test_long_text_without_a_full_stop_is_split_at_its_lines() -> None:
    line = "word " * 50

    assert units(f"{line}\n{line}\n{line}\n") == [line.strip()] * 3


def test_nothing_without_a_word_is_a_unit() -> None:
    assert units("") == units(" \n\n---\n***\n...\n") == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(MARKDOWN_PIECES) | st.text(max_size=20), max_size=30).map("".join))
def test_units_are_ordered_disjoint_stripped_and_lose_no_word(text: str) -> None:
    spans = sentence_spans(text)

    ends = [0, *(end for _, end in spans)]
    assert all(before <= start < end for before, (start, end) in zip(ends, spans, strict=False))
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
    between = [text[end:start] for end, (start, _) in zip(ends, [*spans, (len(text), 0)], strict=True)]
    # The only words outside are the language names of code fences.
    assert all("```" in gap or not any(character.isalnum() for character in gap) for gap in between)


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="ab.\n `:", max_size=3 * MAX_UNIT_CHARS))
def test_a_unit_with_line_breaks_is_never_longer_than_the_limit(text: str) -> None:
    assert all(end - start <= MAX_UNIT_CHARS for start, end in sentence_spans(text) if "\n" in text[start:end])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The barge waits\n  below the weir.", "The barge waits below the weir."),
        ("船在水坝下面\n等待。", "船在水坝下面等待。"),
        ("x = f(1)\ny = g(x)", "x = f(1)\ny = g(x)"),
        ("- A barge\n  waits.", "- A barge\n  waits."),
        ("Run it:\n\n```\nmake up\n```", "Run it:\n\n```\nmake up\n```"),
        ("Barge", "Barge"),
    ],
)
def test_a_sentence_broken_into_lines_is_shown_on_one(text: str, shown: str) -> None:
    assert unwrapped(text) == shown
