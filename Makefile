# Everything sets itself up: a fresh machine needs Python 3.11 or newer, make and a package index.
# `make PYTHON=/path/to/python3.12 test` chooses the interpreter; `make clean` starts over.

VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint format bench docs docs-serve docs-pages wheel web web-check clean

demo: $(VENV)/.installed-demo
	@$(BIN)/headwater demo

# One process per core, four at most: each loads torch. What waits at the end is shared out again.
test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory web-check

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The page of a run: built only by who changes web/; where there is Node, lint builds it again and compares.
web: web/node_modules/.installed
	@cd web && npm run --silent build

web-check:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web/node_modules/.installed && cd web && npm run --silent check; \
	else echo "headwater: no npm here, so the page's bundle is compared by its hash alone (make test)."; fi

# Versions are those of the lock file. Not `npm ci`: it refuses a lock that lacks an optional package for another system.
web/node_modules/.installed: web/package-lock.json
	@cd web && npm install --silent --no-save --ignore-scripts --no-audit --no-fund
	@touch $@

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m benchmarks --out docs/benchmarks

# The documentation, English and Korean, into build/site; a warning is an error.
docs: $(VENV)/.installed-docs
	@$(BIN)/python -m website build

docs-serve: $(VENV)/.installed-docs
	@$(BIN)/python -m website serve

# The pages that are made from the code: statistics, rules, remedies, and tables that Korean pages share.
docs-pages: $(VENV)/.installed-dev
	@$(BIN)/python -m website pages

wheel: $(VENV)/.installed-dev
	@$(BIN)/python -m build --wheel --no-isolation

clean:
	@rm -rf $(VENV) web/node_modules dist build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis headwater-demo.html
	@find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per extra: installed again only when what it is installed from has changed.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "headwater: installing what '$*' needs into $(VENV); the first time takes some minutes (PyTorch is large)."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@

# pip comes last in the making of an environment, so one that was broken off half-way is made again.
$(BIN)/pip:
	@python="$(PYTHON)"; \
	for candidate in python3 python3.11 python3.12 python3.13 python3.14; do \
	    [ -n "$$python" ] && break; \
	    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && python="$$candidate"; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "headwater needs Python 3.11 or newer, and python3 here is: $$(python3 --version 2>&1)." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	fi; \
	echo "headwater: making the virtual environment $(VENV) with $$("$$python" --version)."; \
	"$$python" -m venv $(VENV)
