"""Which sentences a passage supports, by their words and numbers."""

import pytest

from models.generation.support import Unsupported, is_supported, statements, unsupported
from models.types.chunks import Passage


def passage(text: str, context: str = "") -> Passage:
    return Passage(1, "chunk-1", "file-1", "loom.md", text, 0, len(text), context)


LOOM = passage("The loom weaves wool into blankets. It needs 1,450 threads and stops at 90 percent humidity.", "Loom")
DYES = passage("Madder gives red. Indigo gives blue after two days in the vat.", "Dyes")
FRENCH = passage("Le métier Jacquard tisse la laine. Il est dans la salle 12.")


@pytest.mark.parametrize(
    "sentence",
    [
        "The loom weaves wool into blankets.",
        "Blankets are woven from wool on the loom.",
        "2. It needs 1450 threads.",
        "Indigo turns blue after two days.",
        "The passages do not say more about this.",
        "I do not know.",
        "",
    ],
)
def test_a_sentence_from_a_passage_is_supported(sentence: str) -> None:
    assert is_supported(sentence, (LOOM, DYES))


@pytest.mark.parametrize(
    "sentence",
    [
        "The loom needs 1,540 threads.",
        "It stops at 19 percent humidity.",
        "Saffron from Iran is the most expensive spice.",
        "Safran ist teuer und kommt aus Persien.",
        "サフランはとても高い香辛料です。",
    ],
)
def test_other_words_and_other_numbers_are_not(sentence: str) -> None:
    assert not is_supported(sentence, (LOOM, DYES))


def test_nothing_is_supported_without_passages() -> None:
    assert not is_supported("The loom weaves wool.", ())


def test_in_another_language_a_name_and_the_numbers_decide() -> None:
    assert is_supported("The Jacquard is in hall 12 and that is where they work with it.", (FRENCH,))
    assert not is_supported("The Jacquard is in hall 13 and that is where they work with it.", (FRENCH,))


def test_marked_sentences_have_their_places_in_the_answer() -> None:
    text = "The loom weaves wool [1].\n\n- Horses sleep standing. [2]\n- It needs 1,450 threads [1][2]."

    [marked] = unsupported(text, (LOOM, DYES))

    assert marked == Unsupported("- Horses sleep standing.", text.index("- Horses"), text.index("\n- It needs"))


@pytest.mark.parametrize(
    "text",
    [
        "One. Two [1]. Three! [2][3] Four?",
        "  A heading:\n\n1. First [1]\n2. Second [2]\n\n```\nx = f(1)\n```\nDone.",
        "字が続く。二つ目の文です[1]。最後。",
        "",
        "[1]",
    ],
)
def test_the_statements_are_the_whole_text(text: str) -> None:
    pieces = statements(text)

    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    joined = "".join(text[piece.start : piece.end] for piece in pieces)
    assert joined == (text.rstrip() if pieces else "")
