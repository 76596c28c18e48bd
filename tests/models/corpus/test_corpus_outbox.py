"""Events are written with the change itself, and leased for delivery in order."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from corpus_samples import STORE, TENANT, Clock, complete, ingest

from models.corpus.corpus import Corpus
from models.corpus.file_batches import BatchItem
from models.corpus.outbox import Event
from models.errors.requests import ConflictError

SINK = "webhook"


@pytest.fixture(autouse=True)
def sink(corpus: Corpus) -> str:
    corpus.outbox.register([SINK])
    return SINK


def attach(corpus: Corpus, name: str, store: str = STORE) -> str:
    file_id = corpus.files.add(TENANT, name, name.encode()).file_id
    corpus.store_files.attach(TENANT, store, file_id)
    return file_id


def drain(corpus: Corpus) -> list[Event]:
    """Deliver every event, in rounds, and return all of them in the order of delivery."""
    events: list[Event] = []
    if corpus.outbox.claim(SINK, "drain", 60):
        while due := corpus.outbox.due(SINK, 100):
            events += due
            assert corpus.outbox.settle(SINK, "drain", [event.event_key for event in due], {}, 60)
        corpus.outbox.release(SINK, "drain")
    return events


def types(corpus: Corpus) -> list[str]:
    return [event.type.removeprefix("document.") for event in drain(corpus)]


def test_a_files_life_is_told_in_order(corpus: Corpus, clock: Clock) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    corpus.files.replace(TENANT, file_id, b"omega")
    for job in corpus.jobs.claim("worker", 1, 60):
        complete(corpus, job)
    corpus.files.replace(TENANT, file_id, b"broken")
    for job in corpus.jobs.claim("worker", 1, 60):
        corpus.jobs.fail(job, "invalid_file", "broken", "too_complex")
    corpus.store_files.detach(TENANT, STORE, file_id)

    events = drain(corpus)

    assert [(event.type, event.version, event.reason) for event in events] == [
        ("document.created", 1, None),
        ("document.indexed", 1, None),
        ("document.indexed", 2, None),
        ("document.failed", 3, "too_complex"),
        ("document.deleted", 3, None),
    ]
    assert {(event.filename, event.file_id, event.vector_store_id) for event in events} == {("a.md", file_id, STORE)}
    assert {event.created_at for event in events} == {clock.now}
    assert len({event.event_id for event in events}) == 5


def _delete_file(corpus: Corpus, store: str, file_id: str, clock: Clock) -> None:
    corpus.files.delete(TENANT, file_id)


def _detach_file(corpus: Corpus, store: str, file_id: str, clock: Clock) -> None:
    corpus.store_files.detach(TENANT, store, file_id)


def _delete_store(corpus: Corpus, store: str, file_id: str, clock: Clock) -> None:
    corpus.vector_stores.delete(TENANT, store)


def _expire_store(corpus: Corpus, store: str, file_id: str, clock: Clock) -> None:
    clock.now += 2 * 86_400
    corpus.vector_stores.expire()


@pytest.mark.parametrize("delete", [_delete_file, _detach_file, _delete_store, _expire_store])
def test_every_way_to_lose_a_file_is_an_event(
    corpus: Corpus, clock: Clock, delete: Callable[[Corpus, str, str, Clock], None]
) -> None:
    store = corpus.vector_stores.create(TENANT, "manuals", expires_after_days=1).vector_store_id
    file_id = attach(corpus, "a", store)

    delete(corpus, store, file_id, clock)

    assert types(corpus) == ["created", "deleted"]


def test_files_of_a_batch_and_of_dead_workers_are_events(corpus: Corpus, clock: Clock) -> None:
    items = [BatchItem(corpus.files.add(TENANT, name, b"a").file_id) for name in ("a", "b")]
    corpus.file_batches.create(TENANT, STORE, items)
    for attempt in range(6):
        corpus.jobs.claim(f"victim {attempt}", 2, 30)
        clock.now += 30

    assert sorted(types(corpus)) == ["created", "created", "failed", "failed"]


def test_a_change_that_is_rolled_back_is_no_event(corpus: Corpus) -> None:
    attach(corpus, "a")
    (job,) = corpus.jobs.claim("worker", 1, 60)
    corpus.store_files.detach(TENANT, STORE, job.file_id)

    with suppress(ConflictError):
        complete(corpus, job)
    with suppress(ConflictError):
        corpus.jobs.fail(job, "invalid_file", "late")

    assert types(corpus) == ["created", "deleted"]


def test_without_a_sink_nothing_is_written(corpus: Corpus) -> None:
    corpus.outbox.register([])
    ingest(corpus, "a.md", "alpha")

    corpus.outbox.register([SINK])

    assert types(corpus) == []


def test_each_sink_has_events_of_its_own(corpus: Corpus) -> None:
    corpus.outbox.register([SINK, "broker"])
    attach(corpus, "a")

    drain(corpus)

    assert [corpus.outbox.size(name).num_events for name in (SINK, "broker")] == [0, 1]
    assert corpus.outbox.due("broker", 10)[0].event_id.startswith("evt_")
    corpus.outbox.register([SINK])
    assert corpus.outbox.size("broker").num_events == 0


def test_events_of_a_document_wait_for_its_oldest_and_no_other(corpus: Corpus, clock: Clock) -> None:
    ingest(corpus, "a.md", "alpha")
    ingest(corpus, "b.md", "beta")
    corpus.outbox.claim(SINK, "owner", 60)
    first_a, first_b = corpus.outbox.due(SINK, 10)

    corpus.outbox.settle(SINK, "owner", [first_b.event_key], {first_a.event_key: 30}, 60)
    meanwhile = [(event.filename, event.type) for event in corpus.outbox.due(SINK, 10)]
    clock.now += 30
    later = [(event.filename, event.type, event.attempts) for event in corpus.outbox.due(SINK, 10)]

    assert meanwhile == [("b.md", "document.indexed")]
    assert sorted(later) == [("a.md", "document.created", 1), ("b.md", "document.indexed", 0)]


def test_one_owner_delivers_at_a_time(corpus: Corpus, clock: Clock) -> None:
    attach(corpus, "a")

    claims = [corpus.outbox.claim(SINK, owner, 60) for owner in ("first", "second")]
    clock.now += 60
    heir = corpus.outbox.claim(SINK, "heir", 60)
    (event,) = corpus.outbox.due(SINK, 10)

    assert (claims, heir) == ([True, False], True)
    assert not corpus.outbox.settle(SINK, "first", [event.event_key], {}, 60)
    assert corpus.outbox.size(SINK).num_events == 1
    assert corpus.outbox.settle(SINK, "heir", [event.event_key], {}, 60)
    assert not corpus.outbox.claim(SINK, "next", 60)  # nothing is due


def test_a_full_outbox_drops_the_oldest(corpus: Corpus) -> None:
    for number in range(5):
        attach(corpus, f"{number}")

    dropped = corpus.outbox.trim(SINK, max_events=3, max_age_s=1000)

    assert dropped == {"expired": 0, "full": 2}
    assert [event.filename for event in drain(corpus)] == ["2", "3", "4"]
    assert corpus.outbox.trim(SINK, max_events=3, max_age_s=1000) == {}


def test_an_old_event_is_dropped(corpus: Corpus, clock: Clock) -> None:
    attach(corpus, "old")
    clock.now += 500
    attach(corpus, "new")
    clock.now += 500

    assert corpus.outbox.trim(SINK, max_events=10, max_age_s=1000) == {"expired": 1, "full": 0}
    assert corpus.outbox.size(SINK).oldest_at == clock.now - 500


@pytest.mark.parametrize("filename", ["Müller & Söhne.md", "契約書.pdf", "a\nb'); DROP TABLE outbox;--", "x" * 5000])
def test_any_filename_survives(corpus: Corpus, filename: str) -> None:
    attach(corpus, filename)

    assert [event.filename for event in drain(corpus)] == [filename]


def test_in_the_order_of_a_store_its_events_wait_for_a_postponed_one(corpus: Corpus, clock: Clock) -> None:
    other = corpus.vector_stores.create(TENANT, "manuals").vector_store_id
    for name in ("a", "b", "c"):
        attach(corpus, name)
        attach(corpus, f"{name} too", other)

    def due() -> list[str]:
        return [event.filename for event in corpus.outbox.due(SINK, 10, "store")]

    assert corpus.outbox.claim(SINK, "owner", 60, "store")
    first, _, second, *_ = corpus.outbox.due(SINK, 10, "store")
    before = due()
    corpus.outbox.settle(SINK, "owner", [first.event_key], {second.event_key: 30}, 60)
    meanwhile = due()
    clock.now += 30

    assert before == ["a", "a too", "b", "b too", "c", "c too"]
    assert meanwhile == ["a too", "b too", "c too"]
    assert due() == ["a too", "b", "b too", "c", "c too"]
    assert [event.filename for event in corpus.outbox.due(SINK, 2, "store")] == ["a too", "b"]
