"""What is remembered: vectors of messages, summaries and facts, and what deletes them."""

import numpy as np
import pytest
from corpus_samples import TENANT, UNDO_VERSION_12, Clock
from sqlalchemy import create_engine, text

from models.corpus.conversations import Item
from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.corpus.responses import StoredResponse
from models.corpus.summaries import Summary
from models.corpus.turn_vectors import TurnSource
from models.corpus.user_facts import MAX_FACTS
from models.errors.requests import NotFoundError

SPACE, OTHER_SPACE = "tiny@1", "tiny@2"
VECTOR = np.array([0.6, 0.8], np.float32)


def item(item_id: str) -> Item:
    return {"id": item_id, "type": "message", "role": "user", "content": []}


def add_response(corpus: Corpus, name: str, previous: str | None = None) -> None:
    stored = StoredResponse(name, "completed", int(corpus.responses.clock()), {}, (item(f"{name}-out"),), previous)
    corpus.responses.add(TENANT, stored, [item(f"{name}-in")])


def conversation(corpus: Corpus, *names: str) -> TurnSource:
    created = corpus.conversations.create(TENANT, {}, [item(name) for name in names])
    return TurnSource("conversation", created.conversation_id)


def remembered(corpus: Corpus, source: TurnSource, generation: str = SPACE) -> dict[str, list[float]]:
    loaded = corpus.turn_vectors.load(TENANT, source, generation)
    return {item_id: [round(float(value), 3) for value in vector] for item_id, vector in loaded.items()}


def test_vectors_are_of_the_messages_of_one_conversation_and_one_space(corpus: Corpus) -> None:
    source, other = conversation(corpus, "a", "b"), conversation(corpus, "a")

    corpus.turn_vectors.save(TENANT, source, SPACE, {"a": VECTOR, "gone": VECTOR})

    assert remembered(corpus, source) == {"a": [0.6, 0.8]}
    assert remembered(corpus, other) == remembered(corpus, source, OTHER_SPACE) == {}
    assert corpus.turn_vectors.load("other", source, SPACE) == {}


def test_a_new_space_replaces_a_vector(corpus: Corpus) -> None:
    source = conversation(corpus, "a")
    corpus.turn_vectors.save(TENANT, source, SPACE, {"a": VECTOR})

    corpus.turn_vectors.save(TENANT, source, OTHER_SPACE, {"a": VECTOR[::-1]})

    assert remembered(corpus, source) == {}
    assert remembered(corpus, source, OTHER_SPACE) == {"a": [0.8, 0.6]}


def test_vectors_of_a_chain_go_with_the_response_that_has_the_message(corpus: Corpus) -> None:
    add_response(corpus, "r1")
    add_response(corpus, "r2", "r1")
    source = TurnSource("response", "r2")

    corpus.turn_vectors.save(TENANT, source, SPACE, {"r1-in": VECTOR, "r2-out": VECTOR})

    assert remembered(corpus, source).keys() == {"r1-in", "r2-out"}
    assert remembered(corpus, TurnSource("response", "r1")).keys() == {"r1-in"}
    corpus.responses.delete(TENANT, "r1")
    assert remembered(corpus, source).keys() == {"r2-out"}


def test_a_deleted_item_or_conversation_takes_vectors_and_summary_along(corpus: Corpus) -> None:
    source = conversation(corpus, "a", "b", "c")
    corpus.turn_vectors.save(TENANT, source, SPACE, {"a": VECTOR, "b": VECTOR})
    corpus.summaries.put(TENANT, source.source_id, Summary("b", "They greeted."), ["a", "b"])
    assert corpus.summaries.get(TENANT, source.source_id) == Summary("b", "They greeted.")
    assert corpus.summaries.get("other", source.source_id) is None

    corpus.conversations.delete_item(TENANT, source.source_id, "a")

    assert remembered(corpus, source).keys() == {"b"}
    assert corpus.summaries.get(TENANT, source.source_id) is None
    corpus.conversations.delete(TENANT, source.source_id)
    with corpus.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM conversation_vectors")).scalar_one() == 0
    with pytest.raises(NotFoundError):
        corpus.summaries.put(TENANT, source.source_id, Summary("b", "They greeted."), ["b"])


def test_a_summary_of_a_message_that_was_deleted_meanwhile_is_not_kept(corpus: Corpus) -> None:
    source = conversation(corpus, "a", "b")
    corpus.conversations.delete_item(TENANT, source.source_id, "a")

    corpus.summaries.put(TENANT, source.source_id, Summary("b", "They greeted."), ["a", "b"])

    assert corpus.summaries.get(TENANT, source.source_id) is None


def test_facts_are_of_one_user_of_one_tenant(corpus: Corpus, clock: Clock) -> None:
    corpus.user_facts.add(TENANT, "ann", ["I live in Bern.", "I own a mill.", "I live in Bern."])
    corpus.user_facts.add("other", "ann", ["I own a tug."])
    corpus.user_facts.add(TENANT, "bob", ["I live in Bern.", "half a \0 text"])
    clock.now += 10
    corpus.user_facts.add(TENANT, "ann", ["I live in Bern."])

    page = corpus.user_facts.page(TENANT, "ann", PageRequest())

    assert [(fact.text, fact.stated_at) for fact in page.items] == [
        ("I live in Bern.", 1_000_010),
        ("I own a mill.", 1_000_000),
    ]
    with pytest.raises(NotFoundError):
        corpus.user_facts.delete(TENANT, "bob", page.items[0].fact_id)
    with pytest.raises(NotFoundError):
        corpus.user_facts.delete("other", "ann", page.items[0].fact_id)
    corpus.user_facts.delete(TENANT, "ann", page.items[0].fact_id)
    assert corpus.user_facts.delete_all(TENANT, "ann") == 1
    assert [fact.text for fact in corpus.user_facts.of_user(TENANT, "bob", SPACE)] == ["I live in Bern."]
    assert [fact.text for fact in corpus.user_facts.of_user("other", "ann", SPACE)] == ["I own a tug."]


def test_the_oldest_facts_go_beyond_the_limit_and_after_their_time(corpus: Corpus, clock: Clock) -> None:
    corpus.user_facts.add(TENANT, "ann", [f"I own mill {number}." for number in range(MAX_FACTS)])
    clock.now += 10
    corpus.user_facts.add(TENANT, "ann", ["I own a tug."])

    facts = corpus.user_facts.of_user(TENANT, "ann", SPACE)

    assert (len(facts), facts[0].text, facts[-1].text) == (MAX_FACTS, "I own mill 1.", "I own a tug.")
    assert corpus.user_facts.delete_older(5) == MAX_FACTS - 1
    assert [fact.text for fact in corpus.user_facts.of_user(TENANT, "ann", SPACE)] == ["I own a tug."]


def test_the_vector_of_a_fact_is_of_one_space(corpus: Corpus) -> None:
    corpus.user_facts.add(TENANT, "ann", ["I own a mill."])
    [fact] = corpus.user_facts.of_user(TENANT, "ann", SPACE)
    assert fact.vector is None

    corpus.user_facts.save_vectors(TENANT, "ann", SPACE, {fact.fact_id: VECTOR})

    [fact] = corpus.user_facts.of_user(TENANT, "ann", SPACE)
    assert fact.vector is not None
    assert fact.vector.tolist() == VECTOR.tolist()
    assert corpus.user_facts.of_user(TENANT, "ann", OTHER_SPACE)[0].vector is None


def test_a_database_of_version_11_gets_the_tables(corpus: Corpus, database_url: str, state_folder: object) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in UNDO_VERSION_12:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 11"))
    engine.dispose()
    source = conversation(corpus, "a")

    upgraded = Corpus.open(database_url, f"{state_folder}/blobs")
    upgraded.turn_vectors.save(TENANT, source, SPACE, {"a": VECTOR})
    upgraded.user_facts.add(TENANT, "ann", ["I own a mill."])
    upgraded.close()

    assert remembered(corpus, source) == {"a": [0.6, 0.8]}
    assert len(corpus.user_facts.of_user(TENANT, "ann", SPACE)) == 1
