"""The README's picture: a search from a far start, of a perceptron on handwritten digits.

    python -m experiments.readme

learns from a learning rate of 1e-3 and no momentum, in a minute or two on one thread, and writes
docs/schedule.png. The search is kept in a study, so that a second call only draws.
"""

import argparse

import torch

import nongreedy as ng
from nongreedy.reports import schedule_figure

EPOCHS, OUTER_STEPS, SEEDS, BATCH_SIZE = 6, 6, 6, 64
OPTIMIZER = ng.SGD(learning_rate=ng.Linear(5), momentum=ng.Windows(1), weight_decay=ng.Windows(1))


def task() -> ng.Task:
    """A perceptron and the digits of scikit-learn."""
    splits = ng.data.load("digits")
    shape = tuple(splits.train[0].shape[1:])
    model = ng.models.build("mlp", shape, len(splits.classes))
    loss = torch.nn.functional.cross_entropy
    return ng.Task(model, loss, splits.train, splits.validation, batch_size=BATCH_SIZE)


def main() -> None:
    """Search, or read what was found, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="runs/readme.db")
    parser.add_argument("--out", default="docs/schedule.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = ng.tune(
        task(), OPTIMIZER, epochs=EPOCHS, outer="agreement", outer_steps=OUTER_STEPS, seeds=SEEDS,
        study=options.study,
    )  # fmt: skip
    print(result)
    figure = schedule_figure(result.schedule, result.history, result.settings["steps"])
    figure.savefig(options.out, dpi=200)


if __name__ == "__main__":
    main()
