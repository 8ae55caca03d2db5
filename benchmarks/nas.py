"""Architecture search, row by row of what it must show: ``python -m benchmarks.nas ROW [--out FOLDER]``.

Rows: ``banks`` (SP4, SP6, SP7), ``table`` (SP8), ``pixel`` (row 2), ``targets`` (row 3), ``cifar`` (row 4),
``planted`` (row 5), ``decoded`` (row 6). Every finished piece is a JSON file in the folder; a row that was
stopped goes on with what is missing, and ``--small`` runs it in miniature.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy import nas
from nongreedy.data import Compose, HorizontalFlip, RandomCrop
from nongreedy.nas._machine import machine
from nongreedy.protocols import generator, mix
from nongreedy.schedules._files import replace_file

from . import _nas_bank as bank
from . import _nas_planted as planted
from ._nas_pixel import PIXEL, pixel_table, totals

Piece = Callable[[], dict[str, Any]]
BACKENDS = {"eager": nas.Eager(), "onnx": nas.OnnxRuntime()}
# Of this process alone: other work on the machine moves it less.
WATCH = nas.Stopwatch(50, 10, time.process_time)
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


def table(small: bool) -> dict[str, Piece]:
    """SP8: 20 random networks, whose times the table has not seen."""
    depth, count = (1, 4) if small else (2, 20)

    def one(backend: nas.Backend, seed: int) -> dict[str, Any]:
        net = nas.search_space(classes=10, resolution=32, width=0.5, depth=depth)
        raw = nas.profile(net, backend, stopwatch=WATCH, calibrate=1)
        fitted = nas.profile(net, backend, stopwatch=WATCH)
        chosen = [net.space.random(generator(seed, 9, k)) for k in range(count)]
        times = nas.measure(
            [net.plain(each) for each in chosen], net.input_shape, backend, stopwatch=WATCH
        )
        ends = [fitted.total(each) for each in fitted.extremes()]
        errors = {
            name: nas.prediction_error(t, chosen, times)
            for name, t in {"raw": raw, "calibrated": fitted}.items()
        }
        return {**errors, "range_ms": ends, "load": os.getloadavg()[0]}

    seeds = range(1 if small else 3)
    return {
        f"{name}-{k}": lambda b=backend, k=k: one(b, k)
        for name, backend in BACKENDS.items()
        for k in seeds
    }


def pixel(small: bool) -> dict[str, Piece]:
    if not PIXEL.is_file():
        raise SystemExit(
            "Name the published table in NONGREEDY_PIXEL1: see benchmarks/_nas_pixel.py."
        )
    return {"totals": lambda: totals(pixel_table(PIXEL))}


def targets(small: bool) -> dict[str, Piece]:
    """Row 3: the time of the network that was found, measured again after the search."""

    def one(backend: nas.Backend, share: float, seed: int) -> dict[str, Any]:
        draw = generator(seed)
        x, y = torch.randn(256, 3, 32, 32, generator=draw), torch.randint(4, (256,), generator=draw)
        x += 0.3 * (y[:, None, None, None] - 1.5)
        net = nas.search_space(
            classes=4, resolution=32, width=0.5, depth=1 if small else 2, head=320, seed=seed
        )
        costs = nas.profile(net, backend, stopwatch=WATCH, seed=seed)
        low, high = (costs.total(each) for each in costs.extremes())
        target = low + share * (high - low)
        found = nas.search(
            net, (x, y), (x, y), target=target, table=costs, backend=backend, stopwatch=WATCH,
            recipe=nas.Recipe(8, 16), final=nas.Recipe(1), judges=16, seed=seed,
        )  # fmt: skip
        # Beside the extremes, in the same rounds: on a busy machine the pace changes, ratios do not.
        ends = found.table.extremes()
        again, *yard = nas.measure(
            [found.network, *(net.plain(each) for each in ends)],
            net.input_shape,
            backend,
            stopwatch=WATCH,
        )
        pace = sum(yard) / sum(found.table.total(each) for each in ends)
        return {
            "target": target, "predicted": found.predicted, "measured": found.measured,
            "measured_again": again, "pace": pace, "off": again / target - 1,
            "off_at_its_pace": again / pace / target - 1, "range": [low, high],
            "load": os.getloadavg()[0],
        }  # fmt: skip

    shares, seeds = ((0.5,), range(1)) if small else ((0.25, 0.5, 0.75), range(3))
    return {
        f"{name}-{share:g}-{seed}": lambda b=backend, s=share, k=seed: one(b, s, k)
        for name, backend in BACKENDS.items()
        for share in shares
        for seed in seeds
    }


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
    seeds, steps = (range(1), 60) if small else (range(10), 200)
    return {
        f"{kind}-{name}-{seed}": lambda k=kind, g=gate, v=level, s=seed: search(k, g, v, s, steps)
        for kind in planted.KINDS
        for name, (gate, level) in GATES.items()
        for seed in seeds
    }  # fmt: skip


def cifar(small: bool) -> dict[str, Piece]:
    """Row 4: the search, random search over architectures as slow, and the best uniform network.

    All get the same number of gradient steps: the search and the training of what it found; as many
    trainings of random architectures, or of uniform ones, of which the best on validation examples counts.
    """
    file = os.environ.get("NONGREEDY_CIFAR10", "")
    if not (file and Path(file).exists()):
        raise SystemExit("Name CIFAR-10 (a folder or zip of images) in NONGREEDY_CIFAR10.")
    seeds, steps, width = (range(1), 10, 0.25) if small else (range(3), 250, 0.25)
    caps = (200, 100, 200) if small else (5000, 1500, 5000)

    def one(seed: int) -> dict[str, Any]:
        names = ("train_examples", "validation_examples", "test_examples")
        splits = ng.data.load(file, seed=seed, **dict(zip(names, caps, strict=True)))
        net = nas.search_space(classes=10, resolution=32, width=width, depth=2, head=160, seed=seed)
        costs = nas.profile(net, stopwatch=WATCH)
        low, high = (costs.total(each) for each in costs.extremes())
        target = low + 0.5 * (high - low)
        recipe = nas.Recipe(steps, 64, augment=Compose(RandomCrop(4), HorizontalFlip()))
        begin = time.process_time()
        found = nas.search(
            net, splits.train, splits.validation, target=target, table=costs, stopwatch=WATCH,
            recipe=recipe, judges=500, seed=seed,
        )  # fmt: skip
        seconds = time.process_time() - begin
        trainings = (found.search_cost + found.final_cost) / steps
        most = max(target, found.table.total(found.architecture))
        rounds = range(round(trainings))
        randoms = [nas.random_at(found.table, 0.95 * most, most, mix(seed, 5, k)) for k in rounds]
        uniform = [each for each in net.space.uniform() if found.table.total(each) <= most]
        uniform = uniform or [found.table.extremes()[0]]
        others = {
            "random": [each for each in randoms if each is not None],
            "uniform": (uniform * len(rounds))[: len(rounds)],
        }
        rows = {"found": [_scores(found.network, splits)]}
        for name, chosen in others.items():
            rows[name] = []
            for k, each in enumerate(chosen):
                plain = net.plain(each)
                nas.redraw(plain, mix(seed, 6, k))
                nas.train(plain, splits.train, recipe, seed=mix(seed, 7, k))
                rows[name].append(_scores(plain, splits))
        best = {name: max(scores)[1] for name, scores in rows.items()}
        return {
            "test": best, "all": rows, "trainings": trainings, "search_trainings": found.search_cost / steps,
            "target": target, "predicted": found.predicted, "measured": found.measured,
            "architecture": str(found.architecture), "uniform": [str(each) for each in uniform],
            "search_seconds": seconds,
        }  # fmt: skip

    return {f"seed-{k}": lambda k=k: one(k) for k in seeds}


def _scores(network: torch.nn.Module, splits: ng.data.Splits) -> tuple[float, float]:
    """Accuracy on validation examples, by which is chosen, and on test examples, which are told."""
    return nas.judge(network, splits.validation)[1], nas.judge(network, splits.test)[1]


ROWS = {
    "banks": banks, "table": table, "pixel": pixel, "targets": targets, "cifar": cifar,
    "planted": planted_row, "decoded": decoded,
}  # fmt: skip


def run(row: str, out: Path, small: bool) -> dict[str, dict[str, Any]]:
    """Compute the pieces that are missing; all pieces of the row."""
    out.mkdir(parents=True, exist_ok=True)
    pieces = {}
    for name, compute in ROWS[row](small).items():
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
    if row == "planted":
        groups: dict[str, list[dict]] = {}
        for name, piece in pieces.items():
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
        lines = []
        for name in ("found", "random", "uniform"):
            scores = [100 * piece["test"][name] for piece in pieces.values()]
            error = (
                statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
            )
            lines.append(f"{name}: {statistics.fmean(scores):.2f} +- {error:.2f} %")
        return "\n".join(lines)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--out", type=Path, default=Path("runs/nas-rows"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(summary(options.row, run(options.row, options.out, options.small)))


if __name__ == "__main__":
    main()
