"""Hostile files of each format that holds others, by kind. Parse them in a child process with limits only."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable

SHEET_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
MAIN_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
ODF = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
ODF += 'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
ODF += 'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
LAUGHS = "<!DOCTYPE a [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{('&' + chr(97 + n) + ';') * 10}'>" for n in range(9)
)


def zipped(files: dict[str, bytes | str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in files.items():
            archive.writestr(path, file)
    return content.getvalue()


def workbook(sheet: str, doctype: str = "") -> bytes:
    """A workbook of one sheet with this XML inside."""
    links = f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="sheet.xml"/>'
    main = f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Override ContentType="{MAIN_TYPE}"/>'
            "</Types>",
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{main}</Relationships>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{SHEET_NAMESPACE}" xmlns:r="{OFFICE}"><sheets>'
            '<sheet name="S" r:id="r1"/></sheets></workbook>',
            "xl/sheet.xml": f'{doctype}<worksheet xmlns="{SHEET_NAMESPACE}">{sheet}</worksheet>',
        }
    )


def _diagonal(size: int) -> str:
    """Each row has one cell, in a column of its own."""
    names = [chr(65 + a) + chr(65 + b) + chr(65 + c) for a in range(20) for b in range(26) for c in range(26)][:size]
    rows = (
        f'<row r="{n + 1}"><c r="{name}{n + 1}"><v>1</v></c><c r="A{n + 1}"><v>2</v></c></row>'
        for n, name in enumerate(names)
    )
    return f"<sheetData>{''.join(rows)}</sheetData>"


def _merged(size: int) -> str:
    cells = "".join(f'<row r="{n}"><c r="A{n}"><v>1</v></c><c r="B{n}"><v>2</v></c></row>' for n in range(1, size))
    merged = "".join(f'<mergeCell ref="A{n}:XFD1048576"/>' for n in range(1, size))
    return f"<sheetData>{cells}</sheetData><mergeCells>{merged}</mergeCells>"


def _mail_of_parts(depth: int) -> bytes:
    head = "From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b0\n\n"
    parts = (f"--b{n - 1}\nContent-Type: multipart/mixed; boundary=b{n}\n\n" for n in range(1, depth))
    return (head + "".join(parts) + f"--b{depth - 1}\nContent-Type: text/plain\n\nleaf\n").encode()


def _mail_in_mail(depth: int) -> bytes:
    head = "From: a@b.c\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n"
    return (head * depth + "From: a@b.c\n\nleaf\n").encode()


def _archive_in_archive(depth: int) -> bytes:
    content = b"leaf"
    for _ in range(depth):
        content = zipped({"a.txt": "tide", "inner.zip": content})
    return content


def _tar_of_paths(size: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for number in range(size):
            archive.addfile(tarfile.TarInfo(f"../../{number}.txt"))
    return content.getvalue()


def opendocument(kind: str, body: str) -> bytes:
    xml = f"<office:document-content {ODF}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
    mimetype = f"application/vnd.oasis.opendocument.{kind}"
    return zipped({"mimetype": mimetype, "content.xml": f"{xml}</office:document-content>"})


REPEATED = '<table:table-row table:number-rows-repeated="99999999"><table:table-cell '
REPEATED += 'table:number-columns-repeated="99999999"><text:p>x</text:p></table:table-cell></table:table-row>'

# Kind -> file name, its content, and what the error says; "" for a file that becomes text.
FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a zip bomb": ("a.zip", lambda: zipped({"a.txt": bytes(270_000_000)}), "unpacks to more"),
    "archives in archives": ("a.zip", lambda: _archive_in_archive(30), ""),
    "paths upwards": ("a.tar.gz", lambda: _tar_of_paths(100), "no text"),
    "deep lists": ("a.json", lambda: b"[" * 1_000_000, "nested too deeply"),
    "deep objects": ("a.json", lambda: b'{"a":' * 1_000_000, "nested too deeply"),
    "objects nearly too deep": ("a.json", lambda: b'{"abcdefgh":' * 900 + b"1" + b"}" * 900, ""),
    "long keys": ("a.json", lambda: json.dumps({"k" * 10**6: [{"a": n} for n in range(3_000)]}).encode(), ""),
    "deep JSON lines": ("a.jsonl", lambda: (b"[" * 5_000 + b"\n") * 200, "nested too deeply"),
    "billion laughs": ("a.xml", lambda: f"{LAUGHS}]><a>&j;</a>".encode(), "not well-formed|no text|amplification"),
    "deep XML": ("a.xml", lambda: b"<a>" * 200_000, "not well-formed"),
    "long names of elements": ("a.xml", lambda: (b"<" + b"n" * 49_000 + b">") * 250 + b"x", "not well-formed"),
    "laughs in a sheet": (
        "a.xlsx",
        lambda: workbook('<sheetData><row><c t="inlineStr"><is><t>&j;x</t></is></c></row></sheetData>', f"{LAUGHS}]>"),
        "not a readable Excel file",
    ),
    "a sheet that claims all cells": (
        "a.xlsx",
        lambda: workbook(
            '<dimension ref="A1:XFD1048576"/><sheetData><row r="1048576"><c r="XFD1048576"><v>7</v></c></row>'
            "</sheetData>"
        ),
        "",
    ),
    "a diagonal sheet": ("a.xlsx", lambda: workbook(_diagonal(8_000)), ""),
    "merged cells over all others": ("a.xlsx", lambda: workbook(_merged(3_000)), ""),
    "repeated cells": (
        "a.ods",
        lambda: opendocument("spreadsheet", f"<table:table>{REPEATED * 250}</table:table>"),
        "more than 2,000,000 cells",
    ),
    "repeated cells in a text": (
        "a.odt",
        lambda: opendocument("text", f"<table:table>{REPEATED * 9}</table:table>"),
        "",
    ),
    "parts in parts": ("a.eml", lambda: _mail_of_parts(1_000), "parts inside parts"),
    "fewer parts in parts": ("a.eml", lambda: _mail_of_parts(200), ""),
    "mails in mails": ("a.eml", lambda: _mail_in_mail(300), "nested too deeply"),
    "a thousand parts": (
        "a.eml",
        lambda: (
            b"From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\ntide\n" * 1_000
        ),
        "",
    ),
    "encoded words": (
        "a.eml",
        lambda: b"Subject: " + b"=?utf-8?q?=?=" * 20_000 + b"\nMIME-Version: 1.0\nFrom: a\n\ntide",
        "",
    ),
    "open files in a mail": ("a.eml", lambda: b"MIME-Version: 1.0\nFrom: a\n\n" + b"begin 644 a\n" * 50_000, ""),
    "deep groups": ("a.rtf", lambda: b"{\\rtf1 " + b"{" * 500_000, "nested too deeply"),
    "control words": ("a.rtf", lambda: b"{\\rtf1 " + b"\\b" * 200_000 + b" tide", ""),
    "deep blocks of code": ("a.py", lambda: "".join(" " * n + "class A:\n" for n in range(800)).encode(), ""),
    "open strings of code": ("a.py", lambda: b"'''\n" * 50_001, ""),
    "a notebook of deep outputs": (
        "a.ipynb",
        lambda: b'{"nbformat": 4, "cells": ' + b"[" * 100_000,
        "nested too deeply",
    ),
    "a book that draws its parts": (
        "a.epub",
        lambda: zipped({"META-INF/container.xml": f'{LAUGHS}]><c><rootfile full-path="&j;"/></c>'}),
        "EPUB",
    ),
}
