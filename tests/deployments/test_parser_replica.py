"""The parser's replica, without Ray around it: what it reports of its work."""

import asyncio

from deployments.autoscaling import BACKLOG_S, DEMAND
from deployments.parser import Parser
from models.catalog import Catalog

TEXT = b"The spring tide comes twice a month."


async def test_files_that_wait_are_backlog_and_those_that_are_parsed_are_none() -> None:
    parser = Parser(Catalog.open())
    await parser.reconfigure({"tokenizer": "minilm"})

    await parser.parse(TEXT, "tides.txt", None)
    parsed = parser.record_autoscaling_stats()
    files = [asyncio.create_task(parser.parse(TEXT, "tides.txt", None)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting = parser.record_autoscaling_stats()
    await asyncio.gather(*files)

    assert parsed[DEMAND] > 0
    assert parsed[BACKLOG_S] == 0
    assert waiting[BACKLOG_S] > 0
    assert parser.record_autoscaling_stats()[BACKLOG_S] == 0
