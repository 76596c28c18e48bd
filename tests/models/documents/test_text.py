"""Line breaks and spaces."""

import pytest

from models.documents.parse import parse
from models.documents.text import is_visible, join_wrapped, one_line


@pytest.mark.parametrize(
    ("wrapped", "joined"),
    [
        ("申请需要提\n  前两周，\n并由主管审批", "申请需要提前两周，并由主管审批"),
        ("会議は月曜\r\n日です".replace("\r", ""), "会議は月曜日です"),
        ("การประ\nชุม", "การประชุม"),
        ("two\nwords", "two words"),
        ("한국어\n문장", "한국어 문장"),
        ("版本 2\n发布", "版本 2 发布"),
    ],
)
def test_a_word_without_spaces_is_not_cut_by_the_end_of_a_line(wrapped: str, joined: str) -> None:
    assert one_line(wrapped) == joined


def test_a_blank_line_between_two_sentences_goes_only_with_them() -> None:
    assert join_wrapped("one\n\ntwo 二\nthree") == "one\n\ntwo 二\nthree"


def test_an_overlong_word_is_cut_and_counted() -> None:
    document = parse(("The photo:\n\n" + "Qk0" * 40_000 + "\n\nThe end.").encode(), "a.txt")

    assert document.omissions == (("overlong words", 1),)
    assert len(document.text) < 1_100
    assert document.text.endswith("The end.")


def test_a_long_text_without_spaces_is_not_a_word() -> None:
    text = "水泵每天运行。" * 20_000

    assert parse(text.encode(), "a.txt").text == text


def test_text_that_nobody_sees_is_no_text() -> None:
    assert not is_visible("\u200d \u3164\u0301\ufe0f")
    assert is_visible("\u200da")
