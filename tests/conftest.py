"""What holds for every test: one thread, and a random state that no test inherits."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Tests are small: threads would only make their timing and the last bits of sums vary.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _known_random_state():
    torch.manual_seed(0)
