"""RTF files: paragraphs, headings, lists and tables, without control words, pictures and hidden text."""

from dataclasses import dataclass, replace

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.rich_text.tokens import Token, tokens
from models.documents.spans import Script, Span, plain_text
from models.documents.tables import Cell, table_text
from models.documents.text import one_line

PICTURES, HIDDEN, DELETIONS = "pictures", "hidden passages", "tracked deletions"
# Groups whose text is not the document's. A group that begins with \* is one, too, unless it is in READ.
SKIPPED = frozenset(
    b"fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf "
    b"listtable listoverridetable revtbl rsidtbl generator xmlnstbl themedata colorschememapping latentstyles "
    b"datastore filetbl fldinst nonshppict pntxta pntxtb pnseclvl tc xe bkmkstart bkmkend template listtext2".split()
)
READ = frozenset([b"shptxt", b"shpinst", b"shppict2", b"fldrslt"])
SYMBOLS = {b"~": "\u00a0", b"_": "\u2011", b"-": "", b"\n": "\n", b"\r": "\n"}
WORDS = {
    **{b"tab": "\t", b"line": "\n", b"emdash": "—", b"endash": "–", b"bullet": "•", b"lquote": "‘", b"rquote": "’"},
    **{b"ldblquote": "“", b"rdblquote": "”", b"emspace": " ", b"enspace": " ", b"softline": "\n"},
}
CHARSETS = {
    **{0: "cp1252", 128: "cp932", 129: "cp949", 134: "gb18030", 136: "big5hkscs", 161: "cp1253", 162: "cp1254"},
    **{163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"},
}
CODE_PAGES = frozenset([437, 850, 852, 866, 874, 932, 936, 949, 950, *range(1250, 1259)])
ENCLOSED = {b"mac": "mac-roman", b"pc": "cp437", b"pca": "cp850"}
MAX_DEPTH = 2_000


@dataclass(frozen=True)
class _State:
    """What a group inherits. `skips`: its text is not read; `unicode_skip`: bytes that stand for one \\u."""

    skips: bool = False
    is_info: bool = False
    is_hidden: bool = False
    is_deleted: bool = False
    is_struck: bool = False
    script: Script = "normal"
    unicode_skip: int = 1
    encoding: str = ""


def read_rich_text(content: bytes) -> Document:
    """The document. Raises ValueError for groups inside groups without end."""
    reader = _Reader()
    for token in tokens(content):
        reader.take(token)
    reader.end()
    return reader.builder.build()


class _Reader:
    """One walk through the tokens."""

    def __init__(self) -> None:
        self.builder = DocumentBuilder()
        self._stack: list[_State] = []
        self._state = _State()
        self._encoding = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._in_fonts = False
        self._is_fresh = self._is_ignorable = False  # right after {, and after {\*
        self._bytes = bytearray()
        self._to_skip = 0
        self._spans: list[Span] = []
        self._title: list[str] = []
        self._label = ""
        self._level = 0
        self._row: list[Cell] = []
        self._rows: list[list[Cell]] = []
        self._in_table = False
        self._num_headers = 0

    def take(self, token: Token) -> None:
        if token.kind == "byte":
            self._byte(int(token.text, 16))
            return
        if token.kind == "text":
            self._plain(token.text)
            return
        self._flush_bytes()
        if token.kind == "open":
            if len(self._stack) > MAX_DEPTH:
                raise ValueError("groups nested too deeply")
            self._stack.append(self._state)
            self._is_fresh, self._is_ignorable = True, False
            return
        if token.kind == "close":
            self._state = self._stack.pop() if self._stack else _State()
        elif token.kind == "symbol":
            self._symbol(token.text)
            return
        else:
            self._word(token.text, token.number)
        self._is_fresh = self._is_ignorable = False

    def end(self) -> None:
        self._flush_bytes()
        self._in_table = False
        self._paragraph()
        self._table()
        self.builder.title = one_line("".join(self._title))

    def _symbol(self, text: bytes) -> None:
        if text == b"*" and self._is_fresh:
            self._is_ignorable = True
            return
        self._is_fresh = False
        self._write(SYMBOLS.get(text, text.decode("latin-1") if text in b"\\{}" else ""))

    def _byte(self, byte: int) -> None:
        if self._to_skip:
            self._to_skip -= 1
        else:
            self._bytes.append(byte)

    def _plain(self, text: bytes) -> None:
        skipped = min(self._to_skip, len(text))
        self._to_skip -= skipped
        self._bytes.extend(text[skipped:])
        self._is_fresh = False

    def _flush_bytes(self) -> None:
        if self._bytes:
            encoding = self._state.encoding or self._encoding
            text = bytes(self._bytes).decode(encoding, errors="replace")
            self._bytes.clear()
            self._write(text)

    def _write(self, text: str) -> None:
        state = self._state
        if state.is_info:
            self._title.append(text)
        elif state.skips or not text:
            return
        elif state.is_hidden or state.is_deleted:
            self.builder.omit(HIDDEN if state.is_hidden else DELETIONS, bool(text.strip()))
        else:
            self._spans.append(Span(text, state.script, state.is_struck))

    def _word(self, word: bytes, number: int | None) -> None:
        if self._is_fresh or self._is_ignorable:
            self._destination(word)
        if word in WORDS:
            self._write(WORDS[word])
        elif word == b"u":
            self._unicode(number or 0)
        elif not (self._format(word, number) or self._charset(word, number)):
            self._structure(word, number)

    def _destination(self, word: bytes) -> None:
        if word == b"title" and self._state.skips:
            self._state = replace(self._state, is_info=True)
        elif word in SKIPPED or (self._is_ignorable and word not in READ):
            self.builder.omit(PICTURES, word in (b"pict", b"object") and not self._state.skips)
            self._state = replace(self._state, skips=True)
        self._in_fonts = word == b"fonttbl" or (self._in_fonts and self._state.skips)

    def _unicode(self, number: int) -> None:
        """A character of UTF-16; two of them may be halves of one."""
        code = number + 0x10000 if number < 0 else number
        self._write(chr(code) if code < 0x110000 else "\ufffd")
        self._to_skip = self._state.unicode_skip

    def _format(self, word: bytes, number: int | None) -> bool:
        is_on = number != 0
        changes: dict[bytes, dict[str, object]] = {
            b"v": {"is_hidden": is_on},
            b"deleted": {"is_deleted": is_on},
            b"strike": {"is_struck": is_on},
            b"striked": {"is_struck": is_on},
            b"super": {"script": "super"},
            b"sub": {"script": "sub"},
            b"nosupersub": {"script": "normal"},
            b"uc": {"unicode_skip": min(max(number if number is not None else 1, 0), 16)},
            b"plain": {"is_hidden": False, "is_struck": False, "script": "normal", "is_deleted": False},
        }
        if word in changes:
            self._state = replace(self._state, **changes[word])  # type: ignore[arg-type]
        return word in changes

    def _charset(self, word: bytes, number: int | None) -> bool:
        if word == b"ansicpg" and number in CODE_PAGES:
            self._encoding = f"cp{number}"
        elif word in ENCLOSED:
            self._encoding = ENCLOSED[word]
        elif word == b"f" and number is not None:
            self._font = number
            self._state = replace(self._state, encoding=self._fonts.get(number, ""))
        elif word == b"fcharset" and self._in_fonts:
            self._fonts[self._font] = CHARSETS.get(number or 0, "") if number else ""
        else:
            return False
        return True

    def _structure(self, word: bytes, number: int | None) -> None:
        if self._state.skips:
            return
        if word in (b"par", b"sect", b"page"):
            self._paragraph()
        elif word == b"pard":
            self._level = 0
            self._in_table = False
        elif word == b"intbl":
            self._in_table = True
        elif word == b"outlinelevel" and number is not None and 0 <= number < 6:
            self._level = number + 1
        elif word == b"trhdr":
            self._num_headers += 1
        elif word == b"cell":
            self._row.append(Cell(one_line(self._take_text())))
        elif word == b"row":
            self._rows.append(self._row)
            self._row = []

    def _take_text(self) -> str:
        text = plain_text(self._spans)
        self._spans = []
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _paragraph(self) -> None:
        if self._in_table and self._spans:
            self._spans.append(Span("\n"))
            return
        self._table()
        text = self._take_text()
        marker = text.lstrip()[:1]
        if self._level:
            self.builder.add("heading", one_line(text), self._level)
        elif marker in ("•", "·", "\uf0b7"):
            self.builder.add("list_item", "- " + text.strip()[1:].strip())
        else:
            self.builder.add("paragraph", text)

    def _table(self) -> None:
        if self._rows and not self._in_table:
            self.builder.add_table(table_text(self._rows, min(self._num_headers, len(self._rows)) or None))
            self._rows, self._num_headers = [], 0
