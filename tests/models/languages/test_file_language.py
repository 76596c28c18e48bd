"""The language of a whole file."""

import pytest

from models.languages.file_language import CODES, file_language
from tests.models.languages.test_detection import SENTENCES

FURTHER = {
    "zh": "电梯在晚上六点以后只能由员工使用。",
    "ja": "エレベーターは午後六時以降、職員だけが使用できます。",
    "ko": "승강기는 저녁 여섯 시 이후에는 직원만 사용할 수 있습니다.",
    "th": "หลังหกโมงเย็นลิฟต์ใช้ได้เฉพาะพนักงานเท่านั้น",
    "he": "לאחר השעה שש רק העובדים רשאים להשתמש במעלית.",
    "hi": "शाम छह बजे के बाद केवल कर्मचारी लिफ्ट का उपयोग कर सकते हैं।",
    "pl": "Po godzinie szóstej windy mogą używać tylko pracownicy, a drzwi muszą być zamknięte.",
    "cs": "Po šesté hodině smí výtah používat jen zaměstnanci a dveře musí být zavřené.",
    "uk": "Після шостої години ліфтом можуть користуватися лише працівники.",
    "bg": "След шест часа асансьорът може да се използва само от служителите и вратата е заключена.",
    "vi": "Sau sáu giờ chiều chỉ nhân viên được sử dụng thang máy và cửa phải khóa.",
}


@pytest.mark.parametrize("name", CODES)
def test_every_language_with_a_stemmer_has_its_code(name: str) -> None:
    assert file_language(SENTENCES[name]) == CODES[name]


@pytest.mark.parametrize("code", FURTHER)
def test_further_languages(code: str) -> None:
    assert file_language(FURTHER[code]) == code


@pytest.mark.parametrize("text", ["", "42 17\n3.5 | 2.1\n" * 100, "Kubernetes", "####", "x = y + z;"])
def test_nothing_tells_the_language_of_numbers_and_names(text: str) -> None:
    assert file_language(text) == ""


def test_most_of_a_mixed_file_decides() -> None:
    german, english = SENTENCES["german"] + "\n", SENTENCES["english"] + "\n"

    assert file_language(german * 200 + english * 20) == "de"
    assert file_language(english * 20 + german * 200 + "7 " * 400) == "de"
