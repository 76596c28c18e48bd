"""A second ragserve in a process of its own, for tests that kill it: the application on the port of its argument."""

import sys
from pathlib import Path

import uvicorn

from tests.serve.api.api_samples import Clock, application

if __name__ == "__main__":
    running = application(Path(sys.argv[2]), Clock())
    uvicorn.run(running.app, port=int(sys.argv[1]), log_level="error", ws="none")
