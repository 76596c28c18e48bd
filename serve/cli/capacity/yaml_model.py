"""A typed YAML file: reading validates it and names the invalid key; a written file can be read again."""

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from models.catalog import first_problem
from serve.config_file import read


class YamlModel(BaseModel):
    """Frozen; refuses unknown keys. JSON files work too, because JSON is YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigError that names the invalid key."""
        try:
            return cls.model_validate(read(path))
        except ValidationError as error:
            raise first_problem(str(path), error, cls) from None

    def write(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=120))
