# `make demo` and `make test` install what they need into .venv and do their job.
PYTHON ?= python3
# The one place that pins PyTorch; `make TORCH=2.10.0 …` installs another release.
TORCH ?= 2.13.0
VENV := .venv
RUN := $(VENV)/bin/python
# Named after the release: another TORCH or a changed pyproject.toml installs anew.
INSTALLED := $(VENV)/.installed-torch-$(TORCH)

.PHONY: install demo test lint docs docs-test clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; choose one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install torch==$(TORCH)
	$(RUN) -m pip install torch==$(TORCH) -e '.[onedl,dev]'
	@# OpenCV's desktop build needs libGL, which servers and containers lack.
	@$(RUN) -c 'import cv2' 2>/dev/null || { $(RUN) -m pip uninstall --yes opencv-python && \
		$(RUN) -m pip install opencv-python-headless; }
	@rm -f $(VENV)/.installed-torch-*
	@touch $@

demo: install
	$(RUN) tools/demo.py

# One thread per process: with more, the test processes wait for one another's cores.
test: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m 'not docs'

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# Warnings are errors, also those about names and links that lead nowhere.
docs: install
	@$(RUN) -c 'import furo, myst_parser, sphinx' 2>/dev/null || \
		$(RUN) -m pip install torch==$(TORCH) -e '.[docs]'
	$(RUN) -m sphinx -c docs -W --keep-going --quiet . docs/_build/html
	@echo "written: docs/_build/html/index.html"

# The commands of all pages take minutes, so they are no part of `make test`.
docs-test: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m docs

clean:
	rm -rf $(VENV) build dist docs/_build work_dirs/demo data/toy_streets .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
