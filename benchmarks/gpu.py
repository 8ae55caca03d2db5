"""What holds on a GPU: agreement with the CPU, replay bit for bit, cost, memory, and Figure 1 at full scale.

    make gpu                                              # with what it needs, in under eight minutes
    python -m benchmarks.gpu --device cpu --small --out /tmp/gpu          # a rehearsal without a GPU

It begins with the twelve checks of a first run and writes its tables to ``docs/measurements/gpu-DEVICE.md``.
Each part is kept when it is done: the same command goes on with the parts that are missing, and with
Figure 1. A row that raises says what was raised, and the next part goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ._gpu_cases import FAILED, Bench, Rows
from ._gpu_checks import CHECKS
from ._gpu_cost import accumulated, coarse_sweeps, cost, memory
from ._gpu_figure import figure, outer_step
from ._gpu_rows import differences, replayed, same_as_cpu

FOLDER = Path("docs/measurements")


@dataclass(frozen=True)
class Part:
    """A table.

    Args:
        share: Of the whole time, that it may take at most.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Callable[[Bench], Rows]
    share: float = 0.1


def checks(bench: Bench) -> Rows:
    """All but agreement and cost, which are tables of their own."""
    for check in CHECKS:
        numbers, title = str(check.__doc__).split(": ", 1)
        try:
            for case, said in check(bench):
                yield numbers, title.splitlines()[0].rstrip("."), case, said
        except Exception as error:
            traceback.print_exc()
            yield numbers, title.splitlines()[0].rstrip("."), "", _said(error)


PARTS = (
    Part("checks", "Checks of a first run", ("no.", "check", "case", "found"), checks, 0.25),
    Part(
        "differences",
        "Against differences on the device, float64, largest relative difference (checks 1, 2)",
        ("model", "optimizer", "Reverse with states, checkpoints, and Forward"), differences, 0.2,
    ),
    Part(
        "rows", "Against the CPU, float64, networks without dropout",
        ("model", "optimizer", "engines", "largest relative difference", "refused on both"),
        same_as_cpu, 0.2,
    ),
    Part(
        "replay", "Replay: every store and a second time, float32, bit for bit",
        ("model", "optimizers", "with other bits"), replayed,
    ),
    Part(
        "cost",
        "Cost in plain `torch.optim` runs, medians of alternating turns and their range (check 12)",
        ("network", "precision", "plain step", "graphs", "states", "checkpoints"), cost, 0.3,
    ),
    Part(
        "sweeps", "A float32 run, swept in bfloat16 (an experiment; not offered)",
        ("network", "sweep, a step", "in bfloat16 / in float32", "hypergradient off by"),
        coarse_sweeps,
    ),
    Part(
        "memory", "Forecast and measured (check 8)",
        ("network", "engine", "forecast", "measured", "forecast memory", "peak"), memory,
    ),
    Part(
        "accumulate", "Micro-batches: the sweep of a batch of 128",
        ("network", "accumulate", "peak", "a step"), accumulated,
    ),
    Part(
        "outer step", "Ten outer steps of Figure 1, extrapolated",
        ("network", "steps measured", "run, a step", "sweep, a step", "ten outer steps of 1,850"),
        outer_step,
    ),
)  # fmt: skip


def table(part: Part, bench: Bench, until: float) -> tuple[str, bool]:
    """Its lines, and whether it came to its end before it had to stop."""
    lines = [f"## {part.title}", "", _row(part.columns), _row(["---"] * len(part.columns))]
    begin, whole = time.monotonic(), True
    try:
        for cells in part.rows(bench):
            lines.append(_row(cells))
            whole = whole and FAILED not in lines[-1]
            print(lines[-1], flush=True)
            if time.monotonic() > until:
                whole = False
                lines += ["", "Stopped here by the time; the same command does it again."]
                break
    except Exception as error:
        traceback.print_exc()
        lines.append(_row([_said(error), *[""] * (len(part.columns) - 1)]))
        whole = False
    return "\n".join([*lines, "", f"({time.monotonic() - begin:.0f} s)"]), whole


def _row(cells: Sequence[object]) -> str:
    return (
        "| " + " | ".join(str(cell).replace("\n", " ").replace("|", "/") for cell in cells) + " |"
    )


def _said(error: Exception) -> str:
    return f"{FAILED} {type(error).__name__}: {str(error)[:160]}"


def head(bench: Bench) -> str:
    where = (
        torch.cuda.get_device_name() if bench.device == "cuda" else platform.processor() or "CPU"
    )
    scale = " (small: a rehearsal, whose figures say nothing)" if bench.small else ""
    return (
        f"# Measured on {where}{scale}\n\n`make gpu`, {time.strftime('%F')}: PyTorch "
        f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}, Python "
        f"{platform.python_version()}. What was wrong at first, and what is not mended: [gpu.md](gpu.md)."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="few steps of few examples")
    parser.add_argument("--minutes", type=float, default=8.0, help="stop then")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS] + ["figure"])
    parser.add_argument("--again", action="store_true", help="also what was done before")
    parser.add_argument("--data", help="CIFAR-10, for Figure 1: a path or the name of a data set")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the page")
    given = parser.parse_args(arguments)
    end, bench = time.monotonic() + 60 * given.minutes, Bench(given.device, given.small)
    name = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    slug = "gpu-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ("-small" * given.small)
    kept = (Path("results") if given.out == FOLDER else given.out) / slug
    kept.mkdir(parents=True, exist_ok=True)
    page = given.out / f"{slug}.md"
    last = Part(
        "figure", "Figure 1 at full scale", ("command", "its last lines"),
        lambda bench: figure(bench, (end - time.monotonic()) / 60 - 0.2, kept / "figure1", given.data),
    )  # fmt: skip
    for part in (*PARTS, last):
        note = kept / f"{part.name}.json"
        before = json.loads(note.read_text()) if note.exists() else {"whole": False}
        unwanted = given.only is not None and part.name not in given.only
        if unwanted or (before["whole"] and not given.again) or time.monotonic() > end:
            continue
        print(f"\n## {part.title}", flush=True)
        until = min(end, time.monotonic() + 60 * part.share * given.minutes)
        text, whole = table(part, bench, until)
        note.write_text(json.dumps({"whole": whole and part is not last, "text": text}))
        notes = [kept / f"{each.name}.json" for each in (*PARTS, last)]
        texts = [json.loads(path.read_text())["text"] for path in notes if path.exists()]
        page.write_text("\n\n".join([head(bench), *texts]) + "\n")
    print(f"\n{page}")


if __name__ == "__main__":
    main()
