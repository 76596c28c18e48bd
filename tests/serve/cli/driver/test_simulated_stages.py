"""The times of simulated stages. Numbers can be redone by hand."""

import pytest

from serve.cli.driver.simulated_stages import BatchTime, DecodeTime


def test_a_batch_costs_its_pass_and_its_items() -> None:
    assert BatchTime(fixed_s=0.015, item_s=0.035).seconds(8) == pytest.approx(0.295)


def test_an_engine_is_slower_the_more_it_runs_but_runs_no_more_than_its_slots() -> None:
    engine = DecodeTime(num_tokens=8, step_s=0.020, request_s=0.001, slots=16)

    assert engine.seconds(1) == pytest.approx(8 * 0.021)
    assert engine.seconds(16) == engine.seconds(40) == pytest.approx(8 * 0.036)
