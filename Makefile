# Two commands on a fresh machine: `make demo` and `make test`. Both make the environment if need be.
# PYTHON: what it is made with; without it one that is there is used, whatever made it.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(or $(wildcard $(BIN)/python),python3)
VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),unknown)
KILLS ?= 200
SEEDS ?= 2000
ROUNDS ?= 3
SIZE_MB ?= 256
PROCESSES ?= $(shell nproc)
PYTEST ?= $(BIN)/python -m pytest

# Without compiled files every process that a test starts would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage check docs bench bench-text torture torture-limits torture-dask campaigns others simulate clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

# An environment of another version has no Python of that name, and is made anew.
REMOVE_OTHER = $(if $(wildcard $(VENV)/pyvenv.cfg),rm -rf $(VENV) &&)
$(VENV)/.python-$(VERSION):
	$(if $(wildcard $(BIN)/python$(VERSION)),,$(PYTHON) --version && $(REMOVE_OTHER) $(PYTHON) -m venv $(VENV))
	@touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.python-$(VERSION)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $@

demo: $(VENV)/.run  ## run the example that reads this machine's own standard library
	joblot="$$(cd '$(BIN)' && pwd)/joblot" && cd examples/standard-library && "$$joblot" run joblot.yaml

# Polars, Dask and Playwright begin threads, and other tests fork.
APART := tests/sirene tests/dask tests/browser

test: $(VENV)/.dev  ## all tests; those of joblot_sirene, of Dask and in a browser apart from the others
	$(PYTEST) -m alone $(addprefix --ignore ,$(APART))
	$(PYTEST) -m 'not alone' -n $(PROCESSES) $(addprefix --ignore ,$(APART))
	$(PYTEST) -n $(PROCESSES) --dist loadgroup $(APART)

coverage: $(VENV)/.dev  ## the same under coverage.py, commands and workers included, and what share of lines and branches they reach
	$(BIN)/coverage erase
	$(MAKE) test PYTEST='$(BIN)/coverage run -m pytest'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/.dev docs  ## linters, types, layers, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## the documentation, as HTML in docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/.dev  ## overheads, side by side with peers and limits
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/config.py
	$(BIN)/python benchmarks/uptodate.py
	$(BIN)/python benchmarks/resume.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/fused.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/cluster.py

bench-text: $(VENV)/.dev  ## text actions on SIZE_MB of made text
	$(BIN)/python benchmarks/text.py $(SIZE_MB)

torture: $(VENV)/.dev  ## kill -9 of a runner at KILLS random moments, then resume
	$(BIN)/python tests/torture/kill.py --kills $(KILLS)

torture-limits: $(VENV)/.dev  ## kill -9 at KILLS random moments of several runs that share limits of the machine
	$(BIN)/python tests/torture/limits.py --kills $(KILLS)

torture-dask: $(VENV)/.dev  ## kill -9 of workers, nannies, the scheduler and the runner of a Dask cluster, KILLS times
	$(BIN)/python tests/torture/dask_kill.py --kills $(KILLS)

$(VENV)/.campaigns: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs,campaigns]'
	@touch $@

campaigns: $(VENV)/.campaigns  ## all campaigns, KILLS and ROUNDS long
	for victim in runner warden worker all; do $(BIN)/python tests/torture/kill.py --kills $(KILLS) --victim $$victim --check history || exit 1; done
	for plans in fused growing hiding kept finally wait; do $(BIN)/python tests/torture/kill.py --kills $(KILLS) --victim any --plans $$plans --check history || exit 1; done
	$(BIN)/python tests/torture/journal.py --kills $(KILLS) --durability normal
	$(BIN)/python tests/torture/journal.py --kills $(KILLS) --durability full
	$(BIN)/python tests/torture/power.py --cuts $(KILLS)
	$(BIN)/python tests/torture/cut.py --flips $(KILLS)
	$(BIN)/python tests/torture/race.py --pairs $(ROUNDS)
	$(BIN)/python tests/torture/clock.py --jumps $(KILLS)
	$(BIN)/python tests/torture/schedule_kill.py --kills $$(( $(KILLS) * 50 )) --real $(KILLS) --days 365
	$(BIN)/python tests/torture/schedule_zones.py --processes $(PROCESSES)
	$(BIN)/python tests/torture/nth.py --step $(ROUNDS)
	$(BIN)/python tests/torture/moments.py --step $(ROUNDS)
	$(BIN)/python tests/torture/prune.py --step $(ROUNDS)
	$(BIN)/python tests/torture/instead.py --step $(ROUNDS)
	test "$$(id -u)" != 0 || $(BIN)/python tests/torture/other_users.py --step $(ROUNDS)
	$(BIN)/python tests/torture/contain.py --rounds $(ROUNDS)
	$(BIN)/python tests/torture/timeouts.py
	$(BIN)/python tests/torture/short.py
	$(BIN)/python tests/torture/hostile.py --cases $$(( $(KILLS) * 1000 ))
	$(BIN)/python tests/torture/shell.py --cases $$(( $(KILLS) * 1000 ))
	$(BIN)/python tests/torture/fuzz.py --cases $$(( $(KILLS) * 1000 ))
	$(BIN)/python tests/torture/secrets.py --secrets $$(( $(KILLS) * 10 )) --runs $(ROUNDS)
	$(BIN)/python tests/torture/flood.py --gb 5
	$(BIN)/python tests/torture/memory.py
	$(BIN)/python tests/torture/soak.py --jobs 1000000 --minutes $(ROUNDS)
	$(BIN)/python tests/torture/sirene.py --kills $(KILLS)
	$(BIN)/python tests/torture/privacy.py --families $$(( $(KILLS) * 10 ))
	$(BIN)/python tests/torture/differential.py --requests $$(( $(KILLS) * 4 ))
	$(BIN)/python tests/torture/limits.py --kills $(KILLS)
	$(BIN)/python tests/torture/mutants.py
	$(BIN)/python tests/torture/dask_kill.py --kills $(KILLS)

others: $(VENV)/.dev  ## kill -9 and resume beside peers (PEERS: a virtual environment that has them)
	$(BIN)/python benchmarks/others.py --rounds 6 $(if $(PEERS),--venv $(PEERS))
	$(BIN)/python benchmarks/others.py --rounds 6 --group $(if $(PEERS),--venv $(PEERS))

simulate: $(VENV)/.dev  ## SEEDS simulated runs with faults
	JOBLOT_SIM_SEEDS=$(SEEDS) $(BIN)/python -m pytest -q -n $(PROCESSES) tests/simulation

clean:  ## remove what was made here
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
