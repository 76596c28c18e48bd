"""What a question recalls."""

import numpy as np
import pytest

from models.types.arrays import FloatArray
from serve.conversations.recall import exchanges, group_scores
from serve.pipelines.answering import Turn

OVEN = (Turn("u1", "user", "Tell me of the oven."), Turn("a1", "assistant", "It heats to 250 degrees."))
MILL = (Turn("u2", "user", "Tell me of the mill."), Turn("a2", "assistant", "It opens in winter."))
TUG = (Turn("u3", "user", "Tell me of the tug."), Turn("a3", "assistant", "It is 9 metres long."))


def unit(*values: float) -> FloatArray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_turns_are_grouped_by_what_the_user_said() -> None:
    leading = Turn("a0", "assistant", "Hello!")

    assert exchanges((leading, *OVEN, MILL[0], *TUG)) == [(leading,), OVEN, (MILL[0],), TUG]
    assert exchanges(()) == []


def test_a_score_is_the_nearest_messages_cosine_and_the_weight_of_the_words() -> None:
    vectors = {"u1": unit(0, 1), "a1": unit(1, 0), "u2": unit(0, 1)}

    scores = group_scores("oven", unit(1, 0), [OVEN, MILL, TUG], vectors)

    # The cosines are 1 and 0; the last exchange has no vector, so it gets their mean. Only the first has the word.
    assert scores == pytest.approx([1.3, 0.0, 0.5])


def test_without_vectors_words_decide() -> None:
    assert group_scores("oven", None, [OVEN, MILL], {}) == pytest.approx([0.3, 0.0])
