"""A typed YAML file: refused with the key that is wrong, written so that it can be read again."""

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from models.catalog import first_problem
from serve.config_file import read


class YamlModel(BaseModel):
    """Frozen and strict. JSON is read, too, being YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigError that names the key."""
        try:
            return cls.model_validate(read(path))
        except ValidationError as error:
            raise first_problem(str(path), error, cls) from None

    def write(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=120))
