"""Titles that programs give to every file: they say nothing about the document."""

import re

from models.documents.text import one_line

# What python-docx, Word, PowerPoint, LibreOffice, Google Docs, Pages, ReportLab and browsers write.
DEFAULT_TITLE = re.compile(
    r"""(?:
        (?:word|pdf|new|my)?[ ]?document(?:[ ]?\d+)? | dokument[ ]?\d* | documento[ ]?\d* | 文档\s?\d* | 文書\s?\d*
        | (?:powerpoint[ -]?)?(?:presentation|präsentation)[ ]?\d*
        | présentation[ ]powerpoint | presentación.{0,3}powerpoint
        | (?:book|sheet|slide|mappe|tabelle|folie)[ ]?\d* | (?:kein|no)[ ](?:titel|title) | title | titel | titre
        | \(?(?:untitled|unbenannt|ohne[ ]titel|sans[ ]titre|senza[ ]titolo|sin[ ]título|无标题|無題|без[ ]имени)\)?
          (?:[ -]?(?:document|dokument|page|\d+)){0,2}
        | \(?(?:anonymous|unspecified|none|null)\)? | about:blank
        | [\d\W_]{8,}
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
PROGRAM = re.compile(r"(?:Microsoft (?:Office )?(?:Word|PowerPoint|Excel)|WordPerfect) - ", re.IGNORECASE)
EXTENSION = r"\.(?:docx?|dotx?|odt|rtf|pptx?|xlsx?|pdf|tex|dvi|indd|qxd|pmd|fm|html?)$"
FILE_NAME = re.compile(rf"(?:\S+|.*[\\/].*){EXTENSION}", re.IGNORECASE)


def title_of(metadata: str) -> str:
    """The title that a file's metadata states on one line, or "" if it is a program's or the name of a file."""
    title = one_line(metadata)
    if program := PROGRAM.match(title):
        title = re.sub(EXTENSION, "", title[program.end() :], flags=re.IGNORECASE)
    return "" if DEFAULT_TITLE.match(title) or FILE_NAME.match(title) else title
