"""``nongreedy nas``: an architecture that meets a latency on this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nongreedy as ng

from ._exit import INTERRUPTED, Mistake, reported, uninterrupted
from ._names import TABLES

if TYPE_CHECKING:
    from nongreedy import nas
    from nongreedy.search.progress._screen import Screen

DATA, CHECKPOINT = "digits", "nas.ckpt"
# Of networks for images so large at least: factor on channels, layers per group, channels of the head.
SIZES = (
    (128, 1.0, (4, 4, 4, 4, 4), 1280),
    (24, 0.5, (2, 2, 2, 2, 2), 320),
    (4, 0.25, (2, 2, 0, 0, 0), 64),
)


def nas_command(
    data: Annotated[
        str | None, typer.Option(help="Data set by name, or a path to one.", show_default=DATA)
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            help="What the network may take for one example on this machine.",
            show_default="half way between the fastest and the slowest",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="Where it has to be fast: eager or onnx.")] = "eager",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads that it will have.")] = 1,
    width: Annotated[
        float | None, typer.Option(help="Factor on all channels.", show_default="by image size")
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(help="Layers of the five groups, such as 2,2,2,2,2.", show_default="likewise"),
    ] = None,
    squeeze: Annotated[bool, typer.Option(help="Search squeeze-and-excitation, too.")] = False,
    steps: Annotated[int, typer.Option(min=4, help="Gradient steps of the search.")] = 300,
    final_steps: Annotated[
        int | None, typer.Option(min=1, help="Of the training after it.", show_default="as many")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Examples per step.")] = 64,
    rivals: Annotated[
        int, typer.Option(min=0, help="Random architectures, as slow, that are trained alike.")
    ] = 2,
    table: Annotated[
        Path | None, typer.Option(help="A table of costs to use instead of measuring one.")
    ] = None,
    train_examples: Annotated[
        int | None, typer.Option(min=1, help="Use only this many training examples.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for the results.")] = Path("runs/nas"),
) -> None:
    """Search an architecture that meets a latency here, and train it.

    Example: nongreedy nas --data cifar10.zip --latency-ms 5. Writes nas.html, nas.json, nas.png,
    table.json, and the network as model.pt, model.py and model.onnx to --out. The same command goes on
    where it was stopped. The network is that of the paper; for one of your own there is
    nongreedy.nas.searchable in Python.
    """
    asked = {k: str(v) if isinstance(v, Path) else v for k, v in locals().items() if v is not None}
    with reported():
        import torch

        from nongreedy import nas
        from nongreedy.search.progress._screen import Screen

        from . import _output

        _output.prepare(out)
        backends = {"eager": nas.Eager, "onnx": nas.OnnxRuntime}
        if backend not in backends:
            raise Mistake(f"--backend takes {' or '.join(backends)}, but got {backend!r}.")
        torch.set_num_threads(1 if data in (None, DATA) else torch.get_num_threads())
        if (data or DATA).lower().endswith(TABLES):
            raise Mistake(f"The networks are for images of classes, but {data!r} is a table.")
        splits = ng.data.load(data or DATA, train_examples=train_examples)
        network = _network(splits, width, depth, squeeze, seed)
        screen, started = Screen(), time.perf_counter()
        where = backends[backend](threads)
        try:
            where.versions()
        except ModuleNotFoundError as error:
            raise Mistake(str(error)) from error
        costs = _costs(network, where, table, out, screen)
        low, high = (costs.total(each) for each in costs.extremes())
        target = latency_ms if latency_ms is not None else (low + high) / 2
        screen.say(
            f"{splits.name}: {network.space.size:,} architectures of {len(network.space)} layers, "
            f"{low:.3g} to {high:.3g} {costs.unit}; target {target:.3g}."
        )
        recipe = nas.Recipe(steps, batch_size)
        last = nas.Recipe(final_steps or steps, batch_size)
        try:
            found = nas.search(
                network, splits.train, splits.validation, target=target, table=costs, backend=where,
                recipe=recipe, final=last, seed=seed, checkpoint=out / CHECKPOINT, watch=_watch(screen),
            )  # fmt: skip
        except KeyboardInterrupt:
            screen.say("Interrupted: the same command goes on from the last checkpoint.")
            raise typer.Exit(INTERRUPTED) from None
        rows = nas.rivals(
            network, found, splits.train, splits.validation, last, trained=rivals, seed=seed
        )
        with uninterrupted():
            files = _write(found, rows, asked, out)
        screen.say(_summary(found, splits, files, time.perf_counter() - started))


def _network(
    splits: Any, width: float | None, depth: str | None, squeeze: bool, seed: int
) -> nas.SuperNet:
    from nongreedy import nas

    if splits.train[0].dim() != 4 or not splits.classes:
        what = "real targets" if splits.train[0].dim() == 4 else "rows of numbers"
        raise Mistake(f"The networks are for images of classes, but {splits.name} has {what}.")
    channels, height, across = splits.train[0].shape[1:]
    if height != across:
        raise Mistake(f"Images must be square, but these are {height}x{across} pixels.")
    _, factor, depths, head = next((row for row in SIZES if height >= row[0]), SIZES[-1])
    if depth is not None:
        parts = depth.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise Mistake(f"--depth takes numbers joined by commas, but got {depth!r}.")
        depths = tuple(int(part) for part in parts)
        depths = depths * 5 if len(depths) == 1 else depths
    return nas.search_space(
        classes=len(splits.classes), in_channels=channels, resolution=height,
        width=factor if width is None else width, depth=depths, head=head, seed=seed,
        squeezes=(False, True) if squeeze else (False,),
    )  # fmt: skip


def _costs(
    network: nas.SuperNet, backend: nas.Backend, table: Path | None, out: Path, screen: Screen
) -> nas.CostTable:
    """The table that is named, or the one of an earlier run here, or a new one."""
    from nongreedy import nas

    mine = out / "table.json"
    if table is not None:
        return nas.CostTable.load(table)
    if mine.exists():
        kept = nas.CostTable.load(mine)
        same = kept.made_with.get("backend") == json.loads(json.dumps(backend.to_json()))
        if kept.fingerprint == network.fingerprint() and same:
            return kept
    screen.say("Measuring what every choice of every layer costs.")
    costs = nas.profile(network, backend)
    costs.save(mine)
    return costs


def _watch(screen: Screen) -> nas.Watch:
    from nongreedy import nas

    return nas.tenths(lambda row: screen.say(f"  {row}"))


def _write(found: nas.Found, rows: list, asked: dict[str, Any], out: Path) -> list[Path]:
    from nongreedy.nas._page import image, page
    from nongreedy.schedules._drawing._matplotlib import write_figure
    from nongreedy.schedules._files import plain, replace_file

    files = found.save(out)
    content = {**found.to_json(), "rivals": [row.to_json() for row in rows], "command": asked}
    text = json.dumps(plain(content), indent=1, allow_nan=False, default=str)
    replace_file(out / "nas.json", text + "\n")
    write_figure(image(found, rows), out / "nas.png", 140)
    replace_file(out / "nas.html", page(found, rows, asked))
    return [*files, out / "nas.png", out / "nas.html"]


def _summary(found: nas.Found, splits: Any, files: list[Path], seconds: float) -> str:
    from nongreedy import nas
    from nongreedy.search._words import duration

    test = ""
    if splits.test is not None:
        test = f", test accuracy {100 * nas.judge(found.network, splits.test)[1]:.2f} %"
    places = "\n".join(f"  {file.as_posix()}" for file in files)
    layers = f"Layers, k their kernel and e their expansion: {found}{test}"
    return f"{layers}\nWritten:\n{places}\nIt took {duration(seconds)}."
