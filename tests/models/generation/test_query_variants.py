from models.generation.query_variants import keyword_variants, read_passage, read_variants, wording_messages
from models.prompts.library import default_prompts

QUESTION = "How long is the guarantee of the pump?"


def test_a_models_wordings_count_if_they_are_about_the_question() -> None:
    written = (
        "1. What is the guarantee period of the pump?\n- How long is the guarantee of the pump?\nWho is the king?\n\n"
    )

    assert read_variants(written, QUESTION, 2) == ("What is the guarantee period of the pump?",)


def test_at_most_so_many_wordings() -> None:
    written = "\n".join(f"Is the guarantee of the pump {number} years long?" for number in range(9))

    assert len(read_variants(written, QUESTION, 3)) == 3


def test_the_prompt_says_how_many() -> None:
    texts = default_prompts().texts.understanding

    assert "Write 4 other ways" in wording_messages(QUESTION, 4, texts)[0].content


def test_without_a_model_the_keywords_are_the_other_wording() -> None:
    assert keyword_variants(QUESTION) == ("long guarantee pump",)
    assert keyword_variants("guarantee pump") == ()


def test_a_passage_is_one_line_of_bounded_length() -> None:
    assert read_passage("The guarantee\nis 5 years. ") == "The guarantee is 5 years."
    assert len(read_passage("long " * 1_000)) == 1_000
    assert read_passage(" \n") == ""
