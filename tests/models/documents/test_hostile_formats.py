"""Hostile files become text or one typed error. A child process with limits parses them."""

import re
import resource

import pytest

from tests.hostile.caged import outcomes_of
from tests.hostile.formats import FILES

MAX_CPU_S = 120
CHILD = """
import json
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError
from tests.hostile.formats import FILES

for kind, (filename, make, _) in FILES.items():
    try:
        outcome = len(parse(make(), filename).blocks)
    except UnreadableDocumentError as error:
        outcome = error.detail
    except Exception as error:
        outcome = f"untyped {type(error).__name__}: {error}"
    print(json.dumps([kind, outcome]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int | str]:
    """The number of blocks or the error of each kind, as far as the child came."""
    return outcomes_of(CHILD, MAX_CPU_S, resource.RLIMIT_DATA)


@pytest.mark.parametrize("kind", FILES)
def test_hostile_files_become_text_or_one_error(outcomes: dict[str, int | str], kind: str) -> None:
    outcome, problem = outcomes[kind], FILES[kind][2]

    if problem:
        assert re.search(problem, str(outcome))
    else:
        assert isinstance(outcome, int), outcome
        assert outcome > 0
