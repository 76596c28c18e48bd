import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.tokens.encoder_tokenizer import EncoderTokenizer, pad

WORDS = ["[PAD]", "[CLS]", "[SEP]", "a", "b", "c", "d", "query:"]
PAD, CLS, SEP, A, B, C, D, QUERY = range(len(WORDS))


def tokenizer(max_tokens: int = 8, with_specials: bool = True) -> EncoderTokenizer:
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[PAD]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if with_specials:
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
        )
    return EncoderTokenizer(words, max_tokens, PAD)


def test_a_text_is_cut_with_its_special_tokens() -> None:
    (encoding,) = tokenizer(max_tokens=4).encode(["a b c d"])

    assert encoding.ids.tolist() == [CLS, A, B, SEP]
    assert encoding.ids.dtype == np.int32


def test_token_ids_are_wrapped_prefixed_and_cut_as_the_text_is() -> None:
    by_text, by_ids = tokenizer(max_tokens=5).encode(["a b c d", [A, B, C, D]], prefix="query: ")

    assert by_text.ids.tolist() == by_ids.ids.tolist() == [CLS, QUERY, A, B, SEP]


def test_an_empty_text_without_special_tokens_is_one_token_of_padding() -> None:
    assert tokenizer(with_specials=False).encode([""])[0].ids.tolist() == [PAD]


def test_a_pair_has_types_and_loses_the_end_of_its_longer_text() -> None:
    (encoding,) = tokenizer(max_tokens=6).encode_pairs("a", ["b c d d"])

    assert encoding.ids.tolist() == [CLS, A, SEP, B, C, SEP]
    assert encoding.type_ids is not None
    assert encoding.type_ids.tolist() == [0, 0, 0, 1, 1, 1]


def test_what_stands_around_a_document_is_never_cut() -> None:
    short, long = tokenizer(max_tokens=5).encode_between("a b", ["c", "c c c c c"], "d")

    assert short.ids.tolist() == [A, B, C, D]
    assert long.ids.tolist() == [A, B, C, C, D]


def test_a_query_that_leaves_no_room_is_cut_before_the_end() -> None:
    (encoding,) = tokenizer(max_tokens=3).encode_between("a b c", ["c"], "d")

    assert encoding.ids.tolist() == [A, B, D]


def test_spans_are_the_characters_of_each_token() -> None:
    encoding, spans = tokenizer().encode_with_spans("a bb")

    assert encoding.ids.tolist() == [CLS, A, PAD, SEP]
    assert tokenizer().inner(spans).tolist() == [[0, 1], [2, 4]]


def test_a_prefix_counts_neither_as_tokens_nor_in_the_spans_of_a_text() -> None:
    words = tokenizer()
    (encoding,) = words.encode(["a bb"], prefix="query: ")

    assert words.own(encoding.ids, encoding.num_prefix_tokens).tolist() == [A, PAD]
    assert words.token_spans("a bb", prefix="query: ").tolist() == [[0, 1], [2, 4]]


def test_starts_are_the_first_characters_of_the_tokens_of_a_text() -> None:
    words = tokenizer()

    by_text, by_ids, empty = words.encode(["a bb", [A, B], ""], prefix="query: ", with_starts=True)

    assert by_text.starts is not None
    assert words.own(by_text.starts, by_text.num_prefix_tokens).tolist() == [0, 2]
    assert by_text.ids.tolist() == [CLS, QUERY, A, PAD, SEP]
    assert by_ids.starts is None
    assert words.own(empty.starts, empty.num_prefix_tokens).tolist() == []
    assert words.encode(["a bb"])[0].starts is None


def test_rows_are_padded_at_their_ends() -> None:
    rows = [np.arange(1, length + 1, dtype=np.int32) for length in (2, 1, 3)]

    assert pad(rows, 9).tolist() == [[1, 2, 9], [1, 9, 9], [1, 2, 3]]


@pytest.mark.parametrize(
    "text", ["a b " * 5_000, "a\n" * 5_000, (" " * 300 + "b") * 100, "c" * 6_000 + " d" * 9_000, "a b c", ""]
)
def test_a_long_text_has_the_tokens_that_it_has_as_a_whole(text: str) -> None:
    cutting = tokenizer(max_tokens=16)
    whole = [WORDS.index(word) if word in WORDS else PAD for word in text.split()]

    (encoding,), (spanned, _) = cutting.encode([text]), cutting.encode_with_spans(text)
    (pair,) = cutting.encode_pairs("a b", [text])
    (between,) = cutting.encode_between("a", [text], "d")

    assert encoding.ids.tolist() == spanned.ids.tolist() == [CLS, *whole[:14], SEP]
    assert pair.ids.tolist() == [CLS, A, B, SEP, *whole[:11], SEP]
    assert between.ids.tolist() == [A, *whole[:14], D]


def test_two_long_texts_of_a_pair_share_the_room() -> None:
    (pair,) = tokenizer(max_tokens=15).encode_pairs("a " * 9_000, ["b " * 9_000])

    assert pair.ids.tolist() == [CLS, *[A] * 6, SEP, *[B] * 6, SEP]


def test_a_text_is_not_read_beyond_512_characters_a_token() -> None:
    dropped, read = tokenizer(max_tokens=8).encode([" " * 4_096 + "a", " " * 4_095 + "a"])

    assert (dropped.ids.tolist(), read.ids.tolist()) == ([CLS, SEP], [CLS, A, SEP])
