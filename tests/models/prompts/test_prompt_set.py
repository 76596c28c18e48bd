"""The texts of a prompt set: languages, lengths and refusals, and what a file may not have."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from models.answer_form import AUTO, SENTENCES, AnswerForm, RefusalName
from models.errors.configuration import ConfigError
from models.languages.tags import language_tag
from models.prompts.library import DEFAULT_PROMPTS, PromptLibrary, default_prompts
from models.prompts.prompt_set import PromptTexts

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def texts() -> dict[str, Any]:
    """The content of the default set's file."""
    return default_prompts().texts.model_dump()


def write(folder: Path, texts: object, name: str = "mine", version: str = "1") -> Path:
    path = folder / name / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(texts if isinstance(texts, str) else json.dumps(texts))
    return folder


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (AUTO, "the language of the question"),
        (None, "the language of the question"),
        ("de", "German"),
        ("pt-BR", "Portuguese (pt-BR)"),
        ("zh-Hant", "Chinese in traditional characters"),
        ("tlh", "the language with the BCP 47 tag tlh"),
    ],
)
def test_instructions_name_the_language(tag: str | None, name: str) -> None:
    assert default_prompts().language(tag) == name


@pytest.mark.parametrize(
    ("length", "words"),
    [(None, "briefly"), ("short", "in one sentence"), (1, "in one sentence"), (7, "in at most 7 sentences")],
)
def test_instructions_name_the_length(length: Any, words: str) -> None:
    assert default_prompts().length(length) == words


def test_named_lengths_are_different_texts() -> None:
    assert len({default_prompts().length(name) for name in SENTENCES}) == len(SENTENCES)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie heiß wird der Ofen und warum?", "de"),
        ("¿Cuándo se construyó la torre?", "es"),
        ("Quand la tour a-t-elle été construite ?", "fr"),
        ("塔はいつ建てられましたか。", "ja"),
        ("这座塔是什么时候建造的？", "zh"),
        ("탑은 언제 지어졌습니까?", "ko"),
        ("Когда построили башню?", "ru"),
        ("When was the tower built?", "en"),
        ("¤", "en"),
    ],
)
def test_a_refusal_is_in_the_language_of_the_question(texts: dict[str, Any], question: str, language: str) -> None:
    for name in get_args(RefusalName):
        text = default_prompts().refusal(name, AnswerForm(language=AUTO), question)

        assert text == texts["refusals"][name][language]


def test_a_chosen_language_decides_and_english_stands_for_those_without_a_text(texts: dict[str, Any]) -> None:
    prompts, refusals = default_prompts(), texts["refusals"]["greeting"]

    assert prompts.refusal("greeting", AnswerForm(language="fr-CA"), "When?") == refusals["fr"]
    assert prompts.refusal("greeting", AnswerForm(language="tlh"), "When?") == refusals["en"]


def test_every_refusal_has_the_same_languages(texts: dict[str, Any]) -> None:
    assert len({frozenset(by_tag) for by_tag in texts["refusals"].values()}) == 1


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (lambda texts: texts.update(rules="Be kind."), "rules", "unknown key"),
        (lambda texts: texts["answer"].update(instructions="Answer {question}."), "answer.instructions", "{question}"),
        (lambda texts: texts["answer"].update(instructions="{language.__class__}"), "answer.instructions", "unknown"),
        (lambda texts: texts["answer"].update(instructions="{language!r}"), "answer.instructions", "{language!r}"),
        (lambda texts: texts["answer"].update(instructions="{}"), "answer.instructions", "unknown placeholder {}"),
        (lambda texts: texts["answer"].update(instructions="Say {so."), "answer.instructions", "partner"),
        (lambda texts: texts["answer"].update(relevance="Best first."), "answer.relevance", "{numbers} is missing"),
        (lambda texts: texts["steps"].update(refine="Improve it."), "steps.refine", "{draft} is missing"),
        (lambda texts: texts["refusals"]["thanks"].update(de="Gern, {name}."), "refusals.thanks.de", "{name}"),
        (lambda texts: texts["refusals"]["thanks"].pop("en"), "refusals", "thanks needs a text in 'en'"),
        (lambda texts: texts["refusals"].pop("greeting"), "refusals", "greeting needs"),
        (lambda texts: texts["refusals"].update(farewell={"en": "Bye."}), "refusals.farewell", ""),
        (lambda texts: texts["refusals"]["thanks"].update({"not a tag": "x"}), "refusals.thanks", ""),
        (lambda texts: texts["answer"].update(passages=""), "answer.passages", "at least 1"),
        (lambda texts: texts.pop("steps"), "steps", "required"),
        (lambda texts: texts["answer"].update(examples=[{"user": "Why?"}]), "answer.examples.0.assistant", "required"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(
    texts: dict[str, Any], tmp_path: Path, change: Change, place: str, problem: str
) -> None:
    change(texts)

    with pytest.raises(ConfigError) as refused:
        PromptLibrary.open(write(tmp_path, texts))

    assert str(refused.value).startswith(f"prompts/mine/1.yaml: {place}")
    assert problem in str(refused.value)


@pytest.mark.parametrize("content", ["", "- a list", "a: [", "!!python/object:os.system {}", "5", "1: 2"])
def test_what_is_no_prompt_set_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"prompts/mine/1\.yaml"):
        PromptLibrary.open(write(tmp_path, content))


@pytest.mark.parametrize(("name", "version"), [("Mine", "1"), ("mine", "0"), ("mine", "latest"), ("mi ne", "2")])
def test_a_file_without_a_version_is_refused(texts: dict[str, Any], tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(ConfigError, match=r"must be <name>/<version>\.yaml"):
        PromptLibrary.open(write(tmp_path, texts, name, version))


def test_an_operators_set_is_added_and_doubled_braces_are_braces(texts: dict[str, Any], tmp_path: Path) -> None:
    texts["answer"]["instructions"] = "Write {{braces}}, in {language}."

    library = PromptLibrary.open(write(tmp_path, texts, "brief", "12"))

    assert sorted(library.sets) == ["brief@12", DEFAULT_PROMPTS]
    prompt = library.get("brief@12").for_answer(AnswerForm(language="it"), "Why?")
    assert (prompt.name, prompt.instructions) == ("brief@12", "Write {braces}, in Italian.")


@pytest.mark.parametrize("name", ["default", "default@2", "", "../default@1"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no prompt set named"):
        PromptLibrary.open().get(name)


def test_sets_of_the_same_name_differ_by_their_content(texts: dict[str, Any], tmp_path: Path) -> None:
    same = PromptLibrary.open(write(tmp_path / "same", texts, "default")).get(DEFAULT_PROMPTS)
    texts["answer"]["passages"] = "Texts:"
    other = PromptLibrary.open(write(tmp_path / "other", texts, "default")).get(DEFAULT_PROMPTS)

    assert same == default_prompts() != other
    assert repr(same) == repr(default_prompts()) != repr(other)
    assert len(repr(other)) < 60  # it is a part of every cache key


def test_a_set_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(default_prompts())) == default_prompts()


def test_every_built_in_set_names_each_refusals_language() -> None:
    for prompts in PromptLibrary.open().sets.values():
        assert isinstance(prompts.texts, PromptTexts)
        tags = set(prompts.texts.refusals["greeting"])
        assert tags <= set(prompts.texts.languages.names)


def test_a_tag_is_told_from_script_and_words() -> None:
    assert [language_tag(text) for text in ("", "Hello", "नमस्ते", "สวัสดี", "Ω iPhone 15 Pro Max")] == [
        "en",
        "en",
        "hi",
        "th",
        "en",
    ]
