"""Bytes to text."""

import codecs

import pytest

from models.documents.encoding import decode, is_binary
from models.documents.text import clean
from models.errors import UnreadableDocumentError

RUSSIAN = "Отпуск подтверждается руководителем за две недели. Привет, как дела? Всё хорошо."
GERMAN = "Füße, Grüße aus Köln. Wir hätten gern ein Stück Käsekuchen."
FRENCH = "Café crème brûlée à la carte – “très bon” says the naïve girl."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "utf-8"),
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (GERMAN, "latin-1"),
        (FRENCH, "cp1252"),
        ("Zażółć gęślą jaźń. Wniosek urlopowy należy złożyć na dwa tygodnie wcześniej.", "cp1250"),
        ("これは日本語の文章です。東京に住んでいます。", "shift_jis"),
        ("这是一个中文文本，用来测试编码检测。我们住在北京。", "gb18030"),
        ("plain ASCII, nothing else", "ascii"),
    ],
)
def test_encoding_is_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "a.txt") == text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_byte_order_mark_is_honoured_and_removed(mark: bytes, encoding: str) -> None:
    assert decode(mark + RUSSIAN.encode(encoding), "a.txt") == RUSSIAN


def test_utf16_without_a_mark_is_text() -> None:
    assert decode(GERMAN.encode("utf-16-le"), "a.txt") == GERMAN


def test_a_broken_byte_leaves_utf8_utf8() -> None:
    content = RUSSIAN.encode() + b"\xff"

    assert decode(content, "a.txt") == RUSSIAN + "\ufffd"


def test_a_page_may_declare_its_encoding() -> None:
    content = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>Да</p>'.encode("cp1251")

    assert "Да" in decode(content, "a.html", declares=True)


@pytest.mark.parametrize("name", ["zlib", "unicode_escape", "utf-7", "no-such-codec", "ascii"])
def test_a_declared_codec_that_is_no_page_encoding_is_ignored(name: str) -> None:
    content = f"<meta charset={name}>{GERMAN}".encode("latin-1")

    assert GERMAN in decode(content, "a.html", declares=True)


def test_binary_content_is_told_from_text() -> None:
    assert is_binary(b"\x7fELF\x02\x01\x01\x00\x00")
    assert not is_binary(RUSSIAN.encode("cp1251"))
    assert not is_binary(b"\x1b[31mred\x1b[0m\n")


def test_bytes_of_no_encoding_are_refused() -> None:
    content = bytes(range(0x80, 0x100)) * 20

    with pytest.raises(UnreadableDocumentError, match="save the file as UTF-8"):
        decode(content, "a.txt")


def test_text_saved_in_the_wrong_encoding_is_repaired() -> None:
    assert clean("1986\u2013" + "1990\u2013".encode().decode("latin-1")) == "1986\u20131990\u2013"
    assert clean("Ã la carte, naïve") == "Ã la carte, naïve"
