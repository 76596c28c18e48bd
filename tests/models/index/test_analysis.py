"""Keyword search in many languages, of identifiers and of names that look like stop words: the right text first."""

import unicodedata

import numpy as np
import pytest
import tantivy

from models.index.analysis import query_words, searched_terms, terms_of
from models.index.bm25 import total
from models.index.follow import merge_lexical
from models.index.milvus_words import to_query_terms, to_terms
from models.index.tantivy_index import TantivyIndex
from models.index.tantivy_shard import TantivyShard

# In each language: a text about bicycles, one about keys, one about invoices; and a question in other forms for each.
LANGUAGES = {
    "english": {
        "Which bicycles may be borrowed?": "A borrowed bicycle must be back in the yard by six in the evening.",
        "lost keys": "Whoever loses the key of an office reports it to the porter at once.",
        "payment of an invoice": "Invoices are paid within thirty days of their arrival.",
    },
    "german": {
        "Welche Fahrräder werden verliehen?": "Ein verliehenes Fahrrad steht bis achtzehn Uhr wieder im Hof.",
        "verlorene Schlüssel": "Wer den Schlüssel eines Büros verliert, meldet das sofort an der Pforte.",
        "Wann wird eine Rechnung bezahlt?": "Rechnungen werden innerhalb von dreißig Tagen nach Eingang bezahlt.",
    },
    "french": {
        "vélos empruntés": "Un vélo emprunté doit être de retour dans la cour avant dix-huit heures.",
        "J'ai perdu mes clés": "Celui qui perd la clé d'un bureau le signale aussitôt à l'accueil.",
        "Quand paie-t-on une facture ?": "Les factures sont payées dans les trente jours après leur réception.",
    },
    "spanish": {
        "bicicletas prestadas": "La bicicleta prestada debe estar de vuelta en el patio antes de las seis.",
        "¿Qué hago si pierdo las llaves?": "Quien pierde la llave de una oficina avisa enseguida en la portería.",
        "pago de una factura": "Las facturas se pagan en los treinta días siguientes a su llegada.",
    },
    "russian": {
        "прокат велосипедов": "Взятый в прокате велосипед нужно вернуть во двор до шести вечера.",
        "потерянный ключ": "Кто потерял ключи от кабинета, сразу сообщает об этом на вахту.",
        "когда оплачивается счёт": "Счета оплачиваются в течение тридцати дней после получения.",
    },
    "chinese": {
        "自行车": "借用的自行车必须在晚上六点之前归还到院子里。",
        "钥匙丢了怎么办": "办公室钥匙丢失后应立即向门卫报告。",
        "发票付款": "发票在收到后三十天内付款。",
    },
    "japanese": {
        "自転車の返却": "借りた自転車は夕方六時までに中庭へ返却してください。",
        "鍵をなくした": "事務所の鍵を紛失した場合は、すぐに守衛へ届け出てください。",
        "請求書": "請求書は受領から三十日以内に支払われます。",
    },
    "thai": {
        "จักรยาน": "ต้องนำจักรยานที่ยืมกลับมาคืนที่ลานก่อนหกโมงเย็น",
        "กุญแจหาย": "หากทำกุญแจห้องทำงานหายให้แจ้งยามทันที",
        "ใบแจ้งหนี้": "จะชำระใบแจ้งหนี้ภายในสามสิบวันหลังได้รับ",
    },
}
TEXTS = [text for texts in LANGUAGES.values() for text in texts.values()]
PAIRS = [(question, text) for texts in LANGUAGES.values() for question, text in texts.items()]


def index_of(texts: list[str]) -> TantivyIndex:
    index, keys = TantivyIndex(), np.arange(len(texts))
    index.add(keys, keys, texts)
    return index


def first(index: TantivyIndex, texts: list[str], query: str) -> str:
    """The first text, if it has a higher score than the second."""
    ranking = index.search(query, 2).ranking
    is_first = len(ranking) == 1 or (len(ranking) == 2 and ranking.scores[0] > ranking.scores[1])
    return texts[ranking.keys[0]] if is_first else ""


@pytest.fixture(scope="module")
def all_languages() -> TantivyIndex:
    return index_of(TEXTS)


@pytest.mark.parametrize(("question", "text"), PAIRS)
def test_the_right_text_comes_first_among_eight_languages(
    all_languages: TantivyIndex, question: str, text: str
) -> None:
    assert first(all_languages, TEXTS, question) == text


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("folded", [str, str.upper, str.casefold])
def test_normal_form_and_case_do_not_matter(form: str, folded: type[str]) -> None:
    texts = ["Die Größe der Straße ist für den Verkehr nicht wichtig.", "Ein Weg."]
    index = index_of([unicodedata.normalize("NFD", text) for text in texts])

    assert first(index, texts, unicodedata.normalize(form, folded("Straßengröße Größe Straße"))) == texts[0]


def test_shards_of_many_languages_rank_as_one_index(all_languages: TantivyIndex) -> None:
    shards = [TantivyShard() for _ in range(3)]
    for number, shard in enumerate(shards):
        keys = np.arange(number, len(TEXTS), 3)
        shard.add(keys, keys, [TEXTS[key] for key in keys])

    for question, _ in PAIRS:
        expected = all_languages.search(question, 30)
        counts = total(shard.count(question) for shard in shards)
        result = merge_lexical([shard.search_with(counts, question, 30) for shard in shards], 30)
        assert result.ranking.scores == pytest.approx(expected.ranking.scores, rel=1e-5)
        assert result.term_weights == pytest.approx(expected.term_weights)


NAMES = [
    "Vitamin A is in carrots. It is good for the eyes.",
    "Vitamin D comes from the sun.",
    "The IT department buys the laptops.",
    "The department buys it in bulk, and it pays for it.",
    "The audit is in May.",
    "The audit may be late, and it may be repeated.",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vitamin A", 0),
        ("vitamin d", 1),
        ("Which laptops does the IT department buy?", 2),
        ("IT department", 2),
        ("it department", 2),
        ("the audit in May", 4),
        ("audit in may", 4),
    ],
)
def test_a_stop_word_that_is_a_name_counts(query: str, expected: int) -> None:
    assert first(index_of(NAMES), NAMES, query) == NAMES[expected]


@pytest.mark.parametrize("query", ["is it in the room", "What can I do", "WHO IS IT", "don't you", "it's his"])
def test_other_stop_words_do_not_count(query: str) -> None:
    content = [word.text for word in query_words(query) if word.is_content]

    assert content in ([], ["room"])


IDENTIFIERS = [
    "Release 4.2.1 repairs the export.",
    "Release 4.1.2 repairs the import.",
    "Release 2.4.1 repairs the search.",
    "Patch for CVE-2019-1042 in the loader.",
    "Patch for CVE-1042-2019 in the parser.",
    "It is written in C++ by the core team.",
    "It is written in C by the core team.",
    "Call setRetryBudget(3) in the client.",
    "The option max_open_files limits the handles.",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("4.2.1", 0),
        ("v4.1.2", 1),
        ("4.1", 1),
        ("release 2.4.1", 2),
        ("CVE-2019-1042", 3),
        ("cve-1042-2019", 4),
        ("C++", 5),
        ("setRetryBudget", 7),
        ("retry budget", 7),
        ("max_open_files", 8),
        ("open files", 8),
    ],
)
def test_an_identifier_is_found_whole_and_in_part_and_exact_before_near(query: str, expected: int) -> None:
    assert first(index_of(IDENTIFIERS), IDENTIFIERS, query) == IDENTIFIERS[expected]


def test_plain_english_has_the_terms_that_it_always_had() -> None:
    assert terms_of("The well-known ferries, don't they?") == ["the", "well", "known", "ferri", "don", "t", "they"]
    assert searched_terms(query_words("What is a ferry?", ["english"])) == ["ferri"]


@pytest.mark.parametrize(("question", "text"), PAIRS)
def test_milvus_gets_terms_that_any_tokenizer_keeps(question: str, text: str) -> None:
    tokenizer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).build()
    terms, query_terms = to_terms(text), to_query_terms(question)

    assert tokenizer.analyze(terms) == terms.split()
    assert set(terms.split()) & set(query_terms.split())
