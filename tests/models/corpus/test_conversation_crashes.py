"""Repeated kill -9 while a conversation is written: acknowledged items and deletes are there, and in order."""

import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from corpus_samples import TENANT

from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.errors.requests import NotFoundError
from tests.patience import PATIENCE_S

FORK = multiprocessing.get_context("fork")
NUM_KILLS = 6
NUM_ITEMS = 3  # of each conversation
PAGE = PageRequest(limit=100, order="asc")


def item_of(number: int, place: int) -> dict[str, str]:
    return {"id": f"msg_{number}_{place}", "type": "message"}


def write_until_killed(url: str, blob_root: Path, first: int, output: int) -> None:
    """Write conversations, and report each acknowledged change: its event, the number and the conversation's id."""
    conversations = Corpus.open(url, blob_root).conversations
    number = first
    while True:
        conversation_id = conversations.create(TENANT, {}, [item_of(number, 0)]).conversation_id
        os.write(output, f"item {number} {conversation_id}\n".encode())
        for place in range(1, NUM_ITEMS):
            conversations.append(TENANT, conversation_id, [item_of(number, place)])
            os.write(output, f"item {number} {conversation_id}\n".encode())
        if number % 2:
            conversations.delete(TENANT, conversation_id)
            os.write(output, f"deleted {number} {conversation_id}\n".encode())
        number += 1


def killed_after(url: str, blob_root: Path, first: int, num_changes: int) -> Iterator[list[str]]:
    """The changes that a child acknowledged, which is killed once it has acknowledged `num_changes`."""
    reading, writing = os.pipe()
    child = FORK.Process(target=write_until_killed, args=(url, blob_root, first, writing), daemon=True)
    child.start()
    os.close(writing)
    with open(reading) as output:
        for _ in range(num_changes):
            yield output.readline().split()
        child.kill()
        child.join(PATIENCE_S)
        assert child.exitcode == -signal.SIGKILL
        for line in output:
            yield line.split()


@dataclass
class Acknowledged:
    """By conversation: its number, and how many items it has. `in_doubt`: whose next change a kill may have cut off."""

    numbers: dict[str, int] = field(default_factory=dict)
    num_items: Counter[str] = field(default_factory=Counter)
    deleted: set[str] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)

    @property
    def next_number(self) -> int:
        return max(self.numbers.values(), default=-1) + 1

    def note(self, changes: Iterable[list[str]]) -> None:
        for event, number, conversation_id in changes:
            self.numbers[conversation_id] = int(number)
            self.num_items[conversation_id] += event == "item"
            self.deleted |= {conversation_id} if event == "deleted" else set()
        self.in_doubt.add(conversation_id)

    def check(self, corpus: Corpus) -> None:
        for conversation_id, number in self.numbers.items():
            try:
                items = corpus.conversations.page(TENANT, conversation_id, PAGE).items
            except NotFoundError:
                assert conversation_id in self.deleted or (conversation_id in self.in_doubt and number % 2)
                continue
            least = self.num_items[conversation_id]
            assert conversation_id not in self.deleted
            assert list(items) == [item_of(number, place) for place in range(len(items))]
            assert least <= len(items) <= least + (conversation_id in self.in_doubt)


@pytest.mark.slow
def test_acknowledged_items_and_deletes_of_conversations_survive_kill_9(database_url: str, state_folder: Path) -> None:
    blob_root, random_source, acknowledged = state_folder / "blobs", random.Random(7), Acknowledged()

    for num_changes in (*(random_source.randint(2, 12) for _ in range(NUM_KILLS)), 12):  # 12 have a delete
        acknowledged.note(killed_after(database_url, blob_root, acknowledged.next_number, num_changes))
        corpus = Corpus.open(database_url, blob_root)  # closed before the next fork
        acknowledged.check(corpus)
        corpus.close()

    assert acknowledged.deleted
