import pytest

from models.retrieval.router import Route, contains_phrases, route

LOOKED_UP = [
    "ERR_CONN_RESET",
    "err_conn_reset",
    "CVE-2024-1234",
    "CVE-2024-1234?",
    "mitigation CVE-2024-1234",
    "CVE-2024-1234, CVE-2023-44487",
    "ABC-123/45",
    "LM358N datasheet",
    "74HC595",
    "v1.2.3",
    "release 2.60.1-rc1",
    "10.0.0.1",
    "max_batch_size default",
    "__init__",
    "torch.nn.functional.normalize",
    "`os.path.join()`",
    "std::vector",
    "serve_config.yaml",
    "/etc/nginx/nginx.conf",
    "docs/architecture.md",
    r"C:\Windows\System32\drivers",
    "https://example.com/a?b=c",
    "--max-model-len",
    "jane.doe@example.com",
    "550e8400-e29b-41d4-a716-446655440000",
    "7d4196a",
    "d41d8cd98f00b204e9800998ecf8427e",
    "0xC0000005",
]

DESCRIBED = [
    "",
    "?",
    "duck",
    "Who painted the Mona Lisa?",
    "what is ERR_CONN_RESET",
    "Why does nginx log ERR_CONN_RESET after an upgrade?",
    "how do I set max_batch_size",
    "the connection was dropped with ERR_CONN_RESET after an hour",
    "2024",
    "1,000,000",
    "1990-1995",
    "2024-01-15",
    "3.14",
    "24/7 support",
    "and/or",
    "TCP/IP",
    "C++",
    "C#",
    "iPhone 12",
    "COVID-19 vaccine",
    "UTF-8",
    "F-16",
    "U.S. president",
    "e.g.",
    "state-of-the-art retrieval",
    "What happened in 1066 to 3 of the 12 ships?",
    "don't it's dogs'",
    "'tis the dogs' home",
    'the "best" duck',
    '"duck"',
    '"connection refused',
    'connection" refused',
    '5" pipe 6" fitting',
    'Who said "I have a dream"?',
    'a speech that has "I have a dream" somewhere within it',
    '""',
]

QUOTED = [
    ('"connection refused"', ("connection refused",)),
    ('"connection refused" nginx', ("connection refused",)),
    ("“connection refused” nginx", ("connection refused",)),
    ("„force majeure“", ("force majeure",)),
    ("«force majeure»", ("force majeure",)),
    ('"force majeure", "act of God"', ("force majeure", "act of God")),
    ('"ERR_CONN_RESET"', ("ERR_CONN_RESET",)),
    ('" to be or not "', ("to be or not",)),
    ('"what is love"', ("what is love",)),
    ('"duck" "mallard duck"', ("mallard duck",)),
]


@pytest.mark.parametrize("query", LOOKED_UP)
def test_an_identifier_goes_to_the_keyword_search(query: str) -> None:
    assert route(query) == Route("lexical")


@pytest.mark.parametrize("query", DESCRIBED)
def test_everything_else_goes_to_both(query: str) -> None:
    assert route(query) == Route("hybrid")


@pytest.mark.parametrize(("query", "phrases"), QUOTED)
def test_a_quoted_phrase_goes_to_the_keyword_search_and_is_required(query: str, phrases: tuple[str, ...]) -> None:
    assert route(query) == Route("lexical", phrases)


@pytest.mark.parametrize("query", ["a" * 1_000_000, "a." * 500_000, '"a ' * 300_000, "a@" * 500_000, "A-1/" * 250_000])
def test_a_huge_query_is_routed_too(query: str) -> None:
    assert route(query) == Route("hybrid")


@pytest.mark.parametrize(
    "text", ["Connection refused.", "CONNECTION\n  REFUSED", "a connection\u00a0refused by it", "“connection refused”"]
)
def test_a_phrase_is_found_whatever_its_case_and_white_space(text: str) -> None:
    assert contains_phrases(text, ("connection  refused",))


def test_every_phrase_is_required() -> None:
    assert contains_phrases("an act of God, or force majeure", ("force majeure", "act of god"))
    assert not contains_phrases("force majeure", ("force majeure", "act of god"))
    assert not contains_phrases("refused connection", ("connection refused",))


def test_the_shape_of_an_apostrophe_does_not_matter() -> None:
    assert contains_phrases("the emperor’s new clothes", ("Emperor's new",))


def test_without_phrases_every_text_will_do() -> None:
    assert contains_phrases("", ())


def test_the_unicode_form_of_a_phrase_does_not_matter() -> None:
    assert contains_phrases("die gro\u0308ßte Anlage", ("größte anlage",))


@pytest.mark.parametrize(
    "query",
    [
        "加班费",
        "駐車場",
        "비밀번호 변경",
        "ที่จอดรถ",
        "велосипед",
        "прокат велосипедов",
        "चाबी",
        "加班费怎么算？",
        "Где ключ?",
    ],
)
def test_words_of_another_script_are_looked_up(query: str) -> None:
    assert route(query).mode == "lexical"


@pytest.mark.parametrize(
    "query",
    [
        "公司员工在周末加班的时候可以领取多少加班费？",
        "公司员工在周末加班的时候可以领取多少加班费",
        "Где можно взять велосипед",
        "Fahrrad",
        "Café",
        "Ångström",
        "GPU 服务器",
        "…",
    ],
)
def test_sentences_and_latin_words_go_to_both_searches(query: str) -> None:
    assert route(query).mode == "hybrid"
