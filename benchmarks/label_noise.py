"""Weights of examples learned by a small network (Meta-Weight-Net) where labels are flipped.

    python -m benchmarks.label_noise

A replica in small of EvoGrad's study (arXiv:2106.10575): 2,000 MNIST images at 14 x 14, of whose
labels 40 % are moved to one other class, 200 clean images to learn by, 800 steps of an MLP
196-100-10 at the paper's settings of the base network. All rows of one seed share data, batches,
initialization and these settings; they differ in the weighting alone. Test accuracy chooses nothing:
the best epoch is printed because the original study's tables are said to owe much to it.

A network that knows nothing yet asks V-Net for more weight on high losses. Its weights, which only
count relative to their batch's sum, may then all saturate at one, where V-Net has no slope left; its
own weight decay, a setting of the paper, brings it back.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines._run import at
from nongreedy.training._online_values import OnlineValues

from . import mnist

STEPS, EPOCH, TRAIN, CLEAN, SHARE, HIDDEN = 800, 20, 2000, 200, 0.4, 100
DECAY = 5e-4  # of both networks, as in the paper
BASE = ng.SGD(0.1, momentum=0.9, weight_decay=DECAY, nesterov=True)

Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Method:
    """How a network is trained.

    Attributes:
        weighted: Whether V-Net weighs the examples, or all count the same.
        engine: What moves V-Net; None freezes it.
        rate, decay: Of its Adam.
    """

    weighted: bool = True
    engine: ng.Greedy | ng.EvoGrad | None = None
    rate: float = 0.01
    decay: float = DECAY

    @property
    def outer_optimizer(self) -> Callable[..., torch.optim.Optimizer]:
        """Adam from parameter groups."""
        return functools.partial(torch.optim.Adam, weight_decay=self.decay)


def drawn(copies: int, **settings: object) -> ng.EvoGrad:
    """EvoGrad as in the paper, in Meta-Weight-Net's order."""
    return ng.EvoGrad(
        ng.engines.Rademacher(copies=copies),
        order="before",
        batch=100,
        execution="together",
        **settings,
    )


# T1-T2: each step that was taken, momentum and all, is judged by the next clean batch.
ONE_STEP = ng.Greedy(batch=100)
METHODS = {
    "plain cross entropy": Method(weighted=False),
    "frozen V-Net": Method(),
    "T1-T2, Adam 1e-2": Method(engine=ONE_STEP),
    "T1-T2, Adam 1e-2, V-Net without weight decay": Method(engine=ONE_STEP, decay=0.0),
    "EvoGrad along the validation gradient, Adam 1e-2": Method(
        engine=ng.EvoGrad(order="before", batch=100, execution="together")
    ),
    "EvoGrad, K = 2, Adam 1e-3": Method(engine=drawn(2), rate=1e-3),
    "EvoGrad, K = 2, Adam 1e-2": Method(engine=drawn(2)),
    "EvoGrad, K = 8, Adam 1e-2": Method(engine=drawn(8)),
}


# ---- The task ----------------------------------------------------------------------------------------


def v_net(seed: int) -> dict[str, ng.Variable]:
    """V-Net 1-100-1, drawn as ``nn.Linear`` draws its own."""
    source = torch.Generator().manual_seed(seed)

    def uniform(bound: float, *shape: int) -> ng.Variable:
        return ng.Variable(initial=bound * (2 * torch.rand(*shape, generator=source) - 1))

    return {
        "first": uniform(1.0, HIDDEN),
        "first_bias": uniform(1.0, HIDDEN),
        "second": uniform(HIDDEN**-0.5, HIDDEN),
        "second_bias": uniform(HIDDEN**-0.5, 1),
    }


def reweighted(output: Tensor, target: Tensor, hypers: ng.Hypers) -> Tensor:
    """Losses weighed by V-Net, which sees each of them; the weights of a batch sum to one."""
    losses = functional.cross_entropy(output, target, reduction="none")
    hidden = (losses.detach()[:, None] * hypers["first"] + hypers["first_bias"]).relu()
    weights = (hidden @ hypers["second"] + hypers["second_bias"]).sigmoid()
    return (weights * losses).sum() / weights.sum()


def network() -> nn.Module:
    """MLP 196-100-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(196, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


def flipped(labels: Tensor, seed: int) -> Tensor:
    """A share of the labels, each class's moved to one other class."""
    source = torch.Generator().manual_seed(seed)
    other = (torch.arange(10) + torch.randint(1, 10, (10,), generator=source)) % 10
    wrong = torch.rand(len(labels), generator=source) < SHARE
    return torch.where(wrong, other[labels], labels)


def make_task(data: Data, seed: int, weighted: bool = True) -> tuple[ng.Task, Data]:
    """The task, and its test images: all that neither training nor V-Net sees."""
    images, labels = functional.avg_pool2d(data[0], 2), data[1]
    order = mnist.shuffled(labels, seed)
    per_class = [order[labels[order] == kind][: CLEAN // 10] for kind in range(10)]
    clean = torch.cat(per_class)
    rest = order[~torch.isin(order, clean)]
    train, test = rest[:TRAIN], rest[TRAIN:]
    own = {"loss": reweighted, "hyperparameters": v_net(seed)} if weighted else {}
    task = ng.Task(
        **{"model": network, "loss": functional.cross_entropy, **own},
        train=(images[train], flipped(labels[train], seed)),
        validation=(images[clean], labels[clean]),
        validation_loss=functional.cross_entropy,
        batch_size=100,
    )
    return task, (images[test], labels[test])


# ---- The study ---------------------------------------------------------------------------------------


def accuracies(data: Data, method: Method, seed: int) -> list[float]:
    """Test accuracy after each epoch.

    The loop of ``train_online``, written out because that one has no test data to look at.
    """
    task, (images, labels) = make_task(data, seed, method.weighted)
    run, own, found = ng.Run(task, BASE, STEPS, seed), task.hyperparameters(STEPS), []
    fixed = run.values(ng.Schedule.initial({**BASE.hyperparameters(STEPS), **own}))
    present = OnlineValues(own, method.rate, method.outer_optimizer) if method.engine else None
    sensitivity = method.engine.sensitivity(run, list(own)) if method.engine else None
    probes = method.engine.probes(run) if method.engine else None

    def now(t: int) -> dict[str, Tensor]:
        moved = {n: v.to(run.dtype) for n, v in present.now.items()} if present else {}
        return {**at(fixed, t), **moved}

    state = run.initial(now(0))
    with run.isolated():
        for t in range(STEPS):
            if sensitivity is None:
                state, _ = run.step(state, now(t), t)
            else:
                first = method.engine.probes_before
                if first:
                    present.move(sensitivity.probe(probes, state, now(t), t)[1])
                state = sensitivity.advance(state, now(t), t)
                if not first and t + 1 < STEPS:
                    present.move(sensitivity.probe(probes, state, now(t), t)[1])
            if (t + 1) % EPOCH == 0:
                with torch.no_grad():
                    right = run.module(state[0], images, False).argmax(1) == labels
                found.append(right.float().mean().item())
    return found


def table(data: Data, seeds: range) -> None:
    """Markdown: every method's test accuracy, as it is found."""
    print("| weights | last epoch | each seed | best epoch | gain, last epoch | s per run |")
    print("|---|---|---|---|---|---|")
    plain: list[float] = []
    for name, method in METHODS.items():
        begin = time.perf_counter()
        curves = [accuracies(data, method, seed) for seed in seeds]
        seconds = (time.perf_counter() - begin) / len(seeds)
        last, best = [curve[-1] for curve in curves], [max(curve) for curve in curves]
        plain = plain or last
        gains = [a - b for a, b in zip(last, plain, strict=True)]
        each = ", ".join(f"{value:.3f}" for value in last)
        print(
            f"| {name} | {mnist.mean_and_deviation(last, digits=3)} | {each} | "
            f"{mnist.mean_and_deviation(best, digits=3)} | {sum(gains) / len(gains):+.3f} | "
            f"{seconds:.1f} |",
            flush=True,
        )


def cosines(data: Data, copies: int | None, draws: int) -> list[float]:
    """Of EvoGrad's hypergradient with T1-T2 at first parameters; None is along the validation gradient."""
    task, _ = make_task(data, seed=0)
    run, own, found = ng.Run(task, BASE, draws), task.hyperparameters(draws), []
    values = run.values(ng.Schedule.initial({**BASE.hyperparameters(draws), **own}))
    engine = drawn(copies) if copies else ng.EvoGrad(batch=100, execution="together")
    state, sensitivity = run.initial(at(values, 0)), engine.sensitivity(run, list(own))
    with run.isolated():
        for t in range(draws):
            now, probes = at(values, t), engine.probes(run)
            _, direction = probes.gradient(state[0], t)
            _, exact = run.linearize(state[0], t, now, list(own)).pull_back(-direction)
            _, estimate = sensitivity.probe(probes, state, now, t)
            pair = [
                torch.cat([part[n].double().reshape(-1) for n in own]) for part in (estimate, exact)
            ]
            found.append(torch.cosine_similarity(*pair, dim=0).item())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=mnist.FOLDER)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = mnist.read(options.data)
    table(data, range(options.seeds))
    print("\n| copies | cosine with T1-T2, mean over 40 draws |\n|---|---|")
    for copies in (2, 8, 32, 128, None):
        mean = sum(cosines(data, copies, draws=40)) / 40
        print(f"| {copies or 'along the validation gradient'} | {mean:.3f} |", flush=True)


if __name__ == "__main__":
    main()
