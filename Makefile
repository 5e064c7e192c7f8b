# `make demo` and `make test` install what they need into .venv and do their job.
PYTHON ?= python3
# The one place that pins PyTorch; `make TORCH=2.10.0 …` installs another release.
TORCH ?= 2.13.0
# Without byte code, every process of the tests would compile 3000 modules.
export PYTHONDONTWRITEBYTECODE :=
# With these, any target runs on another stack, in a folder of its own; see "test-openmmlab".
VENV := .venv
STACK := -e '.[onedl,dev,back-ends]'
TESTS :=
KIND := not docs and not slow
# A file of tests is one process's, so that the trainings in it are made once.
SPREAD := -n 2 --dist loadfile

RUN := $(VENV)/bin/python
# Byte code is made of what is imported, which is a fraction of what is installed.
PIP := $(RUN) -m pip install --no-compile
# Named after the release: another TORCH or a changed pyproject.toml installs anew.
INSTALLED := $(VENV)/.installed-torch-$(TORCH)

.PHONY: install demo test test-slow gpu coverage test-openmmlab test-oldest test-newest test-plain test-kernels lint docs docs-test clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(wildcard .ci/upstream/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; choose one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --quiet --upgrade pip
	$(PIP) torch==$(TORCH)
	$(PIP) torch==$(TORCH) $(STACK)
	@# OpenCV's desktop build needs libGL, which servers and containers lack.
	@$(RUN) -c 'import cv2' 2>/dev/null || \
		for HEADLESS in $$($(RUN) -m pip freeze | sed -n 's/^opencv-python=/opencv-python-headless=/p'); do \
			$(RUN) -m pip uninstall --yes opencv-python && $(PIP) $$HEADLESS || exit 1; \
		done
	@rm -f $(VENV)/.installed-torch-*
	@touch $@

demo: install
	$(RUN) tools/demo.py

# One thread per process: with more, the test processes wait for one another's cores. They test what
# a CPU does; what needs a GPU is tested by `make gpu`.
test: install
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(RUN) -m pytest $(SPREAD) -m '$(KIND)' $(TESTS)

test-slow: install
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(RUN) -m pytest $(SPREAD) -m slow

# All that needs a GPU, in about ten minutes; results go to work_dirs/gpu.
gpu: install
	$(RUN) tools/gpu_check.py

# make test, and which lines and branches of the library it reaches; pyproject.toml says the least.
coverage: install
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(RUN) -m coverage run -m pytest $(SPREAD) -m 'not docs and not slow'
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report

# On other stacks run the tests that are marked "elsewhere": one of each kind that depends on them.
# Upstream OpenMMLab, its compiled ops replaced by functions that raise (.ci/upstream).
UPSTREAM := -e '.[dev]' ./.ci/upstream
STACK_TESTS := tests/test_configs.py tests/test_registry.py tests/test_calibration tests/test_datasets tests/test_evaluation \
	tests/test_hooks tests/test_sampling tests/test_utils tests/test_weighting \
	$(addprefix tests/test_tools/, test_calibrate_classes.py test_dist.py test_resume.py test_test.py test_train.py)
ELSEWHERE = $(MAKE) test KIND=elsewhere
LOSSES := tests/test_ops tests/test_losses

test-openmmlab:
	$(ELSEWHERE) VENV=.venv-openmmlab STACK="$(UPSTREAM)" TESTS="$(STACK_TESTS)"

# The losses on the oldest PyTorch of pyproject.toml, which is for NumPy 1 and Python up to 3.11.
test-oldest:
	$(ELSEWHERE) VENV=.venv-oldest TORCH=2.1.0 STACK="$(UPSTREAM) 'numpy<2'" TESTS="$(LOSSES)"

test-newest:
	$(ELSEWHERE) VENV=.venv-newest TORCH=2.15.0 STACK="-e '.[onedl,dev]'" TESTS="$(LOSSES)"

# One environment for both of the following.
PLAIN = $(MAKE) install VENV=.venv-plain STACK="-e '.[plain,kernels]'"

# Without MMSegmentation: losses, statistics, sampling and scores, and the examples of them.
test-plain:
	$(PLAIN)
	.venv-plain/bin/python -m pytest --noconftest -o addopts= -o filterwarnings= tests/test_without_mmseg

# The Triton kernels by Triton's interpreter, and whether they compile for a GPU.
test-kernels:
	$(PLAIN)
	.venv-plain/bin/python -m pytest -n 2 --noconftest -o addopts= -o filterwarnings= tests/test_kernels

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

# Warnings are errors, also those about names and links that lead nowhere.
docs: install
	@$(RUN) -c 'import furo, myst_parser, sphinx; __import__("sphinx-mathjax-offline")' 2>/dev/null || \
		$(PIP) torch==$(TORCH) -e '.[docs]'
	$(RUN) -m sphinx -c docs -W --keep-going --quiet . docs/_build/html
	@echo "written: docs/_build/html/index.html"

# The commands of all pages take minutes, so they are no part of `make test`.
docs-test: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m docs

clean:
	rm -rf .venv .venv-* build dist docs/_build work_dirs/demo data/toy_streets .pytest_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
