import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.answer_form import AnswerForm, AnswerStep
from models.errors.base import RagError
from models.errors.configuration import ModelNotFoundError
from models.errors.requests import InvalidRequestError
from models.generation.citations import CitationStream
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.generation.markers import WORD_JOINER
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest, SamplingOptions
from tests.models.generation.samples import RIVER, TOWER, asking, passage

LETTER = re.compile("[a-z]")
SHARED_DATA = Path(__file__).parents[4] / "shared" / "data"


class LetterCounts:
    """An EmbeddingModel in which texts with the same letters are near: a token is a letter."""

    name, generation, dim, max_tokens = "letters", "letters@1", 26, 1000
    dims: tuple[int, ...] = (26,)

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self.tokenize_documents(texts)

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return [
            Encoding(np.array([ord(letter) - 97 for letter in LETTER.findall(str(text).lower())])) for text in texts
        ]

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        counts = np.array([np.bincount(encoding.ids, minlength=26) for encoding in batch], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


async def deltas_of(request: GenerationRequest, model: ExtractiveModel | None = None) -> list[GenerationDelta]:
    return [delta async for delta in (model or ExtractiveModel("extractive", ExtractiveConfig())).stream(request)]


async def answer(request: GenerationRequest, max_sentences: int = 1) -> str:
    model = ExtractiveModel("extractive", ExtractiveConfig(max_sentences=max_sentences))
    return "".join(delta.text for delta in await deltas_of(request, model))


async def test_the_sentence_that_answers_comes_verbatim_with_its_marker() -> None:
    request = asking("When was the Eiffel Tower completed?", passage(RIVER), passage(TOWER))

    assert await answer(request) == "The Eiffel Tower was completed in 1889. [2]"


async def test_a_question_is_no_answer_where_a_sentence_is() -> None:
    faq = passage("## What is the doohickey's colour?\n\nGreen.\n\n## Does the doohickey explode?\n\nNo.")

    assert await answer(asking("What is the doohickey's colour?", faq), 2) == "Green. [1] No. [1]"
    assert await answer(asking("Who owns it?", passage("Who owns the doohickey?"))) == "Who owns the doohickey? [1]"


async def test_code_comes_in_a_fence_so_that_its_brackets_are_no_markers() -> None:
    text = "Take the second row:\n\n    row = rows[1]\n    return row[2]\n"

    quoted = await answer(asking("How do I take the second row?", passage(text)))

    assert quoted == "Take the second row:\n\n```\n    row = rows[1]\n    return row[2]\n```\n[1]"
    assert await answer(asking("What is returned?", passage("return x[2]"))) == "```\nreturn x[2]\n```\n[1]"


async def test_sentences_come_best_first_in_one_delta_with_the_counts() -> None:
    (delta,) = await deltas_of(asking("How tall is it?", passage(TOWER)))

    text = "It is 330 metres tall. [1] Construction began in 1887. [1] The Eiffel Tower was completed in 1889. [1]"
    # The passage has 16 words; with its marker each sentence has one more.
    assert replace(delta, marks=None) == GenerationDelta(text, "stop", 16, 19)
    assert delta.marks is not None
    assert [text[mark.start : mark.end] for mark in delta.marks] == ["[1]", "[1]", "[1]"]


async def test_an_example_of_asking_the_question_is_not_its_answer() -> None:
    example = passage('Type `ask "When was the tower finished?"` to see: when was the tower finished?')
    request = asking("When was the tower finished?", example, passage("Workers finished the tower in 1889."))

    assert await answer(request) == "Workers finished the tower in 1889. [2]"


async def test_a_whole_sentence_before_a_colon_can_be_the_answer() -> None:
    text = "To oil the hinge of the gate, take the can under the stairs and wait for a dry day:\n\noil --gate north"
    request = asking("How do I oil the gate?", passage(text))

    assert "take the can under the stairs" in await answer(request)


async def test_what_is_said_twice_is_quoted_once() -> None:
    request = asking("How tall is it?", passage("It is 330 metres tall."), passage("It is 330 metres tall. Very."))

    assert (await answer(request, max_sentences=2)).count("330") == 1


async def test_sentences_of_a_template_with_other_numbers_are_both_quoted() -> None:
    template = "The monthly rent of the flat for the tenant {} is {} pounds, to be paid on the first."
    passages = [passage(template.format(*pair)) for pair in (("Mason", 700), ("Tyler", 900))]

    written = await answer(asking("Compare the rent of Mason and Tyler", *passages), max_sentences=2)

    assert "700" in written
    assert "900" in written


async def test_a_question_how_to_is_answered_with_the_command() -> None:
    command = "Install with pip:\n\n```shell\n$ pip install httpx\n```"
    text = f"# HTTPX\n\nA client for Python.\n\n## Installation\n\n{command}\n"

    written = await answer(asking("How do I install HTTPX?", passage(text)))

    # A marker behind the closing backticks would keep the block open.
    assert written == f"{command}\n[1]"


async def test_a_heading_or_a_question_is_no_answer_but_leads_to_it() -> None:
    limit, timeout = "Is there a limit?\nNo more than ten at once.", "# Timeout of a request\nFive seconds."
    text = f"{limit}\n\n{timeout}\n\n# Retries\nThree of them."

    assert await answer(asking("What is the timeout of a request?", passage(text))) == "Five seconds. [1]"
    assert await answer(asking("Is there a limit?", passage(text))) == "No more than ten at once. [1]"


async def test_a_passage_of_headings_alone_is_still_quoted() -> None:
    assert await answer(asking("What is it?", passage("# Installation"))) == "# Installation [1]"


@pytest.mark.parametrize(
    "text",
    [
        "Roberts was born in Bangor,[1] in 1968.[2]",
        "Roberts read `argv[1]` in 1968.",
        "Roberts had a stray ` in 1968.",
        "Roberts, born in 1968, was ``the oak'' to his crew [2].",
        "Roberts of 1968 wrote ``` and never closed it [1].",
    ],
)
async def test_brackets_and_backticks_of_the_source_are_quoted_and_are_no_markers(text: str) -> None:
    request = asking("When was Roberts born?", passage(RIVER), passage(text))
    model = ExtractiveModel("extractive", ExtractiveConfig(max_sentences=1))

    [delta] = await deltas_of(request, model)
    read = CitationStream(request.passages).read(delta)

    assert read.text.replace(WORD_JOINER, "").split() == [*text.split(), "[1]"]
    assert [(citation.quote, citation.score) for citation in read.citations] == [(text, 1.0)]
    assert [read.text[marker.start : marker.end] for marker in read.markers] == ["[1]"]


async def test_brackets_of_prose_are_marked_as_the_documents_and_code_is_left_alone() -> None:
    prose, code = "The index row[1] of the table is its weight.", "row[1] = weight(table)"

    assert f"row[{WORD_JOINER}1]" in await answer(asking("Which index of the table is its weight?", passage(prose)))
    assert code in await answer(asking("weight table row", passage(code)))


async def test_rare_words_of_the_corpus_decide() -> None:
    request = asking("tower river", passage("A tower stands there."), passage("A river flows there."))
    weights = {"tower": 0.1, "river": 9.0}

    written = await answer(GenerationRequest("1", request.messages, request.passages, request.sampling, weights))

    assert written == "A river flows there. [2]"


async def test_the_last_user_message_is_the_question() -> None:
    history = (ChatMessage("user", "When was the tower completed?"), ChatMessage("assistant", "In 1889."))

    written = await answer(
        asking("And where does the Seine reach the sea?", passage(TOWER), passage(RIVER), history=history)
    )

    assert written == "It reaches the sea at Le Havre. [2]"


async def test_without_passages_it_says_so_and_cites_nothing() -> None:
    (delta,) = await deltas_of(asking("Why?"))

    assert (delta.text, delta.finish_reason) == ("Nothing in the searched documents answers this question.", "stop")


async def test_a_limit_of_words_leaves_out_whole_sentences_but_the_first() -> None:
    request = asking("How tall is it?", passage(TOWER), sampling=SamplingOptions(max_tokens=3))

    (delta,) = await deltas_of(request)

    assert (delta.text, delta.finish_reason) == ("It is 330 metres tall. [1]", "length")


async def test_an_encoder_finds_what_shares_no_word_with_the_question() -> None:
    request = asking("aaaa bbbb", passage("Cccc dddd."), passage("Aabb abab."))
    model = ExtractiveModel("extractive", ExtractiveConfig(max_sentences=1), LetterCounts())

    assert (await deltas_of(request, model))[0].text == "Aabb abab. [2]"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the evaluation sets are not on this machine")
async def test_the_first_sentence_answers_four_of_five_squad_questions() -> None:
    folder = SHARED_DATA / "squad_dev"
    queries = rows(folder / "queries.jsonl.gz")[::100]
    corpus = {row["_id"]: row for row in rows(folder / "corpus.jsonl.gz")}
    relevant = dict(line.split("\t")[:2] for line in (folder / "qrels.tsv").read_text().splitlines()[1:])

    answers = [
        await answer(asking(query["text"], passage(corpus[relevant[query["_id"]]]["text"]))) for query in queries
    ]

    num_right = sum(
        any(gold in written for gold in query["answers"]) for query, written in zip(queries, answers, strict=True)
    )
    assert num_right / len(queries) >= 0.8


async def test_it_writes_no_json_and_says_what_would() -> None:
    request = asking("How tall?", passage(TOWER), sampling=SamplingOptions(response_schema={"type": "object"}))

    with pytest.raises(InvalidRequestError, match="a catalog entry of kind vllm"):
        await anext(ExtractiveModel("extractive", ExtractiveConfig()).stream(request))


@pytest.mark.parametrize(("model", "error"), [("extractive", InvalidRequestError), ("gpt", ModelNotFoundError)])
async def test_without_documents_it_refuses_to_chat(model: str, error: type[RagError]) -> None:
    request = CompletionRequest("request-1", "chat", {"model": model, "messages": []})

    with pytest.raises(error):
        await anext(ExtractiveModel("extractive", ExtractiveConfig()).complete(request))


async def test_stored_token_vectors_choose_among_sentences_that_words_do_not_tell_apart() -> None:
    request = replace(
        asking("What is its height?", passage(RIVER), passage(TOWER)),
        relevance_order=(1, 0),
        sentence_scores=(np.array([0.1, 0.1], np.float32), np.array([0.2, np.nan, 0.9], np.float32)),
    )

    assert await answer(request) == "It is 330 metres tall. [2]"


async def test_sentences_without_token_vectors_are_chosen_by_words_alone() -> None:
    request = asking("When was the Eiffel Tower completed?", passage(TOWER))
    unknown = replace(request, sentence_scores=(np.full(3, np.nan, np.float32),))

    assert await answer(unknown, 3) == await answer(request, 3)


@pytest.mark.parametrize(("length", "num_quotes"), [("short", 1), ("medium", 3), (2, 2), (20, 3)])
async def test_a_length_is_a_number_of_sentences(length: Any, num_quotes: int) -> None:
    request = replace(asking("How tall is the tower?", passage(TOWER)), form=AnswerForm(length=length))

    assert (await answer(request)).count("[1]") == num_quotes


async def test_a_step_is_answered_from_all_passages() -> None:
    request = asking("When was the Eiffel Tower completed?", passage(RIVER), passage(TOWER))

    assert await answer(replace(request, step=AnswerStep("combine", (), ("Notes [1].",)))) == await answer(request)


async def test_without_passages_it_says_so_in_the_language_of_the_question() -> None:
    (delta,) = await deltas_of(asking("Warum ist der Turm so hoch und nicht höher?"))

    assert delta.text == "Nichts in den durchsuchten Dokumenten beantwortet diese Frage."
