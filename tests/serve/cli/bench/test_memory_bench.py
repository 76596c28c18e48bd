from models.embedding.hashing_model import HashingConfig, HashingModel
from serve.cli.bench.memory.talks import long_talks, read_talks


def row(name: str, *texts: str) -> dict[str, object]:
    roles = ["user", "assistant"] * len(texts)
    return {
        "_id": name,
        "messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)],
    }


ROWS = [
    row("oven", "How hot is the oven?", "250 degrees.", "Who cleans it?"),
    row("mill", "Where is the mill?", "In Bern.", "When does it open?", "In winter.", "And in summer?"),
    row("lone", "How long is the tug?"),
]


def test_a_long_talk_begins_with_its_own_exchanges() -> None:
    talks, model = read_talks(ROWS), HashingModel("hashing", HashingConfig(dim=64))

    [back] = long_talks(talks[:1], talks, 3, model)

    assert [talk.talk_id for talk in talks] == ["oven", "mill"]
    assert [turn.item_id for turn in back.turns[::2]] == ["oven-0-user", "mill-0-user", "mill-1-user"]
    assert back.has_own(back.ranked())
    assert not back.has_own([talks[1].exchanges[0]])
