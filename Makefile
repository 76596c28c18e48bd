# Two commands do everything: `make up` serves, `make test` tests. Both set up what they need first.

CONFIG ?= serve_config.yaml
PORT ?= 8000
DATA ?= data
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || echo python3)
# Where PyTorch's CPU wheels are, if pip's own index has only the CUDA build: see https://pytorch.org/get-started
TORCH_INDEX ?=
# A driver that answers means the CUDA packages.
LOCK := $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(LOCK)
INSTALLED_DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The load test, against a service that runs.
URL ?= http://127.0.0.1:$(PORT)
SHAPE ?= ramp
PEAK ?= 8
DURATION ?= 60
BUDGETS ?= loadtests/budgets.yaml
REPORT ?= loadtest-report

.PHONY: up test test-quick check load lock clean

up: $(INSTALLED)
	@$(BIN)/ragserve up --config $(CONFIG) --port $(PORT) --data $(DATA) \
		--ingest README.md --ingest docs --ask "How do I swap the reranker?"

# What needs no cluster first, in two processes; then the cluster's tests, one after the other, for they need both cores.
# Status 5: no such test among those that ARGS names.
test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -m "not ray" --numprocesses 2 $(ARGS) || test $$? -eq 5
	$(BIN)/python -m pytest -m ray $(ARGS) || test $$? -eq 5

test-quick: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 $(ARGS)

load: $(INSTALLED_DEV)
	PYTHONPATH=. $(BIN)/locust -f loadtests/locustfile.py --headless --only-summary --host $(URL) --shape $(SHAPE) \
		--peak $(PEAK) --duration $(DURATION) --budgets $(BUDGETS) --report $(REPORT) \
		--html $(REPORT)/locust.html --csv $(REPORT)/locust $(ARGS)

check: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ragserve check-config $(CONFIG) --cpus 2
	$(BIN)/python -m pytest -q -m "not ray" tests/docs

# torch first and on its own: resolved together with the rest it becomes the CUDA build, gigabytes of it. The lock is
# whole, so nothing is resolved again (--no-deps); it leaves out what is asked for and not used, see docs/dependencies.md.
$(INSTALLED): requirements/$(LOCK).txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(addprefix --extra-index-url ,$(TORCH_INDEX)) "$(shell grep '^torch==' requirements/$(LOCK).txt)"
	$(PIP) --no-deps -r requirements/$(LOCK).txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements/dev.txt
	$(PIP) --no-deps -r requirements/dev.txt
	touch $@

# After a change of a .in file; needs uv. The CUDA lock is resolved for a machine that has a GPU.
lock:
	uv pip compile requirements/cpu.in $(LOCK_OPTIONS) $(addprefix --extra-index-url ,$(TORCH_INDEX)) \
		$(addprefix --no-emit-package ,torchvision torchaudio torchcodec openvino-telemetry) -o requirements/cpu.txt
	uv pip compile requirements/cuda.in $(LOCK_OPTIONS) -o requirements/cuda.txt
	uv pip compile requirements/dev.in -c requirements/cpu.txt $(LOCK_OPTIONS) -o requirements/dev.txt

LOCK_OPTIONS := --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
