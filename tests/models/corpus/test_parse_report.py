"""A parser's report is stored within limits, whatever a parser reports."""

from corpus_samples import STORE, TENANT, completion_of, ingest

from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.parse_report import (
    MAX_NAME_CHARS,
    MAX_OMISSIONS,
    MAX_WARNING_CHARS,
    OTHER_OMISSIONS,
    ParseReport,
)
from models.types.chunks import ParsedFile

HOSTILE = ParseReport.of(ParsedFile("", (), (("日本\0\ud800語", 2),), "\0 \udfff guessed"))


def parsed(*omissions: tuple[str, int], doubt: str = "") -> ParsedFile:
    return ParsedFile("text", (), omissions, doubt)


def report_of(corpus: Corpus, file_id: str) -> ParseReport | None:
    return corpus.store_files.get(TENANT, STORE, file_id).parse_report


def test_a_report_has_all_of_a_usual_parsers() -> None:
    report = ParseReport.of(parsed(("hidden passages", 2), ("page numbers", 9), doubt="a guess"))

    assert report == ParseReport((("hidden passages", 2), ("page numbers", 9)), ("a guess",))
    assert ParseReport.of(parsed()) == ParseReport()


def test_a_report_is_bounded_and_loses_no_count() -> None:
    names = [(f"{number}" * 5_000, number) for number in range(1_000)]

    report = ParseReport.of(parsed(*names, doubt="?" * 1_000_000))

    assert len(report.omissions) == MAX_OMISSIONS
    assert report.omissions[-1][0] == OTHER_OMISSIONS
    assert sum(count for _, count in report.omissions) == sum(range(1_000))
    assert max(len(name) for name, _ in report.omissions) == MAX_NAME_CHARS
    assert [len(warning) for warning in report.warnings] == [MAX_WARNING_CHARS]


def test_every_database_stores_a_report(corpus: Corpus) -> None:
    file = corpus.files.add(TENANT, "a.md", b"alpha")
    corpus.store_files.attach(TENANT, STORE, file.file_id)
    (job,) = corpus.jobs.claim("worker", 1, 60.0)
    done = completion_of(corpus, job)

    corpus.jobs.complete_all([Completion(job, done.text, done.chunks, done.vectors, report=HOSTILE)])

    assert report_of(corpus, file.file_id) == HOSTILE == ParseReport((("日本?語", 2),), (" ? guessed",))


def test_a_file_keeps_the_report_of_the_version_that_is_searched(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    assert report_of(corpus, file_id) == ParseReport()

    corpus.files.replace(TENANT, file_id, b"omega")
    (job,) = corpus.jobs.claim("worker", 1, 60.0)
    corpus.jobs.fail(job, "invalid_file", "broken")

    assert report_of(corpus, file_id) == ParseReport()
    assert corpus.store_files.get(TENANT, STORE, file_id).status == "failed"
