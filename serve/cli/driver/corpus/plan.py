"""The plan of a prepared corpus, and the key by which an existing corpus is recognized."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deployments.embedder import EmbedderConfig
from deployments.parser import ParserConfig
from models.corpus.schema import SCHEMA_VERSION
from models.errors.requests import InvalidRequestError
from models.index.token_codec import DEFAULT as TOKEN_CODEC
from models.index.token_codec import VERSION as TOKEN_CODEC_VERSION
from serve.config_file import read

VERSION = 1  # of the way in which a corpus is made
DIGEST_CHARS = 16
SET_FILES = ("corpus.jsonl*", "queries.jsonl*", "qrels*")


@dataclass(frozen=True)
class CorpusPlan:
    """The corpus to make. `documents` are folders of question sets; `config` names the model and the size of chunks.

    At most `max_real` chunks are the sets' own; the others, up to `num_chunks`, are filler.
    """

    documents: tuple[Path, ...]
    config: Path
    num_chunks: int = 100_000
    max_real: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_real > self.num_chunks:
            raise InvalidRequestError(f"max_real is {self.max_real}; at most {self.num_chunks} chunks", "max_real")

    def as_quick(self) -> "CorpusPlan":
        return replace(self, num_chunks=2_000, max_real=300)

    @property
    def embedder(self) -> EmbedderConfig:
        return EmbedderConfig(**user_config_of(read(self.config), "Embedder"))

    @property
    def parser(self) -> ParserConfig:
        return ParserConfig(**user_config_of(read(self.config), "Parser"))

    def key(self) -> dict[str, Any]:
        """What the corpus depends on, as JSON: the same key means the same corpus."""
        return {
            "version": VERSION,
            "schema": SCHEMA_VERSION,
            "sets": {str(folder.resolve().name): digest_of_set(folder) for folder in self.documents},
            "model": self.embedder.model,
            "token_codes": [TOKEN_CODEC_VERSION, *vars(TOKEN_CODEC).values()],
            "chunking": self.parser.chunking.model_dump(),
            "num_chunks": self.num_chunks,
            "max_real": self.max_real,
            "seed": self.seed,
        }


def user_config_of(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The user_config of a deployment, or of a stage inside the ingress, in a deployment file."""
    application = raw["applications"][0]
    inline = (application.get("args") or {}).get("inline") or {}
    configs = {deployment["name"]: deployment.get("user_config") for deployment in application["deployments"]}
    return configs.get(name) or inline.get(name) or {}


def digest_of_set(folder: Path) -> str:
    """A hash of the set's files."""
    sha = hashlib.sha256()
    for path in sorted({path for pattern in SET_FILES for path in folder.glob(pattern) if path.is_file()}):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:DIGEST_CHARS]
