"""What an operator wrote, in the deployment file or the catalog, is wrong."""

from models.errors.base import RagError
from models.errors.suggestions import did_you_mean


class ConfigError(RagError):
    code = "invalid_config"

    def __init__(self, where: str, message: str) -> None:
        super().__init__(where, message)
        self.where, self.message = where, message

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ModelNotFoundError(ConfigError):
    code = "model_not_found"
    param = "model"  # of a request

    def __init__(self, where: str, name: str, aliases: list[str]) -> None:
        super().__init__(where, f"no model named {name!r}{did_you_mean(name, sorted(aliases))}")
        self.args = (where, name, aliases)
        self.name, self.aliases = name, aliases
