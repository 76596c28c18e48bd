"""The modules of a package, imported."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


def submodules(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(module.name)
