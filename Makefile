# make demo    a service over the sample pictures on http://localhost:8000 (PORT= changes it)
# make serve   the service, as .env says          make index   bring the index up to date, as .env says
# make check   all that CI runs                   make test    the tests alone; make coverage measures what they run
# make models  PyTorch and what else a model needs that is not converted to OpenVINO yet; serve and index see to it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

PYTEST := --numprocesses 3 --dist loadscope --no-loadscope-reorder --durations 10 --durations-min 1

.PHONY: demo serve index models test coverage check lint format clean

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
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev .venv-milvus/.ready
	@$(BIN)/python -m pytest $(PYTEST)

# Measuring takes as much time as the tests themselves, so it is no part of `check`.
coverage: export PYTHONDONTWRITEBYTECODE =
coverage: $(VENV)/.dev .venv-milvus/.ready
	@$(BIN)/python -m pytest $(PYTEST) --cov --cov-report term-missing:skip-covered

# The linters run beside the tests: they use one core while tests wait.
check: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs=2 lint test

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-milvus build dist *.egg-info

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
	@touch $@ $(VENV)/.models $(VENV)/.runtime

# A real Milvus server for the tests. The wheel that carries one needs packages older than ours, hence a place of its own.
.venv-milvus/.ready: | $(VENV)/bin/python
	@echo "Installing a Milvus server for the tests into .venv-milvus (once)..."
	@$(PYTHON) -m venv .venv-milvus
	@.venv-milvus/bin/python -m pip install --quiet --disable-pip-version-check --no-compile 'milvus==2.3.5' 'pymilvus==2.4.9' 'setuptools<80' 'marshmallow<4'
	@touch $@
