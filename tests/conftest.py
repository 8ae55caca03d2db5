"""What holds for every test: one thread, and a random state that no test inherits."""

import os
from pathlib import Path

import pytest
import torch

import nongreedy as ng


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Tests are small: threads would only make their timing and the last bits of sums vary.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _known_random_state():
    torch.manual_seed(0)


@pytest.fixture
def environment():
    """Of a process of its own that runs this source."""
    source = str(Path(ng.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "FORCE_COLOR": "1"}


# ---- make quick ---------------------------------------------------------------------------------


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="a sample of under a minute")


def pytest_collection_modifyitems(config, items):
    """Of each test its first case: the first engine, the first model."""
    if config.getoption("--quick"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        left_out = [item for item in items if item not in set(first.values())]
        items[:] = first.values()
        config.hook.pytest_deselected(items=left_out)
