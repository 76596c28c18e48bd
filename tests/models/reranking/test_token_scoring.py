"""Which embedding models make the token vectors that a reranker scores."""

from pathlib import Path

import pytest

from models.catalog import Catalog
from models.reranking.token_scoring import token_generations
from models.source import ModelSource, revision_of

CATALOG = """
embedding:
  same: {{kind: sentence_transformers, licence: MIT, options: {{source: {weights}, dim: 8, max_tokens: 64}}}}
  same-on-openvino: {{kind: sentence_transformers, licence: MIT, options: {{
    source: {weights}, dim: 8, max_tokens: 64, engine: openvino}}}}
  in-int8: {{kind: sentence_transformers, licence: MIT, options: {{
    source: {weights}, dim: 8, max_tokens: 64, engine: openvino, precision: int8}}}}
  with-a-prefix: {{kind: sentence_transformers, licence: MIT, options: {{
    source: {weights}, dim: 8, max_tokens: 64, query_prefix: "query: "}}}}
  another-revision: {{kind: sentence_transformers, licence: MIT, options: {{
    source: {weights}, revision: v2, dim: 8, max_tokens: 64}}}}
  another-model: {{kind: sentence_transformers, licence: MIT, options: {{source: {other}, dim: 8, max_tokens: 64}}}}
  on-vllm: {{kind: vllm, licence: MIT, options: {{source: {weights}, dim: 8, max_tokens: 64}}}}
  not-importable: {{kind: "nowhere.to:BeFound", licence: MIT, options: {{}}}}
reranking:
  late: {{kind: late_interaction, licence: MIT, options: {{source: {weights}, max_tokens: 64}}}}
  cross: {{kind: cross_encoder, licence: MIT, options: {{source: {weights}}}}}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("weights", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text(name)
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG.format(weights=tmp_path / "weights", other=tmp_path / "other"))
    return Catalog.open(path)


def test_only_models_of_the_same_weights_revision_and_precision_count(catalog: Catalog, tmp_path: Path) -> None:
    revision = revision_of(ModelSource(str(tmp_path / "weights"), None, is_local=True))

    assert token_generations(catalog, "late") == (f"same@{revision}", f"same-on-openvino@{revision}")


def test_a_cross_encoder_scores_no_token_vectors(catalog: Catalog) -> None:
    assert token_generations(catalog, "cross") == ()


def test_the_default_reranker_scores_the_token_vectors_of_the_default_embedding_model() -> None:
    generations = token_generations(Catalog.open(), "late-interaction")

    assert [generation.partition("@")[0] for generation in generations] == ["minilm"]
