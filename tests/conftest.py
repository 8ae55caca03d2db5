"""What holds for every test: one thread, and a random state that no test inherits."""

import os
import tempfile
import zlib
from pathlib import Path

import pytest
import torch

import nongreedy as ng

from .extras import needs, postgresql

# No test reaches for an account, or writes here. wandb reads these once, at its first run in a process.
os.environ.update(WANDB_MODE="offline", WANDB_DIR=tempfile.gettempdir())


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Tests are small: threads would only make their timing and the last bits of sums vary.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _known_random_state():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def environment():
    """Of a process of its own that runs this source."""
    source = str(Path(ng.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "FORCE_COLOR": "1"}


@pytest.fixture(scope="session")
def database_url():
    """Of a PostgreSQL server that is started here, or of the one in NONGREEDY_TEST_DATABASE."""
    if given := os.environ.get("NONGREEDY_TEST_DATABASE"):
        yield given
    else:
        needs("psycopg")
        with postgresql() as started:
            yield started


# ---- make quick ---------------------------------------------------------------------------------

# Whole searches, command lines, kills and other processes: one test in twelve of these files.
LONG = {
    "test_automatic_windows", "test_bandits", "test_cli", "test_cli_bandit", "test_cli_check",
    "test_cli_compare", "test_cli_prefer", "test_cli_study", "test_closed_forms", "test_comparison",
    "test_dashboard", "test_evograd_studies", "test_experiments", "test_explosion", "test_gpu_script",
    "test_long_horizon",
    "test_nas_command", "test_nas_search", "test_pages", "test_parallel", "test_peers", "test_planner",
    "test_preference_benchmark", "test_preference_dashboard", "test_preference_dialogue",
    "test_report_browser", "test_reversible_search", "test_search_suite", "test_sharded",
    "test_shared", "test_site", "test_study", "test_study_damage", "test_study_server",
}  # fmt: skip
LONG_TESTS = {
    "test_a_long_run_in_integers_agrees_with_the_one_in_float64",
    "test_estimates_agree_with_the_closed_form_of_the_noisy_quadratic",
    "test_finds_a_good_schedule_from_almost_nothing",
    "test_the_buffer_of_three_thousand_steps_takes_at_most_eighty_bytes",
    "test_the_chosen_outer_step_is_shown",
    "test_the_engine_passes_the_table",
    "test_the_shorter_the_memory_the_smaller_the_rate",
    "test_windows_may_be_found_by_evidence",
    "test_forgetting_the_decay_term_is_red",
    "test_pytest_is_not_needed_to_import_or_to_check",
    "test_a_study_goes_on_in_another_process",
    "test_strangers_join_by_subclassing",
    "test_thousands_of_noisy_steps_are_undone_bit_for_bit",
}


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="a sample of less than a minute")


def pytest_collection_modifyitems(config, items):
    """With --quick: of each test the first case, such as one optimizer and one model."""
    if config.getoption("--quick"):
        met, kept, left_out = set(), [], []
        for item in items:
            name = item.nodeid.partition("[")[0]
            (left_out if name in met or _long(item, name) else kept).append(item)
            met.add(name)
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _long(item, name):
    drawn = zlib.crc32(name.encode()) % 12 == 0
    return item.originalname in LONG_TESTS or (item.path.stem in LONG and not drawn)
