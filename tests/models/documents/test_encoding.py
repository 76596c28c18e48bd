"""Bytes to text."""

import codecs
import tracemalloc

import pytest

from models.documents.encoding import decode, is_binary
from models.documents.parse import parse
from models.documents.text import clean
from models.errors.requests import UnreadableDocumentError

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
    assert decode(text.encode(encoding), "a.txt").text == text


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
    assert decode(mark + RUSSIAN.encode(encoding), "a.txt").text == RUSSIAN


def test_utf16_without_a_mark_is_text() -> None:
    assert decode(GERMAN.encode("utf-16-le"), "a.txt").text == GERMAN


def test_a_broken_byte_leaves_utf8_utf8() -> None:
    content = RUSSIAN.encode() + b"\xff"

    assert decode(content, "a.txt").text == RUSSIAN + "\ufffd"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("№,氏名\n①,髙﨑一郎,㈱鈴木商店\n②,田中花子,㈱高木製作所\n", "cp932"),
        ("型番;在庫\nポンプ;12\n", "cp932"),
        ("書籍,東京都", "cp932"),
        ("姓名,城市\r\n王伟,上海\r\n", "gbk"),
        ("货号\n水泵\n", "gbk"),
        ("품목,수량\n물 펌프,12\n전기 케이블,7", "cp949"),
        ("品名,數量\n幫浦,12", "big5"),
        ("şube,şehir\nKadıköy,İstanbul", "cp1254"),
        ("dağ", "cp1254"),
        ("Þingvellir, Ísafjörður og Akureyri", "cp1252"),
        ("It costs 12 \u20ac.", "cp1252"),
        ("12 \u20ac", "cp1252"),
        ("\u201cquoted\u201d \u2013 it\u2019s here\u2026", "cp1252"),
        ("price;12 \u20ac", "iso8859-15"),
        ("имя,город\nАнна,Москва", "cp1251"),
        ("Насос включён", "cp866"),
        ("όνομα,πόλη\nΆννα,Πάτρα", "cp1253"),
        ("המשאבה פועלת בכל יום ויום", "cp1255"),
        ("مرحبا بالعالم", "cp1256"),
        ("ปั๊มน้ำทำงานทุกวัน เวลาเก้าโมงเช้า", "cp874"),
        ("手順は次の通りです。", "iso2022_jp"),
    ],
)
def test_names_prices_and_rows_are_read_in_the_encoding_of_windows(text: str, encoding: str) -> None:
    decoded = decode(text.encode(encoding), "a.txt")

    assert (decoded.text, decoded.doubt) == (text, "")


def test_a_guess_that_may_be_wrong_is_said() -> None:
    assert "may be wrong" in decode("naïve".encode("cp1252"), "a.txt").doubt
    assert "may be wrong" in decode("Füße und Grüße aus Köln".encode("cp850"), "a.txt").doubt
    assert "2 broken characters" in decode(RUSSIAN.encode() + b"\xff\xfe", "a.txt").doubt
    assert parse("naïve".encode("cp1252"), "a.md").doubt == parse("naïve".encode("cp1252"), "a.csv").doubt != ""


def test_a_euro_sign_of_windows_in_utf8_is_read() -> None:
    content = RUSSIAN.encode() + b" 5 \x80"

    assert decode(content, "a.txt").text == RUSSIAN + " 5 \u20ac"


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("windows-31j", "cp932", "髙橋"),
        ("x-sjis", "cp932", "①"),
        ("GB2312", "gbk", "髙"),
        ("ks_c_5601-1987", "cp949", "펌프"),
        ("iso-8859-9", "cp1254", "şehir €"),
        ("big5", "big5", "幫浦"),
        ("iso-8859-1", "cp1252", "5 €"),
    ],
)
def test_a_declared_encoding_is_read_as_browsers_read_it(label: str, encoding: str, text: str) -> None:
    content = f'<meta charset="{label}"><p>{text}</p>'.encode(encoding)

    assert f"<p>{text}</p>" in decode(content, "a.html", declares=True).text


def test_a_page_may_declare_its_encoding() -> None:
    content = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>Да</p>'.encode("cp1251")

    assert "Да" in decode(content, "a.html", declares=True).text


@pytest.mark.parametrize("name", ["zlib", "unicode_escape", "utf-7", "no-such-codec", "ascii"])
def test_a_declared_codec_that_is_no_page_encoding_is_ignored(name: str) -> None:
    content = f"<meta charset={name}>{GERMAN}".encode("latin-1")

    assert GERMAN in decode(content, "a.html", declares=True).text


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


@pytest.mark.parametrize("num_bytes", [1, 2])
def test_a_file_that_is_cut_inside_its_last_character_is_still_utf8(num_bytes: int) -> None:
    content = "Twenty lines of plain words.\n" * 20 + "naïve 価"

    decoded = decode(content.encode()[:-num_bytes], "a.log")

    assert decoded.text == content[:-1] + "\ufffd"
    assert decoded.doubt.startswith("1 broken character")


def test_a_broken_character_before_the_last_line_end_is_no_cut() -> None:
    assert decode("naïve café".encode()[:-1] + b"\n", "a.log").text.endswith("\n")


def test_a_large_file_of_another_alphabet_takes_little_memory_to_detect() -> None:
    content = (RUSSIAN * (2**21 // len(RUSSIAN))).encode("cp1251")
    tracemalloc.start()
    try:
        assert decode(content, "a.txt").text.startswith(RUSSIAN)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 20 * len(content)


def test_few_letters_of_another_alphabet_in_an_english_text_are_a_guess() -> None:
    decoded = decode(b"bad \xed\xa0\x80 utf8 \xff text about numbats", "a.txt")

    assert decoded.doubt
