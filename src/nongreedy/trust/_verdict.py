"""The verdict on a hypergradient, in words, and what to change."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping

from ..statistics import Sharing, Signal
from ._measured import Measured

CHAOTIC_GROWTH = (
    100.0  # of adjoints: a change of the weights by 1 % would come out as large as they
)
SUSPECT_GROWTH = 10.0  # leaving a saddle does that, too; chaotic only where the step is also rough
_ROUGH = 0.5  # metasmoothness: weights that make up a quarter of the movement turn back
_FAILURES = 2  # that are quoted
_COMMON = 0.5  # correlation: half of the noise is shared by all steps


class Verdict(enum.Enum):
    """Whether a hypergradient is worth following; the value is a help text."""

    trustworthy = (
        "Most coefficients' hypergradients stand out of the noise between seeds, and nothing that was "
        "measured speaks against following them."
    )
    noisy = (
        "Most coefficients' hypergradients do not stand out of the noise between seeds. Near the best "
        "schedule that is as it should be: there they are zero. Elsewhere use more seeds, wider "
        "windows, or a larger validation set."
    )
    chaotic = (
        "Training is chaotic here: small changes are amplified until they decide where it ends, and a "
        "derivative says nothing about the loss a finite step away. Lower the learning rate, or its "
        "upper bound; a warm-up, clipping or normalization also helps. More seeds do not."
    )


def judge(trust: Measured) -> Verdict:
    """Chaotic if a run or sweep diverged, or adjoints grew a hundredfold, or tenfold where the step is
    rough, too; noisy if fewer than half of the coefficients, each hyperparameter counting the same,
    are clear."""
    if trust.failures or _grown(trust):
        return Verdict.chaotic
    clear = [float(signal.clear.double().mean()) for signal in trust.signals.values()]
    return Verdict.trustworthy if sum(clear) >= len(clear) / 2 else Verdict.noisy


def _grown(trust: Measured) -> bool:
    if trust.growth is None:
        return False
    return trust.growth.overall > (SUSPECT_GROWTH if _rough(trust) else CHAOTIC_GROWTH)


def _rough(trust: Measured) -> bool:
    return trust.smoothness is not None and trust.smoothness.metasmoothness < _ROUGH


def advise(trust: Measured) -> list[str]:
    """What to change, with the numbers at hand; nothing where nothing is amiss."""
    advice, verdict = _calm(trust), judge(trust)
    if verdict is Verdict.noisy:
        advice += _quieten(trust.signals, trust.seeds)
    if verdict is not Verdict.chaotic:
        for name, sharing in trust.sharing.items():
            advice += _windows(name, sharing, len(trust.signals[name].mean))
    return advice


def _calm(trust: Measured) -> list[str]:
    advice = list(dict.fromkeys(trust.failures))[:_FAILURES]
    if len(trust.failures) > len(advice):
        every = len(trust.failures) + trust.seeds
        advice.append(f"and so on: {len(trust.failures)} of {every} seeds diverged.")
    if _grown(trust) and trust.growth is not None:
        rate = math.expm1(trust.growth.rate)
        advice.append(
            f"adjoints grow {trust.growth.overall:.1e} times, by {rate:.1%} per step: lower the learning "
            "rate."
        )
    if _rough(trust) and trust.smoothness is not None:
        smooth = trust.smoothness
        advice.append(
            f"{smooth.step:g} outer steps on, the weights do not move on as they began (metasmoothness "
            f"{smooth.metasmoothness:.2f}): take shorter outer steps, or lower the learning rate."
        )
    return advice


def _quieten(signals: Mapping[str, Signal], seeds: int) -> list[str]:
    advice = []
    for name, signal in signals.items():
        needed = signal.seeds_for()
        if float(signal.clear.double().mean()) >= 0.5 or not seeds < needed:
            continue
        many = f"about {math.ceil(needed)} seeds" if needed < 1000 else "more than 1000 seeds"
        advice.append(f"{name}: at this noise, {many} would make half of its values stand out.")
    return advice


def _windows(name: str, sharing: Sharing, size: int) -> list[str]:
    """Wider windows, or what wider windows cannot mend."""
    advice = []
    if sharing.windows < size:
        advice.append(
            f"{name}: its {size} windows are narrower than {sharing.best:.0f} steps; with "
            f"{sharing.windows}, per-step hypergradients would have the least error."
        )
    if sharing.correlation > _COMMON:
        advice.append(
            f"{name}: {sharing.correlation:.0%} of the noise is common to all steps, which no sharing "
            "averages away: more seeds, or a larger validation set."
        )
    return advice
