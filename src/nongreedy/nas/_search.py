"""The search: weights and gates together, an architecture on the budget, then ordinary training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from .._extras import needed
from ..errors import check_whole
from ..protocols import mix
from ._backends import Backend, Eager
from ._checkpoint import Checkpoint
from ._checks import check_asked, check_examples, check_target
from ._choosing import Choosing
from ._control import Averages
from ._data import Data, seed_step
from ._found import Found
from ._levels import Level, Validated
from ._machine import machine
from ._profile import profile
from ._progress import Clock, Progress, Watch, tenths
from ._state import State
from ._stopwatch import Stopwatch
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe, judge, recalibrated, redraw, train

_RECOUNTED = 20  # batches from which BatchNorm's statistics of the chosen network are counted


def search(
    network: SuperNet,
    train_data: Any,
    validation_data: Any,
    *,
    target: float,
    table: CostTable | None = None,
    backend: Backend | None = None,
    stopwatch: Stopwatch | None = None,
    recipe: Recipe | None = None,
    final: Recipe | None = None,
    level: Level | None = None,
    inherit: bool = True,
    judges: int = 1000,
    room: float = 0.05,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 10.0,
    watch: Watch | None = None,
) -> Found:
    r"""Find an architecture that meets a latency, and train it.

    .. math:: \min_t L_\mathrm{val}(w, s(t)) + \nu \ln R(s(t)), \qquad
        \nu \leftarrow \max(0, \nu + \rho (\ln R - \ln R_\mathrm{target}))

    Gates open and close on the way; how often each was open ranks the choices, the best set of them that
    costs between (1 - room) and 1 times the target is found exactly, and single choices are flipped
    while the validation loss with the shared weights falls. The network is then measured, the table
    corrected by that, and chosen again until its measured time is near the target.

    Args:
        network: From :func:`search_space`, :func:`searchable` or :class:`SuperNet`; its weights are trained.
        train_data: Two tensors or arrays, inputs and targets, or a map-style data set.
        validation_data: Likewise, other examples.
        target: In the table's unit: milliseconds unless you give a table of another.
        table: Costs; measured by :func:`profile` on this machine where there is none.
        backend: Where the network has to be fast; PyTorch on one thread by default.
        stopwatch: How times are taken.
        recipe: How the super-network is trained. Its steps are those of the search.
        final: How the chosen network is trained; None: as the super-network.
        level: :class:`Validated` by default, or :class:`Joint`, as published.
        inherit: Whether the chosen network begins with the shared weights, or with fresh ones.
        judges: Validation examples on which single choices are flipped.
        room: Share of the target that may be left unused.
        seed: Of every draw.
        checkpoint: A file from which the same call goes on, with the same bits.
        every: Seconds between two of its writings.
        watch: Called after each step with a :class:`Progress`.

    Returns:
        The architecture, the trained network, an ordinary module, and what was predicted and measured.

    Raises:
        ValueError: A target below the fastest network, a table of other options, a checkpoint of another
            search, weights that are not finite.
        DataError: Examples that do not fit the network.
        TypeError: An argument of another kind.
        DivergedError: A loss became non-finite, with its step.
        MissingExtraError: The extra ``wings`` is not installed.

    Source: arXiv:1904.02877; the price, the averages and the readout are this library's.

    Cannot: know the accuracy of a network before it is trained: losses with shared weights rank
    architectures, with noise.

    Example:
        >>> from nongreedy import nas
        >>> x = torch.randn(64, 1, 8, 8); y = (x.mean((1, 2, 3)) > 0).long()
        >>> net = nas.search_space(classes=2, in_channels=1, resolution=8, width=0.25, head=8,
        ...                        depth=(2, 0, 0, 0, 0))
        >>> found = nas.search(net, (x, y), (x, y), target=8e3, table=nas.parameters(net),
        ...                    recipe=nas.Recipe(steps=8, batch_size=16))
        >>> sum(p.numel() for p in found.network.parameters()) == found.predicted
        True
    """
    needed("A search of architectures", "scipy")
    check_asked(
        network, table=table, backend=backend, stopwatch=stopwatch, recipe=recipe, final=final, level=level
    )  # fmt: skip
    recipe, level, backend = recipe or Recipe(), level or Validated(), backend or Eager()
    final, stopwatch = final or recipe, stopwatch or Stopwatch()
    learn, held = Data.of(train_data, "train_data"), Data.of(validation_data, "validation_data")
    check_examples(network, recipe, train_data=learn, validation_data=held)
    check_whole("judges", judges)
    if not 0 < room < 1:
        raise ValueError(f"`room` must be between 0 and 1, but got {room!r}.")
    if network.space.size == 1:
        raise ValueError(
            "There is nothing to search: each layer has a single choice. Give kernels, expansions or "
            "squeezes of two or more, or layers that are skippable."
        )
    settings = {
        "network": network.fingerprint(), "input_shape": network.input_shape, "target": target,
        "seed": seed, "level": level.to_json(),
        "gate": network.gating.gate.to_json(), "recipe": recipe.to_json(), "final": final.to_json(),
        "backend": backend.to_json(), "inherit": inherit, "judges": judges, "room": room,
        "examples": [_sum(learn), _sum(held)], "table": table and table.to_json(),
    }  # fmt: skip
    kept = Checkpoint(Path(checkpoint) if checkpoint is not None else None, settings, every)
    table = _table(network, table, backend, stopwatch, kept)
    check_target(table, target)
    told = watch or (lambda row: None)
    state = _searched(network, table, learn, held, recipe, level, seed, target, kept, final, told)
    here = table.unit == "ms" and table.made_with.get("machine") == machine()
    choose = Choosing(state, target, room, held.first(judges, mix(seed, 1)), told)
    chosen = choose.kept(kept) or choose.best(backend, stopwatch if here else None, kept)
    plain = network.plain(chosen.architecture)
    if inherit:
        recalibrated(plain, learn, recipe.batch_size, _RECOUNTED, mix(seed, 2))
    else:
        redraw(plain, mix(seed, 3))
    clock = Clock(0, final.steps, 0)

    def on_step(step: int, content: Any) -> None:
        if kept.due() or step + 1 == final.steps:
            kept.keep("train", content())
        told(Progress("train", step + 1, final.steps, clock.left(step + 1)))

    before = kept.stages.get("train")
    train(plain, learn, final, seed=mix(seed, 4), on_step=on_step, state=before)
    loss, accuracy = judge(plain, held)
    return Found(
        chosen.architecture, plain, chosen.table, target, chosen.predicted, chosen.measured, loss,
        accuracy, state.spent + choose.readout.spent, final.steps, state.history,
        [row.tolist() for row in state.averages.values], choose.readout.losses, settings,
    )  # fmt: skip


def printed(row: Progress) -> None:
    """A :class:`Progress` as a line; about ten for each stage: ``watch=nas.printed``."""
    _line(row)


_line: Watch = tenths(lambda row: print(row, flush=True))


def _sum(data: Data) -> list[float]:
    return [float(data.inputs.double().sum()), float(data.targets.double().sum()), len(data)]


def _table(
    network: SuperNet,
    table: CostTable | None,
    backend: Backend,
    stopwatch: Stopwatch,
    kept: Checkpoint,
) -> CostTable:
    if table is not None:
        table.check(network)
        return table
    if "table" not in kept.stages:
        measured = profile(network, backend, stopwatch=stopwatch)
        kept.keep("table", measured.to_json())
        return measured
    return CostTable.from_json(kept.stages["table"])


def _searched(
    network: SuperNet,
    table: CostTable,
    learn: Data,
    held: Data,
    recipe: Recipe,
    level: Level,
    seed: int,
    target: float,
    kept: Checkpoint,
    final: Recipe,
    told: Watch,
) -> State:
    """Train weights and gates, from where the checkpoint is."""
    searching = max(1, round((1 - level.warm_up) * recipe.steps))
    decay = 1 - min(0.5, 5 / searching)
    state = State(
        network, table, learn, held, recipe, level.warm_up, level.price(target, searching), seed,
        recipe.steps, Averages(decay),
    )  # fmt: skip
    network.train()
    state.optimizers = level.optimizers(state)
    begin = 0
    if before := kept.stages.get("search"):
        begin = before["step"]
        state.restore(before["state"])
    clock = Clock(begin, recipe.steps, final.steps)
    with torch.random.fork_rng(devices=[]):
        for step in range(begin, recipe.steps):
            seed_step(seed, step)
            loss = level.step(state, step)
            last = step + 1 == recipe.steps
            if last or kept.due():
                kept.keep("search", {"step": step + 1, "state": state.to_state()})
            cost = state.cost_average if state.history else float("nan")
            left = clock.left(step + 1)
            told(Progress("search", step + 1, recipe.steps, left, loss, cost, state.price.value))
    return state
