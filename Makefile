# make reproduce    the whole bundle: tables, figures, results/quick/index.html
# Needs Python 3.11 with venv, and nothing else: Debian 12 has both after apt install python3.11-venv make.

PROFILE ?=
SOURCE ?=
ONLY ?=
BENCH ?=
GPU ?=
SHELL := /bin/bash
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help reproduce test core gpu trainers lab bench lint lock clean

help:  ## show this
	@echo "make TARGET [PROFILE=quick|standard|full] [SOURCE=recorded] [ONLY='07 09'] [BENCH='step bundle'] [GPU=--dry]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile | expand -t 14

reproduce: .venv/.stamp  ## run the notebooks (PROFILE, ONLY), or draw data/recorded (SOURCE); see results/*/index.html
	$(PY) -m hetlib_bundle reproduce $(if $(PROFILE),--profile $(PROFILE)) $(if $(SOURCE),--source $(SOURCE)) \
	  $(foreach n,$(ONLY),--only $(n))

test: .venv/.stamp  ## run the tests, the notebooks at quick size among them
	$(PY) -m pytest $(PYTEST)

# In a folder where `import hetlib` finds what was installed, not the clone.
core: .venv-core/.stamp  ## run the README's script and tests/core.py where only torch and numpy are installed
	cd tests && ../.venv-core/bin/python -c "import core; core.main()"
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  awk '/^```python/ {inside=1; next} /^```/ {if (inside) exit} inside' README.md > "$$folder/mine.py" && \
	  cd "$$folder" && OMP_NUM_THREADS=1 "$(CURDIR)/.venv-core/bin/torchrun" --standalone --nproc-per-node 2 mine.py

# Any Python with torch and numpy; nothing is installed or fetched.
gpu:  ## run the checks that need a GPU (PYTHON, GPU='--minutes 5 --only exactness'); without one a dry run on the CPU
	@python="$(PYTHON)"; \
	for found in .venv/bin/python .venv-core/bin/python python3; do \
	  test -n "$$python" || { command -v $$found >/dev/null && python=$$found; }; \
	done; \
	"$$python" -c 'import sys, numpy, torch; sys.exit(sys.version_info < (3, 11))' || { echo "The checks need" \
	  "Python 3.11 or newer with torch and numpy, and $$python is none: make gpu PYTHON=/path/to/python" >&2; exit 2; }; \
	exec "$$python" -m tests.gpu $(GPU)

trainers: .venv/.stamp-trainers  ## run the tests that train with Lightning and others; the first call installs them
	$(PY) -m pytest $(PYTEST) tests/integrations

lab: .venv/.stamp  ## open the notebooks in JupyterLab
	$(PY) -m jupyterlab notebooks/00_index.ipynb

bench: .venv/.stamp-bench  ## run the benchmarks (BENCH), write results/bench/*.csv
	$(PY) -m tests.bench $(BENCH)

lint: .venv/.stamp  ## ruff and mypy, as the tests run them
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:  ## remove the environment and caches; results/ stays
	rm -rf .venv .venv-core build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets the shell variable `python`, or says what is missing.
FIND_PYTHON = for python in "$$PYTHON" python3.11 /usr/bin/python3.11 python3; do \
	  test -n "$$python" && "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' \
	    2>/dev/null && break; python=; \
	done; \
	test -n "$$python" || { echo "hetlib needs Python 3.11 with venv, and found none. On Debian or Ubuntu:" \
	  "apt install python3.11-venv make. Elsewhere: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }

# The environment. A second call finds the stamp and installs nothing.
.venv/.stamp: requirements.lock pyproject.toml
	@$(FIND_PYTHON); \
	echo "Installing $$(grep -c '==' requirements.lock) packages into .venv, once: about 6 GB with the CUDA" \
	  "libraries of torch, 2 to 10 minutes by the network."; \
	rm -rf .venv; "$$python" -m venv .venv
	$(PY) -m pip install --require-hashes --only-binary :all: -r requirements.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.stamp-bench: .venv/.stamp requirements-bench.lock
	@echo "Installing what the benchmarks compare with (torchgeo), once: under a minute."
	$(PY) -m pip install --require-hashes -r requirements-bench.lock
	@touch $@

.venv/.stamp-trainers: .venv/.stamp requirements-trainers.lock
	@echo "Installing the frameworks that the tests train with, once: under a minute."
	$(PY) -m pip install --require-hashes -r requirements-trainers.lock
	@touch $@

.venv-core/.stamp: requirements-core.lock pyproject.toml
	@$(FIND_PYTHON); \
	echo "Installing torch and numpy alone into .venv-core, once."; \
	rm -rf .venv-core; "$$python" -m venv .venv-core
	.venv-core/bin/python -m pip install --require-hashes --only-binary :all: -r requirements-core.lock
	.venv-core/bin/python -m pip install --quiet --no-deps .
	@touch $@

# Pins that still fit are kept; make lock LOCK=--upgrade raises them all.
COMPILE = $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header $(LOCK)
lock: .venv/.stamp  ## renew the four requirements*.lock from pyproject.toml
	$(PY) -m pip install --quiet pip-tools==7.6.2
	$(COMPILE) --extra notebooks --extra test --build-deps-for editable -o requirements.lock pyproject.toml
	$(COMPILE) --extra notebooks --extra bench -c requirements.lock -o requirements-bench.lock pyproject.toml
	$(COMPILE) -c requirements.lock -o requirements-core.lock pyproject.toml
	$(COMPILE) --extra notebooks --extra trainers -c requirements.lock -o requirements-trainers.lock pyproject.toml
