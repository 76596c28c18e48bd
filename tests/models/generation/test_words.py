"""The words of a text for matching."""

import unicodedata

from models.generation.words import words


def test_words_are_the_same_in_every_unicode_form() -> None:
    text = "Die Größe des Cafés"

    assert words(text) == words(unicodedata.normalize("NFD", text)) == ["die", "größe", "des", "cafés"]


def test_scripts_without_spaces_give_pairs_of_letters() -> None:
    assert words("API 密钥轮换 v2") == ["api", "密钥", "钥轮", "轮换", "v2"]
    assert set(words("กุญแจ")) <= set(words("ทำกุญแจหาย"))


def test_vowel_signs_belong_to_their_word() -> None:
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
