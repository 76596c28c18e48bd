"""Several real processes on one SQLite file, on a real disk."""

import multiprocessing
from pathlib import Path

import pytest
from corpus_children import is_to_be_deleted, open_together, text_of, write_files
from corpus_samples import STORE, TENANT, Follower, cut, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow
SPAWN = multiprocessing.get_context("spawn")


def test_processes_that_open_at_once_create_one_schema(tmp_path: Path) -> None:
    url, barrier = f"sqlite:///{tmp_path}/corpus.db", SPAWN.Barrier(4)
    children = [
        SPAWN.Process(target=open_together, args=(url, tmp_path, number, barrier), daemon=True) for number in range(4)
    ]

    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_S)

    assert [child.exitcode for child in children] == [0] * 4
    corpus = Corpus.open(url, tmp_path)
    assert len(corpus.files.page(TENANT, PageRequest()).items) == 4
    corpus.close()


def test_a_view_follows_what_other_processes_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/corpus.db"
    corpus, follower = Corpus.open(url, tmp_path), Follower()
    shares = [range(0, 40), range(40, 80)]
    children = [SPAWN.Process(target=write_files, args=(url, tmp_path, share), daemon=True) for share in shares]

    for child in children:
        child.start()
    for child in children:
        while child.is_alive():
            follower.catch_up(corpus, limit=20)
    follower.catch_up(corpus, limit=20)

    assert [child.exitcode for child in children] == [0, 0]
    expected = [
        chunk.indexed_text for number in range(80) if not is_to_be_deleted(number) for chunk in cut(text_of(number))
    ]
    assert sorted(stored_texts(corpus)) == sorted(expected)
    live_keys = corpus.views.text_changes(TENANT, STORE, 0, 1_000_000).added_keys
    assert sorted(follower.vectors) == sorted(live_keys.tolist())
    corpus.close()
