# `make demo` and `make test` need Python 3.11+ with pip, and nothing else: the rest is installed
# into .venv, once, at the versions in constraints.txt.

PYTHON ?= python3
# `make test EXTRAS=ci` also installs and tests what integrations need.
EXTRAS ?= dev
BIN := .venv/bin
READY := .venv/.ready-$(EXTRAS)
# Empty: tests start many processes, and none should compile what another has compiled.
export PYTHONDONTWRITEBYTECODE :=

# Files are not kept together: a few of them take minutes.
PYTEST := $(BIN)/pytest -q -n logical --dist worksteal

.PHONY: demo test test-lowest quick docs format clean

demo: $(READY)
	$(BIN)/nongreedy tune --outer-steps 3 --out demo/default
	$(BIN)/nongreedy tune --outer paper --outer-steps 5 --out demo/paper

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(PYTEST)

# A sample at the lowest versions, in an environment of its own. Where old packages meet new ones that
# they bring, these say what is deprecated.
LOWEST := .venv/lowest
test-lowest: pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet torch==2.13.0
	$(LOWEST)/bin/python -m pip install --quiet -c constraints-lowest.txt -e '.[all]' plotly pytest
	$(LOWEST)/bin/python -m pytest -q -W default::DeprecationWarning -W default::PendingDeprecationWarning \
	    $(addprefix tests/test_,$(addsuffix .py,install layers cli_check cli_bandit report figure \
	    data_sources automatic_windows nas_decoding optuna_objective preference_sets))

# In less than a minute: a sample, which tests/conftest.py draws, and no types.
quick: $(READY)
	$(BIN)/ruff check .
	$(PYTEST) --quick

# The site, in build/site; a warning is an error.
docs:
	test -x $(BIN)/mkdocs || $(MAKE) .venv/.ready-ci EXTRAS=ci
	$(BIN)/mkdocs build --strict --site-dir build/site

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes first and alone: a build of it that fits this machine (CPU or CUDA) may be offered
# by the configured index, and what follows then finds it installed.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit( \
	    sys.version_info < (3, 11) and "Python 3.11 or newer is needed, but $(PYTHON) is " + v \
	    + ". Name another: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
