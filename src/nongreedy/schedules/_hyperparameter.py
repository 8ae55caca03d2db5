"""A hyperparameter: its name, its basis, its first values, its bounds and its coordinate."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import nearest_name
from ._basis import Basis, Constant
from ._gradient_free import GradientFree
from ._value import Value


@dataclass(frozen=True)
class Transform:
    """A smooth one-to-one coordinate: `forward` to it, `inverse` back, `slope` = d value / d it."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    domain: tuple[float, float] = (-math.inf, math.inf)


_FAR = 1e4  # times the upper bound of a search, a fixed value is told of

_LN10 = math.log(10.0)

# Logarithms to base ten, so that an outer step of 1 is a decade.
TRANSFORMS: dict[str | None, Transform] = {
    None: Transform(lambda v: v, lambda c: c, torch.ones_like),
    "log": Transform(torch.log10, lambda c: 10**c, lambda v: v * _LN10, (0.0, math.inf)),
    "log1m": Transform(
        lambda v: -torch.log10(1 - v),
        lambda c: 1 - 10**-c,
        lambda v: (1 - v) * _LN10,
        (-math.inf, 1.0),
    ),
    "logit": Transform(torch.logit, torch.sigmoid, lambda v: v * (1 - v), (0.0, 1.0)),
}


@dataclass(frozen=True)
class Default:
    """What holds for a hyperparameter of some name where its basis leaves a field open.

    The rows of :attr:`Optimizer.learnable`, and of an outer rule's ``defaults``, which go before.

    Args:
        initial: Where its search begins, in its own units.
        bounds: ``(lowest, highest)``, both allowed values, inside what `transform` is defined on.
        transform: Coordinate in which it moves: ``"log"``, ``"log1m"``, ``"logit"`` or None, as of a
            :class:`Basis`.
        outer_step: First outer step, in units of that coordinate; positive.

    Example:
        >>> Default(initial=1e-3, bounds=(1e-8, 10.0), transform="log", outer_step=1.0).outer_step
        1.0
    """

    initial: float
    bounds: tuple[float, float]
    transform: str | None
    outer_step: float


@dataclass(frozen=True)
class Hyperparameter(Value):
    """One learned or fixed hyperparameter, every field settled.

    `initial` holds one float64 per coefficient, in the hyperparameter's own units; `outer_step` is
    in units of the coordinate `transform`; `owner` is ``"optimizer"`` or ``"task"``. It is `learned` where
    hypergradients move it, and `free` where it moves without.
    """

    name: str
    basis: Basis
    initial: Tensor
    bounds: tuple[float, float]
    transform: str | None
    outer_step: float
    learned: bool = True
    owner: str = "optimizer"

    @property
    def free(self) -> bool:
        return isinstance(self.basis, GradientFree)

    def to_coordinate(self, values: Tensor) -> Tensor:
        """Values in their own units -> coordinates of the outer rule."""
        return TRANSFORMS[self.transform].forward(values)

    def to_value(self, coordinates: Tensor) -> Tensor:
        """Coordinates of the outer rule -> values in their own units, within the bounds."""
        return self.clip(TRANSFORMS[self.transform].inverse(coordinates))

    def gradient_in_coordinate(self, values: Tensor, gradient: Tensor) -> Tensor:
        """The chain rule: derivative with respect to the coordinate, at `values`."""
        return gradient * TRANSFORMS[self.transform].slope(values)

    def blocked(self, values: Tensor, gradient: Tensor) -> Tensor:
        """Where values rest on a bound that a step against the gradient would leave."""
        low, high = self.bounds
        return ((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0))

    def clip(self, values: Tensor) -> Tensor:
        """The nearest values within the bounds, whole where they must be."""
        whole = isinstance(self.basis, GradientFree) and self.basis.integer
        return (values.round() if whole else values).clamp(*self.bounds)


def resolve(
    name: str, basis: Basis | float, default: Default, steps: int | None = None
) -> Hyperparameter:
    """Settle every field of a hyperparameter and check it.

    Raises:
        ValueError: Bounds out of order, an initial value outside them, a wrong number of initial
            values, a coordinate undefined on the bounds, or more coefficients than steps.
    """
    if not isinstance(basis, Basis):
        return _fixed(name, basis, default)
    transform = default.transform if basis.transform == "default" else basis.transform
    if transform not in TRANSFORMS:
        raise ValueError(
            f"{name} has transform={transform!r}."
            + nearest_name(str(transform), [str(key) for key in TRANSFORMS])
        )
    bounds = _checked_bounds(name, basis.bounds or default.bounds, transform)
    step = default.outer_step if basis.outer_step is None else float(basis.outer_step)
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(f"{name} has outer_step={step!r}; it must be a positive finite number.")
    if steps is not None:
        basis.check(steps, name)
    initial = default.initial if basis.initial is None else basis.initial
    values = _initial_values(name, initial, basis, steps)
    _check_within(name, values, bounds, transform)
    hypergradients = not isinstance(basis, GradientFree)
    return Hyperparameter(name, basis, values, bounds, transform, step, hypergradients)


def _fixed(name: str, value: float, default: Default) -> Hyperparameter:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(
            f"{name} must be a number (then it is fixed) or a schedule such as Windows(4) (then it "
            f"is learned), but got {value!r}."
        )
    value = float(value)
    _check_meaning(name, value, default)
    initial = torch.tensor([value], dtype=torch.float64)
    bounds, step = (value, value), default.outer_step
    return Hyperparameter(name, Constant(), initial, bounds, None, step, learned=False)


def _check_meaning(name: str, value: float, default: Default) -> None:
    """A fixed number may lie outside the bounds of a search, but not where it would mean nothing."""
    least, most = TRANSFORMS[default.transform].domain
    least = 0.0 if default.bounds[0] >= 0 else least
    if not least <= value < most:
        where = f"in [{least:g}, {most:g})" if most < math.inf else f"at least {least:g}"
        raise ValueError(f"{name} must be {where}, but got {value:g}.")
    highest = default.bounds[1]
    if most == math.inf and value > _FAR * highest:
        warnings.warn(
            f"{name} is fixed at {value:g}, {value / highest:g} times the highest that a search tries "
            f"({highest:g}). Is it meant?",
            stacklevel=2,
        )


def _checked_bounds(
    name: str, bounds: tuple[float, float], transform: str | None
) -> tuple[float, float]:
    low, high = (float(bound) for bound in bounds)
    if not low < high:
        raise ValueError(f"{name} has bounds {bounds}: the lower must be less than the upper.")
    least, most = TRANSFORMS[transform].domain
    # The ends of a domain are at infinity in its coordinate.
    if (low <= least and least > -math.inf) or (high >= most and most < math.inf):
        raise ValueError(
            f"{name} has bounds {bounds}, where the coordinate {transform!r} is not defined. "
            "Narrow the bounds, or pass transform=None."
        )
    return low, high


def _initial_values(name: str, initial: object, basis: Basis, steps: int | None) -> Tensor:
    values = torch.as_tensor(initial, dtype=torch.float64, device="cpu").reshape(-1)
    size = basis.size(steps if steps is not None else max(len(values), 1))
    if len(values) == 1:
        values = values.expand(size).clone()
    if len(values) != size:
        raise ValueError(
            f"{name} has {len(values)} initial values for {size} coefficients ({basis!r}). "
            "Give one number, or one per coefficient."
        )
    return values


def _check_within(
    name: str, values: Tensor, bounds: tuple[float, float], transform: str | None
) -> None:
    outside = (values < bounds[0]) | (values > bounds[1]) | ~values.isfinite()
    if not outside.any():
        return
    value, (least, most) = values[outside][0].item(), TRANSFORMS[transform].domain
    if value in (least, most):
        raise ValueError(
            f"{name} starts at {value:g}, where its coordinate {transform!r} is not defined. Move "
            f"`initial` inside the bounds {bounds}. Or tune with outer='paper', which moves the "
            "values themselves. Or pass transform=None, and `bounds` that hold it."
        )
    raise ValueError(
        f"{name} starts at {value:g}, outside its bounds {bounds}. Move `initial`, or widen `bounds`."
    )


def resolve_raw(given: Mapping[str, Basis | float], defaults: Mapping[str, Default]) -> None:
    """Check a table of hyperparameters before an outer rule has chosen coordinates.

    Its rule may move the values themselves, from 0, where a default coordinate has no 0.
    """
    for name, value in given.items():
        row, chosen = defaults[name], isinstance(value, Basis) and value.transform != "default"
        low, high = row.bounds
        keep = chosen or not isinstance(value, Basis)
        raw = row if keep else replace(row, transform=None, bounds=(min(low, 0.0), high))
        resolve(name, value, raw)


def resolve_all(
    given: Mapping[str, Basis | float],
    defaults: Mapping[str, Default],
    steps: int | None = None,
    overrides: Mapping[str, Default] | None = None,
) -> dict[str, Hyperparameter]:
    """Settle a table of hyperparameters; `overrides` (an outer rule's) go before `defaults`."""
    table = {**defaults, **{k: v for k, v in (overrides or {}).items() if k in defaults}}
    return {name: resolve(name, value, table[name], steps) for name, value in given.items()}


def free(hyperparameters: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
    """Those that are searched without derivatives."""
    return {name: h for name, h in hyperparameters.items() if h.free}


def learned(hyperparameters: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
    """Those that move."""
    return {name: h for name, h in hyperparameters.items() if h.learned}
