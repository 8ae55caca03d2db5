"""Learned schedules against hand-tuned ones for AdamW: a character-level transformer.

Learning rate (5 windows; or 5 values joined by straight lines), beta1 and weight decay are learned from
a poor start: a learning rate of 1e-5, a beta1 of 0.5 and hardly any weight decay. Every piece of work
(one search, one baseline) is one line of a JSON-lines file, so that a killed benchmark goes on where it
stopped.

    python -m benchmarks.text --out results/text.db
    python -m benchmarks.text --out results/text.db --table

Everything is judged by plain ``torch.optim.AdamW`` runs on the same five seeds, on a piece of the
text that no search sees. The best baseline is the one of least *test* loss, which favours it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

import torch

import nongreedy as ng

from ._pieces import Progress, arguments, done, table

STEPS, BATCH_SIZE, CONTEXT, BUDGET = 300, 16, 64, 140.0
OUTER_SEEDS = (0, 1)
OPTIMIZER = ng.AdamW(
    learning_rate=ng.Windows(5, initial=1e-5),
    beta1=ng.Windows(1, initial=0.5),
    weight_decay=ng.Windows(1),
)
# What a search learns, by its key.
SEARCHES = {
    "default": OPTIMIZER,
    "default, straight lines": replace(OPTIMIZER, learning_rate=ng.Linear(5, initial=1e-5)),
}
PEAKS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
# beta2 and weight decay of the baselines; the searches leave beta2 at AdamW's 0.999.
SETTINGS = ((0.999, 0.1), (0.999, 0.01), (0.95, 0.1))


def make_task(data: Path) -> ng.Task:
    """Predict the next character; 85% of the text to train on, 5% to validate, 10% to test."""
    text = data.read_text(encoding="utf-8")
    splits = ng.data.characters(text, context=CONTEXT, validation=0.05, test=0.1)
    return ng.Task(
        functools.partial(ng.models.CharTransformer, len(splits.classes), CONTEXT),
        torch.nn.functional.cross_entropy,
        splits.train,
        splits.validation,
        splits.test,
        batch_size=BATCH_SIZE,
    )


def cosine(peak: float, beta2: float, weight_decay: float) -> ng.Schedule:
    """The hand-tuned baseline: up in a straight line for a tenth of the run, down in half a cosine."""
    warm = STEPS // 10
    up = [peak * (step + 1) / warm for step in range(warm)]
    down = [
        peak * (1 + math.cos(math.pi * step / (STEPS - warm))) / 2 for step in range(STEPS - warm)
    ]
    return ng.Schedule.of(
        learning_rate=up + down, beta1=0.9, beta2=beta2, weight_decay=weight_decay
    )


def work() -> list[str]:
    """Keys of all pieces, the outer seed last; one search and the baselines, which make a first
    table, come first."""
    first, *others = (f"{name}|{seed}" for name in SEARCHES for seed in OUTER_SEEDS)
    baselines = [
        f"cosine, peak {peak:g}, beta2 {beta2:g}, weight decay {weight_decay:g}|0"
        for beta2, weight_decay in SETTINGS
        for peak in PEAKS
    ]
    return [first, "start|0", *baselines, *others]


def baseline(key: str) -> ng.Schedule:
    """The schedule that a key names: where the searches start, or a hand-tuned one."""
    kind, *parameters = key.partition("|")[0].split(", ")
    if kind == "start":
        return ng.Schedule.initial(OPTIMIZER.hyperparameters(STEPS))
    return cosine(*(float(parameter.split()[-1]) for parameter in parameters))


def find(task: ng.Task, key: str, budget: float) -> ng.Result | ng.Schedule:
    """The schedule of a piece of work: searched for, or made."""
    name, _, seed = key.rpartition("|")
    if name not in SEARCHES:
        return baseline(key)
    return ng.tune(
        task,
        SEARCHES[name],
        steps=STEPS,
        outer_steps=30,
        seed=int(seed),
        budget=budget,
        callbacks=[Progress()],
    )


def outer_steps(study: ng.Study) -> str:
    """Markdown: what each outer step of each search came to."""
    lines = []
    for key, row in study.notes().items():
        if "history" not in row:
            continue
        lines += [
            f"\n{key}:\n",
            "| outer step | validation loss | plain runs spent | learning rate | beta1 "
            "| weight decay | what happened |",
            "|---|---|---|---|---|---|---|",
        ]
        for step in row["history"]:
            values = " | ".join(
                ", ".join(f"{value:.2g}" for value in step["values"][name])
                for name in ("learning_rate", "beta1", "weight_decay")
            )
            loss = step["validation_loss"]  # None where the step's runs diverged
            lines.append(
                f"| {step['index']} | {'diverged' if loss is None else f'{loss:.4f}'} "
                f"| {step['cost']:.0f} | {values} | {step['note']} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = arguments(
        __doc__.splitlines()[0], "../shared/data/tinyshakespeare.txt", "results/text.db"
    )
    options = parser.parse_args()
    task = functools.cache(lambda: make_task(options.data))

    def judge(schedule: ng.Schedule, seed: int) -> float | None:
        return ng.retrain(task(), schedule, steps=STEPS, seed=seed, optimizer=OPTIMIZER).test_loss

    study = done(options, work(), lambda key: find(task(), key, options.budget or BUDGET), judge)
    print(table(study, "test loss (nats per character)", scale=1, digits=4))
    print(outer_steps(study))


if __name__ == "__main__":
    main()
