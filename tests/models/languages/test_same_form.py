"""Names that a question has as a whole, and names that only have the same form."""

import pytest

from models.languages.same_form import exact_names, has_version_of, match_of, named


@pytest.mark.parametrize(
    ("question", "exact", "near", "other"),
    [
        ("What does v2.4 add?", "Release 2.4 adds a search.", "Release v2.4.1 adds a map.", "The release adds a map."),
        ("what is new in V2.4.1?", "v2.4.1: a map", "v2.4: a search", "Version history"),
        ("cve-2021-4104", "CVE-2021-4104 is fixed.", "CVE-2021-41045 is open.", "A CVE is open."),
        ("CVE\u20102021\u20114104?", "CVE-2021-4104", "CVE-2020-4104", "2021"),
        ("How heavy is the Q30?", "The q30 weighs 9 kg.", "The Q300 weighs 12 kg.", "It weighs 30 kg."),
        ("Q30 lid", "Lid of the Q30.", "Lid of the Q30-B.", "Lid."),
        ("What does section 7.2 say?", "Section 7.2 is on noise.", "Section 7.2.1 is on pumps.", "The section."),
        ("What does section 7 say?", "See section 7.", "See Section 7.1 there.", "See sections."),
        ("Abschnitt 7", "Der Abschnitt 7 regelt das.", "Abschnitt 71", "Der Abschnitt"),
        ("Who came on 4 May?", "On May 4th Ada came.", "On 14 May Bo came.", "Ada came in spring."),
        ("What was on 2023-05-04?", "2023-05-04: rain", "2023-05-14: snow", "rain"),
        ("Was war am 4. Mai?", "Am 4. Mai kam Ada.", "Am 24. Mai kam Bo.", "Ada kam."),
        ("box number 25", "Box number 25 is red.", "Box number 8 weighs 25 grams.", "The box is red."),
        ("What changed in v3?", "v3 changed the map.", "v3.1 changed the search.", "It changed."),
    ],
)
def test_an_exact_name_is_the_same_as_a_whole(question: str, exact: str, near: str, other: str) -> None:
    names = exact_names(question)

    assert [match_of(text, names) for text in (exact, near, other)] == ["exact", "near", None]


def test_a_text_with_both_is_exact() -> None:
    assert match_of("v1.2.3 follows v1.2.", exact_names("v1.2")) == "exact"


@pytest.mark.parametrize("question", ["How tall is it?", "Who won in 2012?", "the 3 best of 10", "", "9"])
def test_plain_numbers_are_no_names(question: str) -> None:
    assert exact_names(question) == frozenset()
    assert match_of("Version 2.4, the Q30 and section 7.", frozenset()) is None


def test_a_longer_version_has_a_shorter_one_but_not_the_other_way() -> None:
    assert has_version_of("Version v2.4.1 adds a map.", named("v2.4"))
    assert not has_version_of("Version v2.4 adds a search.", named("v2.4.1"))


def test_a_long_hostile_text_takes_no_time() -> None:
    text = "x" * 100_000 + " " + "1." * 50_000 + " " + "a1-" * 50_000

    assert match_of(text, exact_names("v2.4")) in (None, "near")
