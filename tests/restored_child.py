"""A ragserve in a process of its own, of a deployment file: its storage and keys, and the stages inside it."""

import sys
from pathlib import Path

import uvicorn

from models.catalog import Catalog
from serve.config_file import read, settings_of
from serve.live_services import LiveServices
from tests.inline import inline_clients

if __name__ == "__main__":
    settings = settings_of(read(Path(sys.argv[2])))
    corpus = settings.storage.open()
    live = LiveServices(settings, Catalog.open(None), corpus, inline_clients(corpus))
    uvicorn.run(live.app, port=int(sys.argv[1]), log_level="error", ws="none")
