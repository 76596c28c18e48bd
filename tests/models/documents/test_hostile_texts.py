"""Hostile texts become text or one typed error. A child process with limits parses them."""

import pytest

from tests.hostile.caged import outcomes_of
from tests.hostile.texts import TEXTS

SIZE = 30_000
MAX_CPU_S = 60
CHILD = f"""
import json
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.errors.requests import UnreadableDocumentError
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
    "separators": "no text",
    "joiners": "no text",
    "five joiners": "no text",
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int | str]:
    """The number of chunks or the error of each kind, as far as the child came."""
    return outcomes_of(CHILD, MAX_CPU_S)


@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_texts_become_text_or_one_error(outcomes: dict[str, int | str], kind: str) -> None:
    outcome = outcomes[kind]

    if kind in REFUSED:
        assert REFUSED[kind] in str(outcome)
    else:
        assert isinstance(outcome, int)
        assert outcome > 0
