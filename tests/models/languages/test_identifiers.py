"""Identifiers of a word, whole and in parts."""

import pytest

from models.languages.identifiers import as_term, marked_words, parts, wholes


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("v2.10.4,", ["v2.10.4", "2.10.4", "2.10"]),
        ("(CVE-2021-44228)", ["CVE-2021-44228"]),
        ("C++", ["C++"]),
        ("F#.", ["F#"]),
        (".NET", [".NET"]),
        ("max_batch_size", ["max_batch_size"]),
        ("std::sort", ["std::sort"]),
        ("R&D", ["R&D"]),
        ("ops@example.org", ["ops@example.org"]),
        ("2024-03-15", ["2024-03-15"]),
    ],
)
def test_an_identifier_is_a_term_as_a_whole(word: str, names: list[str]) -> None:
    assert wholes(word) == [as_term(name) for name in names]
    assert all(term.isalnum() for term in wholes(word))


@pytest.mark.parametrize("word", ["plain", "Word.", "well-known", "and/or", "(see", "...", "", "42,"])
def test_a_plain_word_is_no_identifier(word: str) -> None:
    assert wholes(word) == parts(word) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("openFileHandle()", ["open", "File", "Handle"]),
        ("HTTPServerError", ["HTTP", "Server", "Error"]),
        ("client.readTimeout=3", ["read", "Timeout"]),
        ("utf8Decoder", ["utf", "Decoder"]),
        ("McDonald", ["Mc", "Donald"]),
        ("PDFs", []),
        ("IDs", []),
    ],
)
def test_camel_case_has_parts(word: str, expected: list[str]) -> None:
    assert parts(word) == expected


def test_plain_words_and_numbers_need_no_look() -> None:
    text = "Open the (well-known) Door, it's NATO's; 42. v2 (x_y) is aB C++"

    assert marked_words(text) == ["v2", "(x_y)", "aB", "C++"]


def test_a_word_of_many_numbers_has_few_shorter_versions() -> None:
    assert len(wholes("1." * 4_000)) == 16
    assert wholes("AB12" * 50_000) == []
