"""A search of a few minutes grows nowhere: ``python -m benchmarks.soak`` is a long one."""

import sys
from dataclasses import replace

import pytest

from benchmarks.soak import DATABASE, RULES, Point, missed, soak

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
CALM = [Point(k + 1, float(k), 10**8, 9, 10**5) for k in range(20)]


@linux
@pytest.mark.parametrize("outer", RULES)
def test_a_search_keeps_its_memory_its_files_and_its_database_small(outer, tmp_path):
    points = soak(tmp_path, 30, None, outer)
    assert len(points) == 30
    assert missed(points) == []
    assert points[-1].database - points[3].database < 26 * DATABASE / 500  # bytes per outer step


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"memory": 106_000_000}, "memory grew by 6.0%"),
        ({"handles": 12}, "12 files are open, after a tenth 9"),
        ({"database": 11_000_000}, "the database has 11.0 MB"),
    ],
)
def test_what_grows_is_told(end, said):
    assert missed(CALM) == []
    assert missed([*CALM[:-1], replace(CALM[-1], **end)]) == [said]
