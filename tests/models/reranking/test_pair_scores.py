"""What a request that was cut short leaves behind for the next."""

import numpy as np

from models.reranking.base import RerankRequest, RerankWork
from models.reranking.pair_scores import PairScores

FERRY = RerankRequest("ferry", ("one", "two", "three"))


def work(scores: PairScores, request: RerankRequest) -> RerankWork:
    return RerankWork(request, (), scores.look_up(request))


def test_the_scores_of_a_cut_request_are_there_for_the_same_request() -> None:
    scores = PairScores()
    first = work(scores, FERRY)
    scores.keep(first, 0, 0.5)
    scores.keep(first, 2, 0.25)

    assert scores.finish(first, [0.5, None, 0.25]).tolist()[::2] == [0.5, 0.25]
    assert np.isnan(scores.finish(first, [0.5, None, 0.25])[1])
    again = work(scores, FERRY)

    assert again.state.missing_texts(FERRY) == ["two"]
    assert scores.finish(again, [2.0]).tolist() == [0.5, 2.0, 0.25]


def test_nothing_is_left_of_a_complete_request() -> None:
    scores = PairScores()
    first = work(scores, FERRY)
    for place in range(3):
        scores.keep(first, place, 1.0)

    scores.finish(first, [1.0, 1.0, 1.0])

    assert work(scores, FERRY).state.missing == (0, 1, 2)


def test_another_query_has_nothing_of_it() -> None:
    scores = PairScores()
    scores.keep(work(scores, FERRY), 0, 1.0)

    assert work(scores, RerankRequest("boat", FERRY.texts)).state.missing == (0, 1, 2)
    assert work(scores, RerankRequest("ferryo", ("ne", *FERRY.texts))).state.missing == (0, 1, 2, 3)


def test_the_oldest_scores_make_room() -> None:
    scores = PairScores(max_pairs=2)
    first = work(scores, FERRY)
    for place in range(3):
        scores.keep(first, place, 1.0)

    assert work(scores, FERRY).state.missing == (0,)


def test_a_request_without_texts_has_no_scores() -> None:
    scores = PairScores()

    assert scores.finish(work(scores, RerankRequest("ferry", ())), []).shape == (0,)
