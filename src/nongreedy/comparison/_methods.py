"""The methods that are compared, by name. Joining means adding a row."""

from collections.abc import Iterable, Mapping

from ..engines import Problem
from ..errors import check_number, nearest_name
from ._black_box import GAUSSIAN, BlackBox, cut, stretched, whole
from ._from_practice import FromPractice
from ._method import Method
from ._online import HypergradientDescent
from ._ours import AGREEMENT, DEFAULT, PAPER, RECIPE
from ._peaks import TunedPeak, constant, cosine, linear, one_cycle
from ._plain_runs import PlainPeak
from ._prodigy import ProdigyRuns
from ._ranges import PaperRanges, Ranges
from ._schedule_free import ScheduleFreeRuns
from ._tail_average import TailAverageRuns

_CUT = "TPE, runs cut by Hyperband at a 27th, a ninth, a third"
_STRETCHED = "as BOHB: TPE, Hyperband over runs of a 27th, a ninth, a third, all of the steps"
_TPE = "tree-structured Parzen estimator"
_SAMPLERS = {
    "random": ("random search", "RandomSampler", whole),
    "tpe": (_TPE, "TPESampler", whole),
    "tpe-hyperband": (_CUT, "TPESampler", cut),
    "bohb": (_STRETCHED, "TPESampler", stretched),
    "gp": ("Gaussian process", GAUSSIAN, whole),
}


def _black_boxes(
    names: str, suffix: str, words: str, ranges: Ranges, kind: type[BlackBox] = BlackBox
) -> dict[str, Method]:
    found = {}
    for name in names.split():
        summary, sampler, fidelity = _SAMPLERS[name]
        found[name + suffix] = kind(summary + words, sampler, ranges, fidelity)
    return found


METHODS: dict[str, Method] = {
    "default": DEFAULT,
    "recipe": RECIPE,
    "agreement": AGREEMENT,
    "paper": PAPER,
    **_black_boxes("random tpe tpe-hyperband bohb gp", "", "", Ranges()),
    **_black_boxes(
        "random tpe tpe-hyperband bohb", "-paper-ranges", ", the paper's ranges", PaperRanges()
    ),
    **_black_boxes(
        "tpe gp bohb", "-practice", ", around a falling schedule, its peak bracketed", Ranges(),
        FromPractice,
    ),
    "hypergradient-descent": HypergradientDescent(
        "one-step hypergradients during the run; start and outer rate tuned by TPE"
    ),
    "cosine": TunedPeak("half a cosine, its peak tuned", cosine),
    "linear": TunedPeak("a straight line to nothing, its peak tuned", linear),
    "constant": TunedPeak("a constant learning rate, tuned", constant),
    "one-cycle": TunedPeak("one cycle, its peak tuned", one_cycle),
    "constant-average": PlainPeak(
        "a constant learning rate, tuned; weights averaged over the last quarter",
        TailAverageRuns(), constant,
    ),
    "schedule-free": PlainPeak(
        "schedule-free SGD or AdamW, its learning rate tuned", ScheduleFreeRuns(), constant
    ),
    "prodigy": PlainPeak("Prodigy, half a cosine, its coefficient tuned", ProdigyRuns(), cosine),
}  # fmt: skip


def settled(
    methods: str | Iterable[str] | Mapping[str, Method], problem: Problem, budget: float
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that take part, and why others do not.

    Raises:
        ValueError: An unknown name, a method asked for by name that cannot take part, no method, or a
            budget that is too small for one of them.
    """
    chosen = _chosen(methods)
    reasons = {name: method.refused(problem) for name, method in chosen.items()}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    if skipped and methods != "all":
        name, reason = next(iter(skipped.items()))
        raise ValueError(f"{name!r} cannot take part: {reason}. Leave it out of `methods`.")
    taking = {name: method for name, method in chosen.items() if name not in skipped}
    if not taking:
        raise ValueError(f"No method to compare: `methods` is {methods!r}.")
    check_number("budget", budget, " It is in plain runs.", zero=True)
    needs = {name: method.least(problem) for name, method in taking.items()}
    short = {name: need for name, need in needs.items() if not budget >= need}
    if short:
        listed = ", ".join(f"{name} ({need:.3g})" for name, need in short.items())
        raise ValueError(
            f"`budget` is {budget!r} plain runs, too small for: {listed}. All methods have the same: "
            f"raise it to {max(short.values()):.3g}, or leave these out of `methods`."
        )
    return taking, skipped


def _chosen(methods: str | Iterable[str] | Mapping[str, Method]) -> dict[str, Method]:
    if isinstance(methods, Mapping):
        return dict(methods)
    if isinstance(methods, str):
        methods = METHODS if methods == "all" else [methods]
    chosen = {}
    for name in methods:
        if name not in METHODS:
            raise ValueError(f"Unknown method {name!r}." + nearest_name(str(name), METHODS))
        chosen[name] = METHODS[name]
    return chosen
