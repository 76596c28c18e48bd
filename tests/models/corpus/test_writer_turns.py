"""Writers that wait for the database leave threads to the reads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed, wait

import pytest

from models.corpus.writer_turns import MAX_PATIENT, WriterTurns
from models.errors.storage import DatabaseBusyError
from tests.patience import PATIENCE_S


def take_turn(turns: WriterTurns, work: Callable[[], object] = bool) -> None:
    with turns.turn():
        work()


def test_while_no_writer_ends_the_first_wait_and_further_ones_are_refused() -> None:
    turns, may_end = WriterTurns(1, PATIENCE_S), threading.Event()
    with ThreadPoolExecutor(2 * MAX_PATIENT) as pool:
        holding = threading.Event()
        first = pool.submit(take_turn, turns, lambda: (holding.set(), may_end.wait(PATIENCE_S)))
        assert holding.wait(PATIENCE_S)
        others = [pool.submit(take_turn, turns) for _ in range(2 * MAX_PATIENT - 1)]
        ended = as_completed(others, PATIENCE_S)
        refused = [next(ended) for _ in range(MAX_PATIENT)]
        waiting = [each for each in others if not each.done()]
        with pytest.raises(DatabaseBusyError, match="its writers wait for each other"):
            take_turn(turns)
        may_end.set()
        wait([first, *others], PATIENCE_S)

    assert {type(each.exception()) for each in refused} == {DatabaseBusyError}
    assert [each.exception() for each in (first, *waiting)] == [None] * MAX_PATIENT
    take_turn(turns)


@pytest.mark.parametrize("num_at_once", [1, 10])
def test_while_writers_end_all_get_their_turn(num_at_once: int) -> None:
    turns, lock, counts = WriterTurns(num_at_once, PATIENCE_S), threading.Lock(), [0, 0]

    def work() -> None:
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        with lock:
            counts[0] -= 1

    with ThreadPoolExecutor(4 * MAX_PATIENT) as pool:
        done = [pool.submit(take_turn, turns, work) for _ in range(400)]

    assert [each.exception() for each in done] == [None] * 400
    assert 1 <= counts[1] <= num_at_once


def test_a_writer_that_fails_gives_its_place_back() -> None:
    turns = WriterTurns(1, PATIENCE_S)
    for _ in range(2 * MAX_PATIENT):
        with pytest.raises(KeyError), turns.turn():
            raise KeyError
    take_turn(turns)
