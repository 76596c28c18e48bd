"""Token vectors of a prepared corpus: those of the real chunks, and for filler those of its sentences."""

from pathlib import Path

import numpy as np

from models.embedding.hashing_model import HashingConfig
from models.types.chunks import Chunk
from serve.cli.driver.corpus.embedded import embedded
from serve.cli.driver.corpus.filler import Filler, Sentence
from tests.token_hashing import TokenHashingModel

MODEL = TokenHashingModel("hashing", HashingConfig(dim=64))
CHUNKS = [
    Chunk("Ducks swim. They like rain.", 0, 27, "Birds", 8),
    Chunk("Rockets fly. Few land upright.", 0, 30, "", 7),
]
TEXTS = [chunk.indexed_text for chunk in CHUNKS]


def test_each_chunk_has_the_rows_of_its_own_words(tmp_path: Path) -> None:
    rows = embedded(MODEL, TEXTS, tmp_path, lambda _: None).tokens
    assert rows is not None

    expected = MODEL.forward_tokens(MODEL.tokenize_documents(["Birds\nDucks swim. They like rain.", "Few land"]))

    assert np.array_equal(rows.within(0, 0, len(TEXTS[0])), expected[0].tokens)
    assert np.array_equal(rows.within(1, 13, 21), expected[1].tokens)


def test_a_filler_has_the_rows_of_its_sentences_in_their_order(tmp_path: Path) -> None:
    filler = Filler(CHUNKS, embedded(MODEL, TEXTS, tmp_path, lambda _: None), seed=0)
    recipe = (Sentence(1, 13, 30), Sentence(0, 0, 11))

    tokens = filler.tokens(recipe)

    (expected,) = MODEL.forward_tokens(MODEL.tokenize_documents(["Few land upright. Ducks swim."]))
    assert filler.text(recipe) == "Few land upright. Ducks swim."
    assert tokens is not None
    assert np.array_equal(tokens, expected.tokens)


def test_a_second_call_reads_what_the_first_wrote(tmp_path: Path) -> None:
    first = embedded(MODEL, TEXTS, tmp_path, lambda _: None)
    lines = list[str]()

    again = embedded(MODEL, TEXTS, tmp_path, lines.append)

    assert first.tokens is not None
    assert again.tokens is not None
    assert np.array_equal(first.tokens.tokens, again.tokens.tokens)
    assert np.array_equal(first.vectors, again.vectors)
    assert not list(tmp_path.glob("unfinished-*"))
