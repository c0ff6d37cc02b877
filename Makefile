# Each target works from a bare clone: it needs Python 3.11 or newer with venv, and make.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
WORKERS ?= 2

# The first interpreter that is new enough, unless PYTHON says which.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

.PHONY: demo test lint bench bench-peers clean help
.DEFAULT_GOAL := help

help:
	@echo 'make demo         train a small network on handwritten digits, eagerly and captured'
	@echo 'make test         run all tests'
	@echo 'make lint         ruff and mypy'
	@echo 'make bench        measure against NumPy and autograd, and PyTorch, JAX and TensorFlow where installed'
	@echo 'make bench-peers  install PyTorch, JAX and TensorFlow for make bench (large)'
	@echo 'make clean        remove .venv and everything that was built'

demo: $(STAMPS)/examples,jit
	@$(BIN)/python examples/digits.py $(ARGS)

# One BLAS thread per worker: the workers share the cores already.
test: $(STAMPS)/dev,examples,io,jit
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) $(ARGS)

# To type checkers NumPy's functions return arrays of NumPy's, and tests pass what is wrong on purpose.
TESTS_MYPY := --disable-error-code attr-defined --disable-error-code arg-type --disable-error-code call-overload

lint: $(STAMPS)/dev,examples,io,jit
	@echo '== ruff'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo '== mypy'
	@$(BIN)/mypy -p eagerflow -p benchmarks
	@$(BIN)/mypy --follow-imports silent $(TESTS_MYPY) tests examples docs

bench: $(STAMPS)/bench,jit
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(STAMPS)/bench,jit
	@echo '== installing PyTorch, JAX and TensorFlow into $(VENV)'
	@$(BIN)/pip install -qq --disable-pip-version-check torch==2.13.0 'jax==0.10.*' 'tensorflow==2.21.*'

clean:
	rm -rf $(VENV) build dist .kernels *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is named after the extras that were installed, so that a second call has nothing to do.
$(STAMPS)/%: $(STAMPS)/venv pyproject.toml
	@echo '== installing eagerflow[$*] into $(VENV)'
	@$(BIN)/pip install -qq --disable-pip-version-check --editable '.[$*]'
	@touch '$@'

$(STAMPS)/venv:
	@test -n '$(PYTHON)' || { echo 'eagerflow needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'eagerflow needs Python 3.11 or newer; $(PYTHON) is not' >&2; exit 1; }
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo 'cannot make a virtual environment: is the venv module installed (Debian: python3-venv)?' >&2; exit 1; }
	@mkdir -p $(STAMPS)
	@touch $@
