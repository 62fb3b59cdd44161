# `make` lists what there is. Every target makes the environment it needs in .venv, once.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint lock gpu-check

SHELL := /bin/bash
VENV := .venv
# Each test process holds a MindSpore of about 1 GB: two suit small machines. ARGS="-k config" runs some tests.
JOBS ?= 2
ARGS ?=
# A process takes whole files, whose tests share what is dear to set up, the longest first: see tests/conftest.py.
PYTEST = $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
# PYTHON=/path/to/python3.11 overrides the search for an interpreter, PYTHONS those that `make lock` resolves for.
PYTHON ?=
PYTHONS ?= python3.10 python3.11 python3.12

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: $(VENV)/.installed  ## generate videos, train a small VisTR on them, evaluate it, draw what it finds
	$(VENV)/bin/python run.py experiments=quickstart

test: $(VENV)/.installed lint  ## lint, check the types, run the tests
	$(PYTEST) $(ARGS)

test-fast: $(VENV)/.installed  ## the tests but those marked slow
	$(PYTEST) -m "not slow" $(ARGS)

lint: $(VENV)/.installed  ## ruff, its format, and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	for platform in darwin win32; do $(VENV)/bin/mypy --platform $$platform run.py vistr || exit 1; done

gpu-check: $(VENV)/.installed  ## install the CUDA libraries, and check the GPU against the CPU
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[gpu]'
	$(VENV)/bin/python -m scripts.gpu_check $(ARGS)

lock:  ## write constraints.txt anew from pyproject.toml
	python3 scripts/lock.py $(PYTHONS)

# The stamp is written last: an installation that was interrupted is taken up again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	suits() { "$$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }; \
	if [ -n "$$python" ]; then \
		suits "$$python" || { echo "PYTHON=$$python is not a Python 3.10, 3.11 or 3.12 with venv." >&2; exit 1; }; \
	else \
		for candidate in python3.12 python3.11 python3.10 python3; do \
			if suits "$$candidate"; then python="$$candidate"; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "No Python 3.10, 3.11 or 3.12 with venv was found: install one (Debian: python3-venv), or name it with PYTHON=." >&2; \
			exit 1; \
		fi; \
	fi; \
	[ -x $(VENV)/bin/pip ] || { echo "Making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); }
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@
