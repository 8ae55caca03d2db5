"""A case: a network, a loss, data, an optimizer and an engine, all drawn from one seed."""

import random
from dataclasses import dataclass, replace
from functools import partial

import torch

import nongreedy as ng

from ..verdict import Training, Verdict, verdict
from .losses import LOSSES, Judged
from .network import INPUTS, LAYERS, Network

# The last one for SGD only: it rounds Adam's moments to 2^-52, which is divided by epsilon where a
# parameter has (nearly) no gradient, so that its run is another one by up to 1e-7 of the loss.
ENGINES: dict[str, ng.Engine] = {
    "reverse": ng.Reverse("device"),
    "checkpoint": ng.Reverse("checkpoint"),
    "forward": ng.Forward(),
    "reversible": ng.Reversible(),
}


def _in_turn(names: list[str], seed: int) -> str:
    """The name whose turn it is: before one comes again, all others have come."""
    turn, place = divmod(seed, len(names))
    return random.Random(f"turn {turn}").sample(sorted(names), len(names))[place]


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    seed: int
    layers: tuple[str, ...]
    loss: str
    rule: type[ng.Optimizer]
    values: dict[str, list[float]]
    engine: str
    steps: int
    examples: int
    batch: int
    instance: bool  # whether the task is given a network, not a function that makes one

    @classmethod
    def of(cls, seed: int) -> "Case":
        """The case of a seed. Its first layer and its loss go round, the rest is chance."""
        draw = random.Random(seed)
        ready = sorted(name for name in LAYERS if not name.startswith("Lazy"))
        more = draw.choices(ready, k=draw.choice([0, 1, 1, 2]))
        layers = (_in_turn(list(LAYERS), seed), *more)
        rule = draw.choice([ng.SGD, ng.Adam])
        sparse = "Embedding sparse" in layers  # torch.optim has for it neither Adam nor decay
        rule = ng.SGD if sparse else rule

        def pair(low: float, high: float) -> list[float]:
            # Three digits: the fractions that a reversible run rounds to.
            return [round(draw.uniform(low, high), 3) for _ in range(2)]

        if rule is ng.SGD:
            values = {"learning_rate": pair(0.01, 0.05), "momentum": pair(0.3, 0.8)}
        else:
            values = {"learning_rate": pair(0.003, 0.02), "beta1": pair(0.5, 0.9)}
        return cls(
            seed,
            layers,
            _in_turn(list(LOSSES), seed),
            rule,
            values if sparse else {**values, "weight_decay": pair(0.01, 0.1)},
            draw.choice([name for name in ENGINES if rule is ng.SGD or name != "reversible"]),
            draw.randint(4, 6),
            draw.randint(12, 24),
            draw.randint(4, 8),
            draw.random() < 0.5,
        )

    @classmethod
    def of_part(cls, name: str) -> "Case":
        """One layer or one loss, with plain ones around it."""
        case = replace(
            cls.of(0), rule=ng.SGD, values={"learning_rate": [0.03, 0.02], "momentum": [0.5, 0.4]}
        )
        parts = {"loss": name} if name in LOSSES else {"loss": "MSELoss", "layers": (name,)}
        return replace(case, **{"layers": ("Tanh",), "engine": "reverse", **parts})

    def task(self) -> ng.Task:
        """The same at every call."""
        draw, loss = torch.Generator().manual_seed(self.seed), LOSSES[self.loss]

        def examples(count: int):
            inputs = torch.randn(count, INPUTS, generator=draw, dtype=torch.float64)
            return inputs, loss.targets(count, draw)

        make = partial(Network, self.layers, loss.outputs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model, judge = make() if self.instance else make, Judged(self.loss)
        return ng.Task(model, judge, examples(self.examples), examples(12), batch_size=self.batch)

    def verdict(self) -> Verdict:
        """What becomes of it."""
        training = Training(self.task, self.rule, self.values, self.steps, self.seed)
        return verdict(training, ENGINES[self.engine])

    def __str__(self) -> str:
        what = f"{' > '.join(self.layers)} | {self.loss} | {self.rule.__name__}, {self.engine}"
        return f"{self.seed}: {what}"
