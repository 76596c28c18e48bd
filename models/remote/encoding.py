"""Texts on their way to a remote model, in the place of token ids: its tokenizer is not here."""

from dataclasses import dataclass

import numpy as np

from models.tokens.encoding import Encoding, TextInput

CHARS_PER_TOKEN = 4  # roughly, in English
MAX_PASSES = 64  # of a lane: requests at once


@dataclass(frozen=True)
class RemoteEncoding(Encoding):
    """A text, or the client's token ids, and for a reranker its query. `len` is an estimate."""

    content: TextInput = ""
    query: str = ""


def remote_encoding(content: TextInput, query: str = "") -> RemoteEncoding:
    num_tokens = len(content) if not isinstance(content, str) else 1 + (len(content) + len(query)) // CHARS_PER_TOKEN
    return RemoteEncoding(np.zeros(num_tokens, np.int32), content=content, query=query)
