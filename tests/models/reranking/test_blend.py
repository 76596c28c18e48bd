import numpy as np
import pytest

from models.errors.requests import InvalidRequestError
from models.reranking.blend import blend


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_weight_of_zero_is_the_reranker_alone_scaled_to_one() -> None:
    assert blend(scores(2, 6, 4), 0).tolist() == pytest.approx([0, 1, 0.5])


def test_a_weight_of_one_is_retrievals_order() -> None:
    assert blend(scores(2, 6, 4), 1).tolist() == pytest.approx([1, 10 / 11, 10 / 12])


def test_a_weight_between_mixes_the_two() -> None:
    # 0.5 * 0 + 0.5 * 1; 0.5 * 1 + 0.5 * 10/11; 0.5 * 0.5 + 0.5 * 10/12.
    assert blend(scores(2, 6, 4), 0.5).tolist() == pytest.approx([0.5, 21 / 22, 2 / 3])


def test_retrieval_decides_between_equals() -> None:
    blended = blend(scores(3, 3, 3), 0.4)

    assert np.argsort(-blended, kind="stable").tolist() == [0, 1, 2]
    assert blended[0] > blended[1] > blended[2]


def test_a_candidate_without_a_score_has_none_and_does_not_move_the_others() -> None:
    assert blend(scores(2, np.nan, 6, 4), 0.5).tolist() == pytest.approx(
        [0.5, np.nan, 11 / 12, 1 / 4 + 5 / 13], nan_ok=True
    )
    assert blend(scores(np.nan, 6), 0).tolist() == pytest.approx([np.nan, 1], nan_ok=True)


def test_nothing_blends_to_nothing() -> None:
    assert blend(scores(), 0.4).shape == (0,)


def test_the_result_is_float32() -> None:
    assert blend(scores(1, 2), 0.4).dtype == np.float32


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(InvalidRequestError, match="must be 0 to 1"):
        blend(scores(1, 2), weight)
