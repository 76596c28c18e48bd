"""Hostile texts become text or one typed error. A child process with limits parses them: an old fault takes hours."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.texts import TEXTS

ROOT = Path(__file__).parents[3]
SIZE = 30_000
MAX_CPU_S = 60
MAX_MEMORY_BYTES = 2 * 2**30
CHILD = f"""
import json
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.errors import UnreadableDocumentError
from models.tokens.text_tokenizer import WordTokenizer
from tests.hostile.texts import TEXTS

parse = FileParser(WordTokenizer())
for kind, (filename, make) in TEXTS.items():
    try:
        outcome = len(parse(make({SIZE}).encode(), filename, ChunkingOptions()).chunks)
    except UnreadableDocumentError as error:
        outcome = error.detail
    print(json.dumps([kind, outcome]), flush=True)
"""
REFUSED = {
    "nested quotes": "nested too deeply",
    "elements after a comment": "nested too deeply",
    "elements closed in comments": "nested too deeply",
    "unclosed formatting": "nested too deeply",
    "rules like front matter": "no text",
    "joiners": "no text",
    "five joiners": "no text",
}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int | str]:
    """The number of chunks or the error of each kind, as far as the child came."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, preexec_fn=_limit, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout[-300:] + child.stderr[-2_000:]
    return dict(json.loads(line) for line in child.stdout.splitlines())


@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_texts_become_text_or_one_error(outcomes: dict[str, int | str], kind: str) -> None:
    outcome = outcomes[kind]

    if kind in REFUSED:
        assert REFUSED[kind] in str(outcome)
    else:
        assert isinstance(outcome, int)
        assert outcome > 0
