"""Line breaks and spaces."""

import pytest

from models.documents.text import join_wrapped, one_line


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
