"""Responses and conversations: what is stored of them, who sees it, and when it goes."""

import pytest
from corpus_samples import TENANT, UNDO_VERSION_10, Clock
from sqlalchemy import create_engine, text

from models.corpus.conversations import Item
from models.corpus.corpus import Corpus
from models.corpus.history import HistoryLimit, num_chars_of
from models.corpus.records import PageRequest
from models.corpus.responses import ResponseStatus, StoredResponse
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError


def item(item_id: str) -> Item:
    return {"id": item_id, "type": "message", "role": "user", "content": f"text of {item_id} \0 \ud800"}


def add(
    corpus: Corpus,
    name: str,
    previous: str | None = None,
    status: ResponseStatus = "completed",
    conversation: str | None = None,
) -> None:
    """A response `name` with the input `name-in` and the output `name-out`."""
    output = () if status == "in_progress" else (item(f"{name}-out"),)
    now = int(corpus.responses.clock())
    stored = StoredResponse(name, status, now, {"model": "ragserve"}, output, previous)
    corpus.responses.add(TENANT, stored, [item(f"{name}-in")], conversation)


def ids(items: list[Item]) -> list[str]:
    return [each["id"] for each in items]


def test_a_stored_response_is_read_as_it_was(corpus: Corpus) -> None:
    add(corpus, "r1")

    stored = corpus.responses.get(TENANT, "r1")

    assert (stored.status, stored.body, stored.output) == ("completed", {"model": "ragserve"}, (item("r1-out"),))
    assert corpus.responses.inputs(TENANT, "r1", PageRequest()).items == (item("r1-in"),)


def test_the_history_is_that_of_the_whole_chain_newest_last(corpus: Corpus) -> None:
    for name, previous in (("r1", None), ("r2", "r1"), ("r3", "r2"), ("other", None)):
        add(corpus, name, previous)

    assert ids(corpus.responses.history(TENANT, "r3", HistoryLimit(100, 10_000))) == [
        f"{name}-{side}" for name in ("r1", "r2", "r3") for side in ("in", "out")
    ]
    assert ids(corpus.responses.history(TENANT, "r3", HistoryLimit(3, 10_000))) == ["r2-out", "r3-in", "r3-out"]


def call(call_id: str) -> Item:
    return {"id": f"fc-{call_id}", "type": "function_call", "call_id": call_id, "name": "look_up", "arguments": "{}"}


def result(call_id: str) -> Item:
    return {"id": f"fco-{call_id}", "type": "function_call_output", "call_id": call_id, "output": "Rome is old."}


def test_a_history_has_the_newest_items_within_its_characters(corpus: Corpus) -> None:
    names = [f"r{number}" for number in range(20)]
    for name, previous in zip(names, [None, *names], strict=False):
        add(corpus, name, previous)
    conversation = corpus.conversations.create(TENANT, {}, [item(name) for name in names]).conversation_id
    newest = sum(map(num_chars_of, (item("r18-out"), item("r19-in"), item("r19-out"))))

    assert ids(corpus.responses.history(TENANT, "r19", HistoryLimit(100, newest))) == ["r18-out", "r19-in", "r19-out"]
    assert ids(corpus.responses.history(TENANT, "r19", HistoryLimit(100, newest - 1))) == ["r19-in", "r19-out"]
    assert corpus.responses.history(TENANT, "r19", HistoryLimit(100, -1)) == []
    two = 2 * num_chars_of(item("r18"))
    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(100, two))) == ["r18", "r19"]


def test_a_history_that_must_be_whole_is_refused_if_it_is_longer(corpus: Corpus) -> None:
    items = [item("a"), item("b")]
    conversation = corpus.conversations.create(TENANT, {}, items).conversation_id
    num_chars = sum(map(num_chars_of, items))

    history = corpus.conversations.history(TENANT, conversation, HistoryLimit(2, num_chars, is_whole=True))

    assert ids(history) == ["a", "b"]
    for limit in (HistoryLimit(1, num_chars, is_whole=True), HistoryLimit(2, num_chars - 1, is_whole=True)):
        with pytest.raises(InvalidRequestError, match="truncation: auto"):
            corpus.conversations.history(TENANT, conversation, limit)


def test_what_no_model_reads_counts_little() -> None:
    parts = [{"type": "output_text", "text": "x" * 100, "annotations": [{"filename": "y" * 500}]}]
    message = {"id": "m", "type": "message", "role": "assistant", "content": parts}
    search = {"id": "s", "type": "file_search_call", "results": [{"text": "z" * 1_600}]}

    assert num_chars_of(message) == 100
    assert 100 < num_chars_of(search) < 110
    assert num_chars_of(call("c1")) + num_chars_of(result("c1")) == len("{}") + len("Rome is old.")


def test_a_result_whose_call_is_cut_off_goes_too(corpus: Corpus) -> None:
    items = [call("c1"), result("c1"), call("c2"), result("c2")]
    conversation = corpus.conversations.create(TENANT, {}, items).conversation_id

    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(3, 10_000))) == ["fc-c2", "fco-c2"]


def test_a_deleted_response_takes_its_items_along(corpus: Corpus) -> None:
    for name, previous in (("r1", None), ("r2", "r1"), ("r3", "r2")):
        add(corpus, name, previous)

    corpus.responses.delete(TENANT, "r2")

    assert ids(corpus.responses.history(TENANT, "r3", HistoryLimit(100, 10_000))) == ["r3-in", "r3-out"]
    assert corpus.responses.items_by_id(TENANT, ["r2-in", "r3-in"]) == {"r3-in": item("r3-in")}
    with pytest.raises(NotFoundError):
        corpus.responses.delete(TENANT, "r2")


def test_a_response_of_another_tenant_is_unknown(corpus: Corpus) -> None:
    add(corpus, "r1")
    conversation = corpus.conversations.create(TENANT, {}, [item("i1")]).conversation_id

    assert corpus.responses.items_by_id("other", ["r1-in", "i1"]) == {}
    for call in (corpus.responses.get, corpus.responses.delete, corpus.responses.cancel):
        with pytest.raises(NotFoundError):
            call("other", "r1")
    for call in (corpus.conversations.get, corpus.conversations.delete):
        with pytest.raises(NotFoundError):
            call("other", conversation)
    with pytest.raises(NotFoundError):
        corpus.responses.history("other", "r1", HistoryLimit(1, 10_000))
    with pytest.raises(NotFoundError):
        corpus.conversations.append("other", conversation, [item("i2")])


def test_a_response_in_progress_ends_once(corpus: Corpus) -> None:
    add(corpus, "r1", status="in_progress")
    with pytest.raises(ConflictError, match="in progress"):
        corpus.responses.history(TENANT, "r1", HistoryLimit(1, 10_000))
    ended = StoredResponse("r1", "completed", 1, {}, (item("out"),))

    assert corpus.responses.finish(TENANT, ended)
    assert not corpus.responses.finish(TENANT, ended)

    assert corpus.responses.cancel(TENANT, "r1").status == "completed"
    assert corpus.responses.get(TENANT, "r1").output == (item("out"),)


def test_a_cancelled_response_gets_no_answer(corpus: Corpus) -> None:
    conversation = corpus.conversations.create(TENANT, {}, []).conversation_id
    add(corpus, "r1", status="in_progress", conversation=conversation)

    assert corpus.responses.cancel(TENANT, "r1").status == "cancelled"

    assert not corpus.responses.finish(TENANT, StoredResponse("r1", "completed", 1, {}, (item("out"),)), conversation)
    assert corpus.responses.get(TENANT, "r1").output == ()
    assert corpus.conversations.history(TENANT, conversation, HistoryLimit(10, 10_000)) == []


def test_a_response_and_its_conversation_change_together(corpus: Corpus) -> None:
    conversation = corpus.conversations.create(TENANT, {"topic": "ovens"}, [item("i1")]).conversation_id
    add(corpus, "r1", conversation=conversation)

    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(10, 10_000))) == [
        "i1",
        "r1-in",
        "r1-out",
    ]
    corpus.responses.delete(TENANT, "r1")
    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(2, 10_000))) == ["r1-in", "r1-out"]
    corpus.conversations.delete(TENANT, conversation)
    with pytest.raises(NotFoundError):
        add(corpus, "r2", conversation=conversation)
    with pytest.raises(NotFoundError):
        corpus.responses.get(TENANT, "r2")


def test_items_of_a_conversation_are_paged_read_and_deleted(corpus: Corpus) -> None:
    conversation = corpus.conversations.create(TENANT, {}, [item(name) for name in "abc"]).conversation_id

    page = corpus.conversations.page(TENANT, conversation, PageRequest(2, order="asc"))
    rest_of_it = corpus.conversations.page(TENANT, conversation, PageRequest(2, "b", "asc"))
    corpus.conversations.delete_item(TENANT, conversation, "b")

    assert (ids(list(page.items)), page.has_more) == (["a", "b"], True)
    assert (ids(list(rest_of_it.items)), rest_of_it.has_more) == (["c"], False)
    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(10, 10_000))) == ["a", "c"]
    with pytest.raises(NotFoundError):
        corpus.conversations.item(TENANT, conversation, "b")


@pytest.mark.parametrize("names", [["a"], ["b", "b"]], ids=["in the conversation", "in the request"])
def test_an_item_comes_once(corpus: Corpus, names: list[str]) -> None:
    conversation = corpus.conversations.create(TENANT, {}, [item("a")]).conversation_id

    with pytest.raises(InvalidRequestError, match="already"):
        corpus.conversations.append(TENANT, conversation, [item(name) for name in names])

    assert ids(corpus.conversations.history(TENANT, conversation, HistoryLimit(10, 10_000))) == ["a"]


def test_old_responses_and_unused_conversations_go(corpus: Corpus, clock: Clock) -> None:
    add(corpus, "old")
    unused = corpus.conversations.create(TENANT, {}, [item("a")]).conversation_id
    used = corpus.conversations.create(TENANT, {}, []).conversation_id
    clock.now += 100
    add(corpus, "new", previous="old")
    corpus.conversations.append(TENANT, used, [item("b")])

    assert (corpus.responses.delete_older(50), corpus.conversations.delete_unused(50)) == (1, 1)

    assert ids(corpus.responses.history(TENANT, "new", HistoryLimit(10, 10_000))) == ["new-in", "new-out"]
    assert corpus.conversations.get(TENANT, used).metadata == {}
    with pytest.raises(NotFoundError):
        corpus.conversations.get(TENANT, unused)
    assert corpus.responses.items_by_id(TENANT, ["old-in", "a", "b"]) == {"b": item("b")}


def test_a_database_of_version_9_gets_the_tables(corpus: Corpus, database_url: str, state_folder: object) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in UNDO_VERSION_10:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 9"))
    engine.dispose()

    upgraded = Corpus.open(database_url, f"{state_folder}/blobs")
    add(upgraded, "r1")
    upgraded.close()

    assert corpus.responses.get(TENANT, "r1").status == "completed"
