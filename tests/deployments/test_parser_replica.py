"""The parser's replica, without Ray around it: what it reports of its work, and what a hostile file can do to it."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from itertools import accumulate
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel

from deployments import parser as parser_module
from deployments.autoscaling import BACKLOG_S, DEMAND
from deployments.calls.inline import InlineHandle
from deployments.parser import ParseCall, Parser, ParserClient
from models.catalog import Catalog
from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.errors.configuration import ConfigError
from models.errors.limits import OverloadedError
from models.errors.requests import UnreadableDocumentError
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk, ParsedFile
from tests.contexts import envelope, within
from tests.hostile.files import docx_with_photo, pdf_form_that_draws_itself, pdf_page_that_unpacks, png_bomb
from tests.models.documents.ocr.image_files import draw_lines, encoded
from tests.processes import parser_children

ENVELOPE = envelope(60)
# A fast machine fills 512 MiB before a starved test looks.
ROOMY = {"tokenizer": "minilm", "max_memory_mb": 6144, "max_cpu_s": 60}
TEXT = b"The spring tide comes twice a month."


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    parser = Parser(Catalog.open())
    await parser.reconfigure({"tokenizer": "minilm", "max_memory_mb": 512, "max_cpu_s": 60})
    yield parser
    await parser.close()


def wait_until_at_work(process: psutil.Process) -> None:
    while process.cpu_times().user < 1:
        time.sleep(0.05)


async def test_files_that_wait_are_backlog_and_those_that_are_parsed_are_none(parser: Parser) -> None:
    await parser.parse(
        TEXT, "tides.txt", None, ENVELOPE
    )  # starts a child, which may take longer than a rate looks back
    await parser.parse(TEXT, "tides.txt", None, ENVELOPE)
    idle = parser.record_autoscaling_stats()
    files = [asyncio.create_task(parser.parse(TEXT, "tides.txt", None, ENVELOPE)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting = parser.record_autoscaling_stats()
    await asyncio.gather(*files)

    assert idle[DEMAND] > 0
    assert idle[BACKLOG_S] == 0
    assert waiting[BACKLOG_S] > 0
    assert parser.record_autoscaling_stats()[BACKLOG_S] == 0


def measured(name: str, **labels: str) -> float:
    """The value of a metric of the Parser."""
    return REGISTRY.get_sample_value(f"ragserve_stage_{name}", {"stage": "parse", **labels}) or 0.0


async def test_files_beyond_those_at_once_wait_and_are_measured_apart_from_the_work(parser: Parser) -> None:
    names = ("queue_seconds_count", "compute_seconds_count", "batch_size_sum")
    await parser.reconfigure(ROOMY | {"files_at_once": 1})
    before, dropped = [measured(name) for name in names], measured("dropped_total", reason="cancelled")
    files = [asyncio.create_task(parser.parse(TEXT, "tides.txt", None, ENVELOPE)) for _ in range(3)]
    await asyncio.sleep(0)
    num_waiting = measured("waiting_calls")

    files[2].cancel()
    await asyncio.wait(files)

    assert (num_waiting, measured("waiting_calls")) == (3, 0)  # the first one waits for its process
    assert [measured(name) - value for name, value in zip(names, before, strict=True)] == [2, 2, 2]
    assert measured("dropped_total", reason="cancelled") == dropped + 1


@pytest.mark.slow
async def test_a_pdf_of_too_many_texts_fails_at_its_memory_limit_and_the_next_file_is_parsed(parser: Parser) -> None:
    content = pdf_page_that_unpacks()

    with pytest.raises(UnreadableDocumentError, match="more than 512 MiB of memory") as failure:
        await parser.parse(content, "texts.pdf", None, ENVELOPE)
    parsed = await parser.parse(TEXT, "tides.txt", None, ENVELOPE)

    assert len(content) < 300_000
    assert (failure.value.reason, failure.value.cause) == ("invalid_file", "too_complex")
    assert parsed.text == TEXT.decode()


async def test_a_pdf_that_draws_itself_fails_before_it_is_drawn(parser: Parser) -> None:
    with pytest.raises(UnreadableDocumentError, match="draw each other without end") as failure:
        await parser.parse(pdf_form_that_draws_itself(), "form.pdf", None, ENVELOPE)
    parsed = await parser.parse(TEXT, "tides.txt", None, ENVELOPE)

    assert failure.value.cause == "too_complex"
    assert parsed.text == TEXT.decode()
    assert len(parser_children()) == 1


async def test_a_file_that_is_no_longer_wanted_is_not_parsed_to_its_end(parser: Parser) -> None:
    await parser.reconfigure(ROOMY)
    await parser.parse(TEXT, "tides.txt", None, ENVELOPE)
    (process,) = parser_children()

    parsing = asyncio.create_task(parser.parse(pdf_page_that_unpacks(), "texts.pdf", None, ENVELOPE))
    await asyncio.to_thread(wait_until_at_work, process)
    parsing.cancel()
    await asyncio.gather(parsing, return_exceptions=True)

    assert not process.is_running()


async def test_a_message_of_files_has_an_answer_for_each(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_module, "SHARED_FILE_S", 60.0)  # the machine may be busy
    calls = [ParseCall(TEXT, "tides.txt", None), ParseCall(b"%PDF-1.7", "broken.pdf", None), ParseCall(TEXT, "b", None)]

    answers = await parser.parse_batch(calls, [ENVELOPE] * 3)

    assert [type(answer) for answer in answers] == [ParsedFile, UnreadableDocumentError, ParsedFile]


async def test_a_slow_file_of_a_message_is_left_to_a_message_of_its_own(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser_module, "SHARED_FILE_S", 1.0)
    await parser.reconfigure(ROOMY)
    calls = [ParseCall(TEXT, "tides.txt", None), ParseCall(pdf_page_that_unpacks(), "texts.pdf", None)]

    _, slow = await parser.parse_batch(calls, [ENVELOPE] * 2)

    assert slow is None
    assert isinstance(await parser.parse(TEXT, "tides.txt", None, ENVELOPE), ParsedFile)


async def test_the_client_asks_again_for_a_file_that_was_too_slow_to_share_a_message(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser_module, "SHARED_FILE_S", 0.0)  # so every file is too slow
    client = ParserClient(InlineHandle(parser, {}), "parse")
    retried, dropped = measured("retries_total"), measured("dropped_total", reason="deadline_exceeded")

    parsed = await client.parse(TEXT, "tides.txt", None, within(60))

    assert parsed.text == TEXT.decode()
    assert measured("retries_total") == retried + 1
    assert measured("dropped_total", reason="deadline_exceeded") == dropped


async def test_small_files_that_are_parsed_at_once_share_messages(parser: Parser) -> None:
    client = ParserClient(InlineHandle(parser, {}), "parse")
    contents = [f"Tide {number}.".encode() for number in range(10)]

    parsed = await asyncio.gather(*(client.parse(content, "tides.txt", None, within(60)) for content in contents))

    assert [file.text.encode() for file in parsed] == contents


async def test_what_is_left_out_of_a_file_is_counted_and_said(parser: Parser, caplog: pytest.LogCaptureFixture) -> None:
    page = b"<p>The tide comes.</p><p hidden>secret</p><p hidden>secret</p>"

    with caplog.at_level(logging.INFO, parser_module.logger.name):
        parsed = await parser.parse(page, "tides.html", None, ENVELOPE)

    assert parsed.text == "The tide comes."
    ((name, count),) = parsed.omissions
    assert count == 2
    assert f"left out 2 {name}" in caplog.text
    assert "secret" not in caplog.text


async def test_a_guessed_encoding_is_said_without_its_text(parser: Parser, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="deployments.parser"):
        parsed = await parser.parse("naïve".encode("cp1252"), "tides.txt", None, ENVELOPE)

    assert parsed.text == "naïve"
    assert "the encoding was guessed" in parsed.doubt
    assert parsed.doubt in caplog.text
    assert "naïve" not in caplog.text


async def test_a_busy_parser_is_healthy(parser: Parser) -> None:
    parsing = asyncio.create_task(parser.parse(TEXT * 3_000, "tides.txt", None, ENVELOPE))
    await asyncio.sleep(0)

    await parser.check_health()

    assert not parsing.done()
    await parsing


async def test_a_new_user_config_takes_effect_with_the_next_file(parser: Parser) -> None:
    text = b"Tides rise. " * 200
    before = await parser.parse(text, "tides.txt", None, ENVELOPE)

    await parser.reconfigure({"tokenizer": "minilm", "chunk_max_tokens": 64})
    after = await parser.parse(text, "tides.txt", None, ENVELOPE)

    assert len(after.chunks) > len(before.chunks)
    assert len(parser_children()) == 1


async def test_a_large_picture_is_no_hindrance(parser: Parser) -> None:
    parsed = await parser.parse(docx_with_photo("The tide comes.", 9 * 1024**2), "photo.docx", None, ENVELOPE)

    assert parsed.text == "The tide comes."


class LinesConfig(BaseModel):
    """The test's own chunker has no options."""


class LineChunker:
    """Makes a chunk of each line."""

    config_class = LinesConfig

    def __init__(self, name: str, config: LinesConfig) -> None:
        """Nothing to load."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        lines = document.text.splitlines()
        starts = accumulate((len(line) + 1 for line in lines), initial=0)
        return [Chunk(line, start, start + len(line), "", 1) for line, start in zip(lines, starts, strict=False)]


async def test_the_chunker_of_the_user_config_cuts_the_files(tmp_path: Path) -> None:
    extra = tmp_path / "catalog.yaml"
    extra.write_text(f"chunking: {{lines: {{kind: '{__name__}:LineChunker'}}}}")
    parser = Parser(Catalog.open(extra))
    await parser.reconfigure({"chunker": "lines"})

    parsed = await parser.parse(b"One.\nTwo.", "lines.txt", None, ENVELOPE)
    await parser.close()

    assert [chunk.text for chunk in parsed.chunks] == ["One.", "Two."]


class BrokenChunker(LineChunker):
    """Has a bug."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        raise AttributeError("no such tide")


async def test_a_bug_of_the_users_own_chunker_fails_the_file_with_its_error(tmp_path: Path) -> None:
    extra = tmp_path / "catalog.yaml"
    extra.write_text(f"chunking: {{broken: {{kind: '{__name__}:BrokenChunker'}}}}")
    parser = Parser(Catalog.open(extra))
    await parser.reconfigure({"chunker": "broken"})

    with pytest.raises(UnreadableDocumentError, match="AttributeError: no such tide") as failure:
        await parser.parse(b"One.", "lines.txt", None, ENVELOPE)
    await parser.close()

    assert failure.value.reason == "server_error"


async def test_a_file_whose_process_was_killed_is_parsed_once_more(parser: Parser) -> None:
    await parser.parse(TEXT, "tides.txt", None, ENVELOPE)
    (process,) = parser_children()

    parsing = asyncio.create_task(parser.parse(TEXT * 3_000, "tides.txt", None, ENVELOPE))
    await asyncio.sleep(0)
    process.kill()

    assert (await parsing).text.startswith(TEXT.decode())


async def test_a_parser_without_processes_says_so_and_blames_no_file(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    dropped = measured("dropped_total", reason="overloaded")
    with pytest.raises(OverloadedError):
        await parser.parse(TEXT, "tides.txt", None, ENVELOPE)
    assert measured("dropped_total", reason="overloaded") == dropped + 1
    with pytest.raises(StageUnavailableError):
        await parser.status()
    monkeypatch.undo()

    await parser.parse(TEXT, "tides.txt", None, ENVELOPE)

    assert await parser.status() == StageStatus(oldest_s=0.0)


async def test_an_unknown_chunker_is_refused(parser: Parser) -> None:
    with pytest.raises(ConfigError, match=r"no entry named 'linse'; it is one of .*structure"):
        await parser.reconfigure({"chunker": "linse"})


async def test_a_file_that_broke_a_limit_is_not_tried_again_for_the_same_request(parser: Parser) -> None:
    parser._broken.add(ENVELOPE.request_id, TEXT, "parsing it takes too long", "too_complex")

    with pytest.raises(UnreadableDocumentError, match="takes too long") as failure:
        await parser.parse(TEXT, "tides.txt", None, ENVELOPE)
    await parser.reconfigure({"tokenizer": "minilm", "max_memory_mb": 1024})

    assert failure.value.cause == "too_complex"
    assert (await parser.parse(TEXT, "tides.txt", None, ENVELOPE)).text == TEXT.decode()


async def test_an_image_is_recognized_within_the_limits_and_a_giant_one_is_refused(parser: Parser) -> None:
    await parser.reconfigure({"tokenizer": "minilm"})

    with pytest.raises(UnreadableDocumentError, match="more than 80,000,000 pixels is not read") as failure:
        await parser.parse(png_bomb(60_000, 60_000), "bomb.png", None, ENVELOPE)
    parsed = await parser.parse(encoded(draw_lines(["The ferry leaves pier 7"])), "sign.png", None, ENVELOPE)

    assert failure.value.reason == "invalid_file"
    assert parsed.text == "The ferry leaves pier 7"
