"""Optimizers with everything learned that they can learn, at values where all of it matters."""

from __future__ import annotations

from typing import Any

from ..optimizers import SGD, Adagrad, Adam, AdamW, Grouped, Lion, Muon, Optimizer, RMSprop
from ..schedules import Constant, Linear, PerStep, Windows

# Name -> clipping. The bounds are such that some coordinates and steps are clipped and some are not.
CLIPPINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clip_value": {"clip_value": 0.06},
    "clip_norm": {"clip_norm": 0.63},
    "both": {"clip_value": 0.06, "clip_norm": 0.26},
}

# Name -> one basis for each hyperparameter of SGD.
BASES: dict[str, dict[str, Any]] = {
    "windows": {
        "learning_rate": Windows(3, initial=(0.3, 0.4, 0.2)),
        "momentum": Windows(2, initial=(0.5, 0.3)),
        "weight_decay": Windows(4, initial=(0.01, 0.02, 0.005, 0.03)),
    },
    "linear": {
        "learning_rate": Linear(3, initial=(0.1, 0.4, 0.2)),
        "momentum": Linear(2, initial=(0.6, 0.2)),
        "weight_decay": Linear(2, initial=(0.01, 0.04)),
    },
    "per_step": {
        "learning_rate": PerStep(initial=[0.3, 0.25, 0.4, 0.2, 0.1]),
        "momentum": Constant(initial=0.4),
        "weight_decay": 0.01,
    },
    "constant": {
        "learning_rate": Constant(initial=0.3),
        "momentum": Constant(initial=0.5),
        "weight_decay": Constant(initial=0.02),
    },
}

_DECAY: dict[str, Any] = {"weight_decay": BASES["windows"]["weight_decay"]}
_MOMENTUM: dict[str, Any] = {"momentum": BASES["windows"]["momentum"]}
_RATES: dict[str, Any] = {"learning_rate": Windows(3, initial=(0.05, 0.1, 0.08))}
_BETAS: dict[str, Any] = {
    "beta1": Windows(2, initial=(0.8, 0.6)),
    "beta2": Linear(2, initial=(0.95, 0.9)),
}
_EPSILON: dict[str, Any] = {"epsilon": Constant(initial=0.03)}
_SMOOTHING: dict[str, Any] = {"smoothing": Windows(2, initial=(0.9, 0.7))}
_ADAM_RATE: dict[str, Any] = {"adam_learning_rate": Constant(initial=0.2)}

# Name -> optimizer. The rows of the table.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(**BASES["windows"]),
    "nesterov": SGD(**_RATES, **_MOMENTUM, **_DECAY, nesterov=True),
    # By norm: of the many kinks of clipped coordinates, differences would step across some.
    "dampened_clipped": SGD(**_RATES, **_MOMENTUM, **_DECAY, dampening=0.4, clip_norm=0.6),
    "adam": Adam(**_RATES, **_BETAS, **_EPSILON, **_DECAY),
    "adamw": AdamW(**_RATES, **_BETAS, **_EPSILON, **_DECAY),
    "rmsprop": RMSprop(**_RATES, **_MOMENTUM, **_EPSILON, **_DECAY, **_SMOOTHING),
    "adagrad": Adagrad(**_RATES, **_EPSILON, **_DECAY),
    "muon": Muon(**_RATES, **_MOMENTUM, **_BETAS, **_EPSILON, **_DECAY, **_ADAM_RATE),
    "grouped": Grouped(
        AdamW(**_RATES, **_BETAS, **_EPSILON, **_DECAY),
        {
            "vectors": {
                "learning_rate": Linear(2, initial=(0.02, 0.06)),
                "weight_decay": Constant(initial=0.003),
            }
        },
    ),
    # Betas at which no coordinate of the table's runs is close to changing its sign.
    "lion": Lion(**_RATES, **_DECAY, beta1=Windows(2, initial=(0.7, 0.5)), beta2=_BETAS["beta2"]),
}
