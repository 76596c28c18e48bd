"""What every document and every list of chunks must be."""

import unicodedata

from models.documents.base import Document
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.contexts import MAX_CONTEXT_TOKENS
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


def assert_well_formed(document: Document) -> None:
    """Asserts what models.documents.base promises of every document."""
    ends = [0, *(block.end for block in document.blocks)]
    for previous_end, block in zip(ends, document.blocks, strict=False):
        text = document.text[block.start : block.end]
        assert previous_end <= block.start < block.end <= len(document.text)
        assert text == text.strip()
        assert (block.kind == "heading") == (1 <= block.level <= 6)
    assert unicodedata.is_normalized("NFC", document.text)
    assert not {"\r", "\0", "\x0c", "\x85", "\u2028"} & set(document.text)
    assert document.text.encode("utf-8")


def block_texts(document: Document) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def num_tokens(texts: list[str], tokenizer: Tokenizer) -> list[int]:
    return [len(starts) for starts in tokenizer.token_starts(texts)]


def uncovered(document: Document, chunks: list[Chunk]) -> str:
    """The characters of blocks that are no headings and no white space and in no chunk."""
    covered = bytearray(len(document.text))
    for piece in chunks:
        covered[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
    missing: list[str] = []
    for block in document.blocks:
        place = covered.find(0, block.start, block.end) if block.kind != "heading" else -1
        while place >= 0:
            missing.append(document.text[place])
            place = covered.find(0, place + 1, block.end)
    return "".join("".join(missing).split())


def assert_invariants(document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
    chunks = chunk(document, tokenizer, options)
    assert chunks == chunk(document, tokenizer, options)
    assert chunks
    for piece in chunks:
        assert piece.text == document.text[piece.start : piece.end]
        assert piece.text
        assert piece.text == piece.text.strip()
        assert piece.num_tokens <= options.max_tokens
    assert [piece.num_tokens for piece in chunks] == num_tokens([piece.text for piece in chunks], tokenizer)
    for piece, context_tokens in zip(chunks, num_tokens([piece.context for piece in chunks], tokenizer), strict=True):
        assert piece.num_tokens + context_tokens <= options.max_tokens + MAX_CONTEXT_TOKENS
    starts = [piece.start for piece in chunks]
    ends = [piece.end for piece in chunks]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    assert uncovered(document, chunks) == ""
    return chunks
