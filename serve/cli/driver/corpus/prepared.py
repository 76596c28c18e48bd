"""A prepared corpus: a folder with a database of any size, made once, and copied for each service that serves it."""

import json
from dataclasses import dataclass
from pathlib import Path

from deployments.replica.storage import StorageConfig
from models.errors.requests import InvalidRequestError
from serve.cli.driver.corpus.copying import copy_folder
from serve.cli.driver.corpus.real import SetQuestion

STATE, MANIFEST = "state", "corpus.json"
QUESTIONS, CHUNKS, VECTORS = "questions.jsonl", "chunks.jsonl", "vectors.npy"


@dataclass(frozen=True)
class PreparedCorpus:
    """A folder that `make.prepare` has filled. Nothing changes it: services get copies of its state."""

    folder: Path
    facts: dict[str, str]

    @staticmethod
    def open(folder: Path) -> "PreparedCorpus":
        """Raises InvalidRequestError if the folder has no prepared corpus."""
        manifest = folder / MANIFEST
        if not manifest.is_file():
            problem = f"{folder} has no prepared corpus; make one with `ragserve bench corpus {folder} --documents SET`"
            raise InvalidRequestError(problem, "corpus")
        return PreparedCorpus(folder, json.loads(manifest.read_text())["facts"])

    @property
    def questions(self) -> tuple[SetQuestion, ...]:
        """The sets' questions, each text once, in an order that is always the same."""
        lines = (self.folder / QUESTIONS).read_text(encoding="utf-8").splitlines()
        return tuple(SetQuestion(**json.loads(line)) for line in lines)

    @property
    def chunks_file(self) -> Path:
        """A chunk a line, as the peers of `bench peers` read them; the first has key 1."""
        return self.folder / CHUNKS

    @property
    def vectors_file(self) -> Path:
        """The chunks' vectors (n, dim) as an .npy file, in the order of the chunks."""
        return self.folder / VECTORS

    @property
    def generation(self) -> str:
        return self.facts["generation"]

    def storage(self) -> StorageConfig:
        """For reading alone."""
        return StorageConfig(data_dir=self.folder / STATE)

    def copy_state(self, target: Path) -> Path:
        """Copies database and files to `target`, a new folder, for `ragserve up --data`."""
        return copy_folder(self.folder / STATE, target)
