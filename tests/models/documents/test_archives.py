"""Archives: each file is read by its own parser, under a heading with its path."""

import gzip
import io
import tarfile
import zipfile

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse
from models.documents.parsers.archive import ArchiveConfig, ArchiveParser
from models.errors.requests import UnreadableDocumentError
from models.location import encode_anchors, locate

FILES = {
    "docs/a.md": b"# Ebb\n\nIt *falls*.",
    "data/b.csv": b"port,depth\nBrest,12\n",
    "c.png": b"\x89PNG\r\n\x1a\n\0\0",
}
BLOCKS = [
    ("heading", "docs/a.md"),
    ("heading", "Ebb"),
    ("paragraph", "It falls."),
    ("heading", "data/b.csv"),
    ("table", "port | depth\nBrest | 12"),
]


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in files.items():
            archive.writestr(path, file)
    return content.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for path, file in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(file)
            archive.addfile(entry, io.BytesIO(file))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return content.getvalue()


@pytest.mark.parametrize("filename", ["a.zip", "upload", "a.txt", "a.docx"])
def test_a_zip_archive_is_its_files(filename: str) -> None:
    document = parse(zipped(FILES), filename)

    assert_well_formed(document)
    assert block_texts(document) == BLOCKS
    assert [block.level for block in document.blocks] == [1, 2, 0, 1, 0]
    assert document.blocks[-1].names_end == document.text.index("Brest")
    assert document.omissions == (("files that no parser reads", 1),)


@pytest.mark.parametrize(
    ("filename", "mode"), [("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar", "w"), ("upload", "w")]
)
def test_a_tar_archive_is_its_files_without_links(filename: str, mode: str) -> None:
    document = parse(tarred(FILES, mode), filename)

    assert block_texts(document) == BLOCKS
    assert document.omissions == (("files that no parser reads", 1), ("links and devices", 1))


def test_a_file_under_gzip_has_its_own_name() -> None:
    assert block_texts(parse(gzip.compress(b"# Ebb\n\nIt falls."), "notes.md.gz")) == [
        ("heading", "notes.md"),
        ("heading", "Ebb"),
        ("paragraph", "It falls."),
    ]


def test_lines_are_those_of_the_file_inside() -> None:
    document = parse(zipped({"a.py": b"x = 1\n", "b.html": b"<p>Ebb.", "c.py": b"\n\ny = 2\n"}), "a.zip")

    places = [
        (document.text[anchor.start :][:5], str(anchor.location)) for anchor in document.anchors if anchor.location
    ]
    assert places == [("x = 1", "a.py, line 1"), ("y = 2", "c.py, line 3")]


def test_inner_archives_are_not_opened() -> None:
    document = parse(zipped({"a.md": b"Ebb.", "inner.zip": zipped(FILES), "inner.tgz": tarred(FILES)}), "a.zip")

    assert block_texts(document) == [("heading", "a.md"), ("paragraph", "Ebb.")]
    assert document.omissions == (("files inside inner archives", 7),)


def test_paths_are_shown_without_steps_upwards_and_hidden_files_are_left_out() -> None:
    files = {"../../etc/x.txt": b"x", "C:\\temp\\y.txt": b"y", ".git/config": b"z", "__MACOSX/._x": b"z"}

    document = parse(zipped(files), "a.zip")

    assert [text for kind, text in block_texts(document) if kind == "heading"] == ["etc/x.txt", "temp/y.txt"]
    assert document.omissions == (("hidden files", 2),)


def test_a_damaged_file_does_not_spoil_the_others() -> None:
    content = zipped({"a.txt": b"ebb " * 500, "b.txt": b"It falls."})
    at = content.index(b"a.txt") + len(b"a.txt")

    document = parse(content[:at] + b"\xff" * 5 + content[at + 5 :], "a.zip")

    assert block_texts(document) == [("heading", "b.txt"), ("paragraph", "It falls.")]
    assert document.omissions == (("damaged files", 1),)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_limits_hold_for_what_is_unpacked(make) -> None:  # type: ignore[no-untyped-def]
    parser = ArchiveParser("archive", ArchiveConfig(max_files=3, max_unzipped_bytes=2**20))
    many = make({f"{number}.txt": b"x" for number in range(5)})
    large = make({"a.txt": b"x" * 2**21})

    for content, problem in ((many, "more than 3 files"), (large, "more than 1,048,576 bytes")):
        with pytest.raises(UnreadableDocumentError, match=problem):
            list(parser.members(content, "a.zip"))


# Names, since the bytes hold the time: each process of the tests would collect others.
@pytest.mark.parametrize(
    "content",
    [zipped(FILES)[:100], tarred(FILES)[:60], b"PK\5\6" + b"\0" * 18, b"\x1f\x8b\x08"],
    ids=["cut zip", "cut tar", "empty zip", "cut gzip"],
)
def test_cut_and_empty_archives_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableDocumentError) as caught:
        parse(content, "a.zip")

    assert caught.value.reason == "invalid_file"


def test_a_place_names_the_file_inside() -> None:
    document = parse(zipped({"docs/a.txt": b"One line\nAnother", "b.csv": b"port,depth\nBrest,12\n"}), "a.zip")

    source_map = encode_anchors(document.anchors)
    places = [
        str(locate(source_map, document.text, 0, start, start + len(words)))
        for words in ("Another", "Brest")
        for start in [document.text.index(words)]
    ]

    assert places == ["docs/a.txt, line 2", "b.csv, row 2"]


def test_an_archive_without_readable_files_says_what_it_has() -> None:
    with pytest.raises(UnreadableDocumentError, match="left out: 1 files that no parser reads; upload those"):
        parse(zipped({"c.bin": b"\x00\x01\x02\x03" * 9}), "a.zip")
