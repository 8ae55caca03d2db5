"""Architecture search, row by row of what it must show: ``python -m benchmarks.nas ROW [--out FOLDER]``.

Rows: ``banks`` (SP4, SP6, SP7), ``table`` (SP8), ``pixel`` (row 2), ``targets`` (row 3), ``simulated`` (the
same on machines that are known), ``cifar`` (row 4),
``planted`` (row 5), ``decoded`` (row 6), ``tuned`` (settings by hypergradients), ``sampler`` (by Optuna),
``drift`` (what the machine itself does to row 3). Every finished piece is
a JSON file in the folder; a row that was stopped goes on with what is missing, ``--small`` runs it in
miniature, and ``--only`` a part of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nongreedy import nas
from nongreedy.nas._machine import machine
from nongreedy.protocols import generator
from nongreedy.schedules._files import replace_file

from . import _nas_bank as bank
from . import _nas_planted as planted
from ._nas_cifar import cifar, compared
from ._nas_pixel import PIXEL, pixel_table, totals
from ._nas_sampler import sampler
from ._nas_simulated import simulated
from ._nas_stopwatch import drift, table, targets
from ._nas_tuned import tuned

Piece = Callable[[], dict[str, Any]]
GATES = {
    "scale-free": (nas.ScaleFreeGate(), nas.Validated()),
    "paper": (nas.PaperGate(), nas.Joint()),
}


def banks(small: bool) -> dict[str, Piece]:
    count = 2 if small else 10
    scales = {f"planted-{s:g}": lambda s=s: bank.planted(scale=s) for s in (1.0, 4.0)}
    more = {f"controlled-{k}": lambda k=k: bank.controlled(seed=k) for k in range(count)}
    slopes = {f"monotone-{k}": lambda k=k: {"costs": bank.monotone(seed=k)} for k in range(count)}
    return {**scales, **more, **slopes}


def pixel(small: bool) -> dict[str, Piece]:
    if not PIXEL.is_file():
        raise SystemExit(
            "Name the published table in NONGREEDY_PIXEL1: see benchmarks/_nas_pixel.py."
        )
    return {"totals": lambda: totals(pixel_table(PIXEL))}


def decoded(small: bool) -> dict[str, Piece]:
    """Row 6, in float32 and float64: the largest difference over architectures."""

    def one(dtype: torch.dtype, squeezes: tuple[bool, ...]) -> dict[str, Any]:
        net = nas.search_space(classes=10, resolution=32, width=0.5, depth=2, squeezes=squeezes)
        net.to(dtype)
        for k in range(3):
            net(torch.randn(8, 3, 32, 32, dtype=dtype, generator=generator(k)))
        net.eval()
        x, off, scale = torch.randn(8, 3, 32, 32, dtype=dtype), 0.0, 0.0
        with torch.no_grad():
            for k in range(4 if small else 40):
                chosen = net.space.random(generator(k))
                with net.fixed(chosen):
                    out = net(x)
                off = max(off, float((net.plain(chosen)(x) - out).abs().max()))
                scale = max(scale, float(out.abs().max()))
        return {"largest_difference": off, "largest_output": scale}

    return {
        f"{str(dtype)[6:]}-{'se' if len(squeezes) == 2 else 'plain'}": lambda d=dtype, s=squeezes: (
            one(d, s)
        )
        for dtype in (torch.float64, torch.float32)
        for squeezes in ((False,), (False, True))
    }


def planted_row(small: bool) -> dict[str, Piece]:
    """Row 5: the recommended gates, and the paper's beside them."""
    search = planted.planted_search
    seeds, recipe = (range(1), nas.Recipe(60)) if small else (range(10), nas.Recipe(200))
    return {
        f"{kind}-{name}-{seed}": lambda k=kind, g=gate, v=level, s=seed: search(k, g, v, s, recipe)
        for kind in planted.KINDS
        for name, (gate, level) in GATES.items()
        for seed in seeds
    }  # fmt: skip


ROWS = {
    "banks": banks, "table": table, "pixel": pixel, "targets": targets, "cifar": cifar,
    "planted": planted_row, "decoded": decoded, "tuned": tuned, "drift": drift,
    "simulated": simulated, "sampler": sampler,
}  # fmt: skip


def run(row: str, out: Path, small: bool, only: str = "") -> dict[str, dict[str, Any]]:
    """Compute the pieces that are missing; all pieces of the row, or those with a text in their names."""
    out.mkdir(parents=True, exist_ok=True)
    pieces = {}
    where = {"out": out} if row in ("cifar", "sampler") else {}  # these keep files of their own
    chosen = {k: piece for k, piece in ROWS[row](small, **where).items() if only in k}
    for name, compute in chosen.items():
        file = out / f"{row}-{name}{'-small' if small else ''}.json"
        if not file.exists():
            begin = time.perf_counter()
            result = compute()
            content = {
                "result": result, "seconds": round(time.perf_counter() - begin, 1),
                "machine": machine(), "torch": torch.__version__,
            }  # fmt: skip
            replace_file(file, json.dumps(content, indent=1) + "\n")
        pieces[name] = json.loads(file.read_text("utf-8"))["result"]
        print(name, json.dumps(pieces[name])[:400], flush=True)
    return pieces


def summary(row: str, pieces: dict[str, dict[str, Any]]) -> str:
    """What a row comes to, in a line or a few."""
    if row in ("planted", "tuned"):
        groups: dict[str, list[dict]] = {}
        for name, piece in pieces.items():
            if "right" not in piece:
                continue
            groups.setdefault(name.rpartition("-")[0], []).append(piece)
        return "\n".join(
            f"{name}: found {sum(r['right'] for r in rows)}/{len(rows)}, by the gates alone "
            f"{sum(r['right_by_gates'] for r in rows)}/{len(rows)}"
            for name, rows in groups.items()
        )
    if row == "targets":
        lines = []
        for name in ("off", "off_at_its_pace"):
            off = [abs(piece[name]) for piece in pieces.values()]
            lines.append(
                f"{name}: {sum(o <= 0.05 for o in off)} of {len(off)} within 5 %, {max(off):.3f}"
            )
        return "\n".join(lines)
    if row == "cifar":
        return compared(pieces)
    if row == "simulated":
        return "\n".join(
            f"{name}: {sum(o <= 0.05 for o in off)} of {len(off)} within 5 %, {max(off):.3f}"
            for name in dict.fromkeys(piece.rsplit("-", 2)[0] for piece in pieces)
            for off in [[abs(p["off"]) for n, p in pieces.items() if n.rsplit("-", 2)[0] == name]]
        )
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--out", type=Path, default=Path("runs/nas-rows"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="pieces with this text in their names")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(summary(options.row, run(options.row, options.out, options.small, options.only)))


if __name__ == "__main__":
    main()
