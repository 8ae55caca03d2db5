"""Moves that need no derivative, tried by plain runs on common seeds."""

from ._line_search import Lengths, LineSearch, Point
from ._moves import COOLED, Hyperparameters, exchange, ramp, regularize, tail, traded

_EXCHANGE = Lengths(first=0.5, longest=1.0, shortest=0.5, dear=True)
_REGULARIZE = Lengths(first=1.0, longest=2.0, shortest=1.0)
_RAMP = Lengths(first=0.5, longest=2.0, shortest=0.5)
_TAIL = Lengths(first=0.5, longest=2.0, shortest=0.25, dear=True)


def finite(
    hyperparameters: Hyperparameters, search: LineSearch, base: Point
) -> tuple[Point, list[str], bool]:
    """Moves that need no derivative: the best point, what helped, and whether the ramp did."""
    best, notes = base, []
    for sign, verb in ((1, "raised"), (-1, "lowered")):
        move = exchange(base.schedule, hyperparameters, sign)
        best, length = search.along(best, move, _EXCHANGE)
        if length:
            notes.append(
                f"{traded(hyperparameters)} {verb} by {length:g} decades for learning rate"
            )
            break
    best, length = search.along(best, regularize(best.schedule, hyperparameters), _REGULARIZE)
    if length:
        notes.append(f"weight decay raised by {length:g} outer steps")
    best, cooled = search.along(best, ramp(best.schedule, hyperparameters), _RAMP)
    if cooled:
        notes.append(f"cooled by {cooled:g} decades towards the end")
    return best, notes, cooled > 0


def cooled_tail(
    hyperparameters: Hyperparameters, search: LineSearch, base: Point, narrowest: float
) -> tuple[Point, list[str]]:
    """The last half of the last automatic window, or else its last quarter, cooled by itself: the
    best point, and what helped."""
    for share in (0.5, 0.25):
        move = tail(base.schedule, hyperparameters, share, narrowest)
        best, length = search.along(base, move, _TAIL)
        if length:
            count = len(best.schedule[COOLED])
            return best, [f"the last of {count} windows cooled by {length:g} decades"]
    return base, []
