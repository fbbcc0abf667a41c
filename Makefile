# Every command of the project. Each target sets up what it needs; nothing but Python 3.11 or newer and make has to be there.

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Tried in this order; `make PYTHON=/path/to/python3.12 setup` uses another one.
PYTHON ?=
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3
SEED ?= 1
ARGS ?=

# pip's way to name an index works for uv too, which does not read it by itself.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
# pyright runs on the Node.js that its own wheel brings, whatever else is installed, and looks for no newer version.
export PYRIGHT_PYTHON_GLOBAL_NODE := 0
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list every command
	@echo "make TARGET, each sets up what it needs in $(VENV):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## install everything into .venv (nothing to do when it is up to date)

$(INSTALLED): requirements.lock pyproject.toml
	@set -e; \
	if ! $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  for candidate in $(PYTHONS); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo "Python 3.11 or newer is needed and none of these is one: $(strip $(PYTHONS))." >&2; \
	    echo "Install it (Debian 12: apt-get install python3 python3-venv) or say where it is: make PYTHON=/path/to/python3 setup" >&2; \
	    exit 1; \
	  fi; \
	  echo "setup: making $(VENV) with $$chosen"; \
	  "$$chosen" -m venv --clear $(VENV) || { \
	    echo "$$chosen cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	fi
	@uv=$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock); \
	if ! $(PY) -m uv --version >/dev/null 2>&1; then \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade >/dev/null; \
	  $(PY) -m pip install --quiet --disable-pip-version-check "$$uv" || { \
	    echo "pip could not install $$uv; see its message above. Behind a mirror set PIP_INDEX_URL." >&2; exit 1; }; \
	fi
	@echo "setup: installing requirements.lock"
	@$(PY) -m uv pip sync --quiet --compile-bytecode --python $(PY) requirements.lock || { \
	  echo "setup: uv could not; trying pip, which reads your pip.conf too" >&2; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock; }
	@touch $@

.PHONY: demo
demo: setup ## evaluate a small model on a local Ray, to a report; needs no key
	@# Exit code 1 says that some samples have no answer, as a small model leaves them; the report tells which.
	$(PY) -m drivers.evaluate run examples/tasks/capitals_and_sums.py --model local/smollm2 --address local \
	  --concurrency 4 --temperature 0 --out runs/demo/ --overwrite $(ARGS) || [ $$? -eq 1 ]

.PHONY: test test-core test-actors test-drivers
test: setup ## run every test (ARGS="-k name" selects)
	$(PY) -m pytest --numprocesses 2 $(ARGS)
test-core: setup ## the tests without Ray, seconds
	$(PY) -m pytest tests/core $(ARGS)
test-actors: setup ## the tests on a local Ray cluster
	$(PY) -m pytest tests/actors $(ARGS)
test-drivers: setup ## the programs, run as a user runs them
	$(PY) -m pytest tests/drivers $(ARGS)

.PHONY: check-cluster
check-cluster: setup ## several machines on this host: `ray up`, an evaluation, a machine cut off (needs root)
	$(PY) -m tests.cluster.check $(ARGS)

.PHONY: check-growing
check-growing: setup ## a cluster that Ray's autoscaler makes larger under load (needs root)
	$(PY) -m tests.cluster.growing

.PHONY: check check-format check-lint check-types check-layers
check: setup ## format, lint, types and layering; reports all of them, changes nothing
	@$(MAKE) --no-print-directory --keep-going check-format check-lint check-types check-layers \
	  && echo "check: all good" || { echo "check: failed, see above ('make format' mends format and simple lint)" >&2; exit 1; }
check-format: setup
	@echo "== format (ruff format)"
	@$(PY) -m ruff format --check --output-format concise .
check-lint: setup
	@echo "== lint (ruff check; .venv/bin/ruff rule NAME explains one)"
	@$(PY) -m ruff check --output-format concise .
check-types: setup
	@echo "== types (pyright)"
	@$(PY) -m pyright --warnings
check-layers: setup
	@echo "== layering (import-linter)"
	@$(VENV)/bin/lint-imports --no-cache --no-logo

.PHONY: format
format: setup ## put every file into the project's format and mend simple lint
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.PHONY: simulate
simulate: setup ## the whole system on a virtual clock with seeded faults (SEED=n)
	$(PY) -m agent_core.simulation --seed $(SEED) $(ARGS)

.PHONY: bench
bench: setup ## the figures of the README (NAME=one of benchmarks/, without it the list)
	@$(if $(NAME),$(PY) -m benchmarks.$(NAME) $(ARGS),grep -l '__main__' benchmarks/*.py | sed 's,benchmarks/\(.*\)\.py,make bench NAME=\1,')

.PHONY: lock
lock: setup ## write requirements.lock anew from pyproject.toml
	$(PY) -m uv pip compile pyproject.toml --extra local --extra inspect --group dev --group weights --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -o requirements.lock $(ARGS)

.PHONY: clean
clean: ## remove .venv, caches and the demo's results
	rm -rf $(VENV) runs/demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
