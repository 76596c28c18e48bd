"""The prepared corpus: deterministic, found again at once, and never changed by a service."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deployments.replica.storage import StorageConfig
from models.errors.requests import InvalidRequestError
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope
from serve.cli.driver.corpus.make import prepare
from serve.cli.driver.corpus.plan import CorpusPlan
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.peers.settings import PeerSettings, read_chunks

SCOPE = Scope(DEFAULT_TENANT, (DEFAULT_VECTOR_STORE,))


def chunk_texts(corpus: PreparedCorpus) -> list[str]:
    settings = PeerSettings("", "", str(corpus.chunks_file), "", 1, 1, "float32")
    return [chunk.text for chunk in read_chunks(settings)]


def digest_of(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_the_same_plan_makes_the_same_corpus(
    hashing_plan: CorpusPlan, prepared: PreparedCorpus, prepare_corpus: Callable[[CorpusPlan], PreparedCorpus]
) -> None:
    again = prepare_corpus(hashing_plan)

    assert again.folder != prepared.folder
    assert chunk_texts(again) == chunk_texts(prepared)
    assert np.array_equal(np.load(again.vectors_file), np.load(prepared.vectors_file))
    assert again.questions == prepared.questions


def test_it_has_the_real_chunks_first_then_filler_of_their_sentences(prepared: PreparedCorpus) -> None:
    texts = chunk_texts(prepared)
    sentences = {sentence.strip(".") for text in texts[:8] for sentence in text.split(". ")}

    assert len(texts) == 40
    assert len(set(texts)) > 30
    assert texts[0].startswith("The oven was made in 1900.")
    assert all(sentence.strip(".") in sentences for text in texts[8:] for sentence in text.split(". "))


def test_its_vectors_are_unit_and_a_filler_s_is_close_to_its_sources(prepared: PreparedCorpus) -> None:
    vectors = np.load(prepared.vectors_file)

    assert vectors.shape == (40, 64)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors[8:] @ vectors[:8].T).max(axis=1).min() > 0.5


def test_both_searches_find_its_chunks_by_the_keys_of_their_places(prepared: PreparedCorpus, tmp_path: Path) -> None:
    state = prepared.copy_state(tmp_path / "state")
    opened = StorageConfig(data_dir=state).open()
    vectors = np.load(prepared.vectors_file)

    dense = DenseSearch(opened.views, lambda dim: FaissIndex(dim, FaissConfig()))
    hits = dense.search([DenseRequest(vectors[5], prepared.generation, SCOPE, 1)])[0]
    words = LexicalSearch(opened.views, TantivyIndex).search([LexicalRequest("duck", SCOPE, 50)])[0]
    passages = opened.views.passages(words.ranking.keys, SCOPE)
    opened.close()

    assert hits.keys.tolist() == [6]
    assert passages
    assert all("duck" in passage.text for passage in passages.values())


def test_a_second_run_changes_nothing(hashing_plan: CorpusPlan, prepared: PreparedCorpus) -> None:
    before = digest_of(prepared.folder)

    again = prepare(hashing_plan, prepared.folder, lambda _: None)

    assert again == prepared
    assert digest_of(prepared.folder) == before


def test_another_plan_takes_the_place_of_the_corpus_and_keeps_the_real_vectors(
    hashing_plan: CorpusPlan, tmp_path: Path
) -> None:
    prepare(hashing_plan, tmp_path, lambda _: None)
    (vectors,) = tmp_path.glob("real/*/vectors.npy")
    written_at = vectors.stat().st_mtime_ns

    larger = prepare(replace(hashing_plan, num_chunks=60), tmp_path, lambda _: None)

    assert len(chunk_texts(larger)) == 60
    assert vectors.stat().st_mtime_ns == written_at


def test_a_service_s_copy_does_not_change_the_prepared_corpus(prepared: PreparedCorpus, tmp_path: Path) -> None:
    before = digest_of(prepared.folder)

    state = prepared.copy_state(tmp_path / "state")
    with sqlite3.connect(state / "ragserve.db") as connection:
        connection.execute("DELETE FROM chunks")

    assert digest_of(prepared.folder) == before


def test_every_question_is_there_once(prepared: PreparedCorpus) -> None:
    texts = [question.text for question in prepared.questions]

    assert len(texts) == len(set(texts)) == 16
    assert {question.document for question in prepared.questions} == {
        f"{name}/d{number}" for name in ("first", "second") for number in range(4)
    }


def test_a_folder_without_a_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="ragserve bench corpus"):
        PreparedCorpus.open(tmp_path)


def test_more_real_chunks_than_chunks_are_refused(hashing_plan: CorpusPlan) -> None:
    with pytest.raises(InvalidRequestError, match="at most 5 chunks"):
        replace(hashing_plan, num_chunks=5)
