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
