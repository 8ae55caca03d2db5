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

.PHONY: demo test test-lowest quick gpu docs format clean

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

# What holds on a GPU, in under eight minutes; the same command goes on with what is missing. A python3 that
# has a torch which sees a GPU is used as it is (`make gpu PYTHON=...` names another one): its torch is never
# replaced, and what else is needed is put beside it, in .venv/gpu. Without one, torch comes from the index.
GPU := .venv/gpu
gpu:
	@test -x $(GPU)/bin/python || $(PYTHON) -m venv $(GPU)
	@SITE=$$($(PYTHON) -c 'import torch, pathlib; assert torch.cuda.is_available(); \
	    print(pathlib.Path(torch.__file__).parents[1])' 2> /dev/null) && \
	    echo "$$SITE" > $$($(GPU)/bin/python -c 'import site; print(site.getsitepackages()[0])')/torch.pth \
	    || $(GPU)/bin/python -m pip install --quiet 'torch>=2.11'
	@$(GPU)/bin/python -c 'import torch; print("torch==" + torch.__version__)' > $(GPU)/torch.txt
	@$(GPU)/bin/python -m pip install --quiet -c $(GPU)/torch.txt -e '.[all]' \
	    || echo "The index cannot be reached: going on with what is installed."
	PYTHONPATH=src $(GPU)/bin/python -m benchmarks.gpu $(GPU_ARGUMENTS)

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
