"""The four works: embedding, a cross-encoder, MaxSim over stored token vectors, exact search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.embedding.offline import forward_all
from models.embedding.sentence_transformers_model import SentenceTransformersConfig, SentenceTransformersModel
from models.index.device_rows import DeviceRows
from models.index.device_tokens import DeviceTokens
from models.index.token_codec import DEFAULT, encode_tokens
from models.reranking.base import RerankRequest
from models.reranking.cross_encoder import CrossEncoderConfig, CrossEncoderModel
from models.source import choose_dtype
from models.types.arrays import FloatArray
from serve.cli.bench.device.random_weights import DIM, MAX_TOKENS, save_cross_encoder, save_encoder, texts
from serve.cli.bench.device.turns import Row, Side, compare

OURS = "ragserve"
TEXT_TOKENS, QUERY_TOKENS, CANDIDATE_TOKENS = (20, 240), (6, 14), (100, 140)
QUERY_ROWS, CHUNK_ROWS = 12, (80, 200)  # token vectors
DEPTH = 50


@dataclass(frozen=True)
class DevicePlan:
    """Sizes of the works. `batch_tokens` are tried for ragserve, `batch_sizes` for sentence-transformers."""

    device: str
    turn_s: float = 3.0
    num_turns: int = 3
    num_texts: int = 4096
    num_queries: int = 64
    num_candidates: int = 30
    num_chunks: int = 20_000
    num_vectors: int = 1_000_000
    batch_tokens: tuple[int, ...] = (16_384, 65_536)
    batch_sizes: tuple[int, ...] = (32, 128, 512)

    def as_quick(self) -> "DevicePlan":
        """The smallest run, for a CPU."""
        small = replace(self, turn_s=0.05, num_turns=1, num_texts=16, num_queries=2, num_candidates=4)
        return replace(small, num_chunks=100, num_vectors=5_000, batch_tokens=(1024,), batch_sizes=(8,))

    @property
    def dtype(self) -> Any:
        return choose_dtype("auto", self.device)

    def compare(self, what: str, unit: str, num_items: int, ours: Side, theirs: Side) -> list[Row]:
        return compare(what, unit, num_items, (ours, theirs), self.turn_s, self.num_turns)


def embed(plan: DevicePlan, folder: Path) -> list[Row]:
    """Passages of mixed lengths, from text to vector."""
    from sentence_transformers import SentenceTransformer

    source = str(save_encoder(folder))
    config = SentenceTransformersConfig(source=source, dim=DIM, max_tokens=MAX_TOKENS, device=plan.device)
    model, passages = SentenceTransformersModel("bench", config), texts(plan.num_texts, TEXT_TOKENS)
    other = SentenceTransformer(source, device=plan.device, model_kwargs={"dtype": plan.dtype})

    def ours(num_tokens: int) -> object:
        return forward_all(model.forward, model.tokenize_documents(passages), num_tokens)

    def theirs(size: int) -> object:
        return other.encode(passages, batch_size=size, normalize_embeddings=True, show_progress_bar=False)

    what = f"embed {plan.num_texts:,} passages of {TEXT_TOKENS[0]} to {TEXT_TOKENS[1]} tokens"
    return plan.compare(what, "texts/s", len(passages), *_sides(plan, ours, theirs))


def rerank(plan: DevicePlan, folder: Path) -> list[Row]:
    """A cross-encoder over the candidates of several questions."""
    from sentence_transformers import CrossEncoder

    source = str(save_cross_encoder(folder))
    model = CrossEncoderModel("bench", CrossEncoderConfig(source=source, max_tokens=MAX_TOKENS, device=plan.device))
    other = CrossEncoder(source, device=plan.device, max_length=MAX_TOKENS, model_kwargs={"dtype": plan.dtype})
    candidates = texts(plan.num_queries * plan.num_candidates, CANDIDATE_TOKENS)
    groups = [tuple(candidates[start :: plan.num_queries]) for start in range(plan.num_queries)]
    requests = list(map(RerankRequest, texts(plan.num_queries, QUERY_TOKENS, seed=1), groups))
    pairs = [(request.query, text) for request in requests for text in request.texts]

    def ours(num_tokens: int) -> object:
        encodings = [encoding for request in requests for encoding in model.tokenize(request).encodings]
        return forward_all(model.forward, encodings, num_tokens)

    def theirs(size: int) -> object:
        return other.predict(pairs, batch_size=size, show_progress_bar=False)

    what = f"cross-encode {plan.num_queries} questions with {plan.num_candidates} candidates each"
    return plan.compare(what, "pairs/s", len(pairs), *_sides(plan, ours, theirs))


def _sides(plan: DevicePlan, ours: Any, theirs: Any) -> tuple[Side, Side]:
    by_tokens = {f"{tokens:,} tokens a pass": partial(ours, tokens) for tokens in plan.batch_tokens}
    by_size = {f"batches of {size}": partial(theirs, size) for size in plan.batch_sizes}
    return Side(OURS, by_tokens), Side("sentence-transformers", by_size)


def max_sim(plan: DevicePlan, _: Path) -> list[Row]:
    """Late interaction of a question with stored chunks, one question at a time: our codes against plain float16."""
    generator = np.random.default_rng(0)
    chunks = [_unit(int(generator.integers(*CHUNK_ROWS)), generator) for _ in range(plan.num_chunks)]
    stored = DeviceTokens([encode_tokens(chunk) for chunk in chunks], DIM, plan.device)
    plain = PlainTokens(chunks, plan.device)
    query, weights = _unit(QUERY_ROWS, generator), np.ones(QUERY_ROWS, np.float32)
    chosen = generator.integers(0, len(chunks), DEPTH)
    what = f"MaxSim of a question of {QUERY_ROWS} tokens with {DEPTH} of {plan.num_chunks:,} stored chunks"
    codes = f"{DEFAULT.bits} bits, {DEFAULT.pooling} tokens a vector"
    ours = Side(OURS, {codes: lambda: stored.max_sim(query, weights, chosen)})
    theirs = Side("torch", {"all tokens, float16": lambda: plain.max_sim(query, weights, chosen)})
    return plan.compare(what, "questions/s", 1, ours, theirs)


class PlainTokens:
    """Token vectors as they are, padded to the longest chunk: one matrix product a question."""

    def __init__(self, chunks: Sequence[Any], device: str) -> None:
        import torch

        self._torch: Any = torch
        self._device = device
        dtype = torch.float16 if device == "cuda" else torch.float32
        lengths = [len(chunk) for chunk in chunks]
        padded = np.zeros((len(chunks), max(lengths), DIM), np.float16)
        for row, chunk in zip(padded, chunks, strict=True):
            row[: len(chunk)] = chunk
        self._tokens = torch.from_numpy(padded).to(device, dtype)
        self._is_padding = torch.arange(max(lengths))[None] >= torch.tensor(lengths)[:, None]
        self._is_padding = self._is_padding.to(device)

    def max_sim(self, query: Any, weights: FloatArray, positions: Any) -> FloatArray:
        torch = self._torch
        with torch.inference_mode():
            chosen = torch.from_numpy(positions).to(self._device)
            rows = torch.from_numpy(query).to(self._device, self._tokens.dtype)
            cosines = self._tokens[chosen] @ rows.T
            best = cosines.masked_fill(self._is_padding[chosen][..., None], -torch.inf).amax(1).float()
            scores: FloatArray = (best @ torch.from_numpy(weights).to(self._device) / weights.sum()).cpu().numpy()
            return scores


def search(plan: DevicePlan, _: Path) -> list[Row]:
    """Exact search of a batch of questions: our rows against one matrix product and one top-k."""
    import torch

    generator = np.random.default_rng(0)
    vectors = _unit(plan.num_vectors, generator).astype(np.float32)
    queries = _unit(32, generator).astype(np.float32)
    rows = DeviceRows(DIM, plan.device)
    rows.add(vectors)
    whole = torch.from_numpy(vectors).to(plan.device)

    def theirs() -> object:
        with torch.inference_mode():
            best = (torch.from_numpy(queries).to(plan.device) @ whole.T).topk(DEPTH, dim=1)
            return best.values.cpu().numpy(), best.indices.cpu().numpy()

    what = f"search {plan.num_vectors:,} vectors of {DIM} dimensions, exact, {len(queries)} questions at once"
    ours = Side(OURS, {"": lambda: rows.search(queries, DEPTH)})
    return plan.compare(what, "questions/s", len(queries), ours, Side("torch", {"matmul and topk": theirs}))


def _unit(count: int, generator: np.random.Generator) -> Any:
    """Unit vectors (count, DIM), float16."""
    vectors = generator.standard_normal((count, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16)
