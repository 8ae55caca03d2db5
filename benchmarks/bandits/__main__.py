"""The tables of docs/measurements/bandits.md, one argument per table.

python -m benchmarks.bandits dimension commit matrix rates short trap simulator tensors
python -m benchmarks.bandits logs --data obp_wheel
"""

import argparse
import time
from pathlib import Path

import torch

from . import commit, dimension, logs, matrix, rates, short, simulator, tensors, trap
from ._cells import Cells

ROWS = {
    "dimension": dimension.main, "commit": commit.main, "matrix": matrix.main, "rates": rates.main,
    "short": short.main, "trap": trap.main, "simulator": simulator.main, "tensors": tensors.main,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bandits", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("rows", nargs="+", choices=[*ROWS, "logs"])
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bandits"), help="where cells are kept"
    )
    parser.add_argument("--data", type=Path, help="the unpacked wheel of obp, for logs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in options.rows:
        begun, cells = time.perf_counter(), Cells(options.out / f"{row}.json")
        if row == "logs":
            logs.main(cells, options.data)
        else:
            ROWS[row](cells)
        print(f"{row}: {time.perf_counter() - begun:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
