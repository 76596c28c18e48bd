"""Words of scripts without spaces."""

import unicodedata

import pytest

from models.index.analysis import english_terms
from models.languages.normal_form import normal_form
from models.languages.unspaced import has_unspaced, is_function_pair, pairs, without_unspaced


def test_a_run_gives_its_pairs_and_its_ideographs() -> None:
    assert pairs("電話 a 番号表") == ["電話", "番号", "号表"]
    assert pairs("電話", with_single=True) == ["電話", "電", "話"]
    assert pairs("カメラ", with_single=True) == ["カメ", "メラ"]


def test_a_run_of_one_letter_is_a_term() -> None:
    assert pairs("猫 and 犬") == ["猫", "犬"]


def test_a_thai_vowel_and_tone_belong_to_their_consonant() -> None:
    assert len(pairs("เก้าอี้")) == 2  # เก้ + า, า + อี้


def test_tones_tell_words_apart() -> None:
    assert pairs("ไม้") != pairs("ไม่")


@pytest.mark.parametrize("text", ["ประตูหน้าเปิดน้ำแข็ง", "ປະຕູໜ້າ", "ទ្វារខាងមុខ", "တံခါး", "ドア・正面々", "정문"])
def test_no_tokenizer_splits_a_pair(text: str) -> None:
    for pair in pairs(normal_form(text), with_single=True):
        assert english_terms(pair) == [pair]


def test_other_letters_stay_outside() -> None:
    assert without_unspaced("GPU 服务器 v2") == "GPU   v2"
    assert not has_unspaced("Zażółć, ёлка, नमस्ते")


def test_pairs_of_function_words_are_told() -> None:
    assert is_function_pair("です")
    assert is_function_pair("是什")
    assert not is_function_pair("年休")


def test_the_normal_form_joins_letters_typed_in_other_ways() -> None:
    decomposed = unicodedata.normalize("NFD", "Größe café")

    assert normal_form(decomposed) == "Größe café"
    assert normal_form("ＡＢＣ１２ ﬁle CO₂ ｶﾒﾗ") == "ABC12 file CO2 カメラ"
    assert normal_form("10² m²") == "10 2 m2"
    assert normal_form("Donau\u00addampf") == "Donaudampf"
    assert normal_form("plain") == "plain"
