"""What a verification compares with differences: the derivatives of both losses, where training has led
to after its first steps."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ..errors import DivergedError
from ..task._data_plan import generator
from ._closeness import along, closest, drawn, relative, scaled
from ._examination import Check, Examination
from ._linearized import Linearized
from ._run import at

# Widths of differences, relative to the size of the weights: the first is right for what is smooth, the
# second crosses fewer kinks, the others see through code that computes in float32 inside.
_WIDTHS = (1e-6, 1e-8, 1e-9, 1e-4, 1e-3)
_COARSE = (1e-2, 3e-3, 1e-3, 3e-4)  # in float32, where kinks may leave nothing that settles
_WIDE = (1e-3, 1e-4, 1e-6)  # of the task's hyperparameters, which may be small coefficients
_DIRECTIONS = 2  # where the first disagrees at every width, by kinks perhaps
# How far aside the second direction begins, for what may lie on a kink: an angle of 0 between pixels, the
# bias of a unit that was never alive, which is 0 still.
_ASIDE = 0.03


# A function of a width, and what its derivative at 0 is told to be, projected on a vector.
Compared = tuple[Callable[[float], Tensor], Callable[[Tensor], float]]


class Derivatives:
    """Of the losses of an examined task, at the weights where its first steps ended.

    Attributes:
        point: The training gradient there with its graph, once it was asked for.
        undecided: What no difference could tell in float32.
    """

    def __init__(self, examination: Examination):
        self.task, self.run, self.values = examination.task, examination.run, examination.values
        self.steps, self.count, self.learned = (
            examination.steps, examination.count, examination.learned
        )  # fmt: skip
        self.dtype, self.fine = examination.dtype, examination.fine
        self._theta, start = examination.states[-1][0], examination.states[0][0]
        _, gradient = self.run.gradient(
            self._theta, self.count - 1, at(self.values, self.count - 1)
        )
        self._gradient, self._moving = gradient, (self._theta != start) | (gradient != 0)
        self.point: Linearized | None = None
        self.undecided = list[str]()

    def all(self) -> Iterator[Check]:
        """Every comparison, the cheapest first."""
        yield from self.start()
        yield from self.gradient()
        yield from self.judging()
        yield from self.slope()

    @property
    def _widths(self) -> tuple[float, ...]:
        return _WIDTHS if self.fine else _COARSE

    def gradient(self) -> Iterator[Check]:
        """What is differentiated is the run's gradient, and its derivatives those of differences."""
        t, values = self.count - 1, at(self.values, self.count - 1)
        point = self.run.linearize(self._theta, t, values, self._own)
        # Two kernels of one function (hardsigmoid has a constant of 8 digits), in the precision of
        # what they compute in, such as autocast's.
        self.point, limit = point, 1e-7 if self.fine else max(1e-3, 8 * point.coarse)
        yield Check(
            "the gradient that is differentiated is the run's",
            relative(point.gradient.detach(), self._gradient), limit,
            "The training gradient is another one where its derivative is recorded.",
        )  # fmt: skip

        def by_weights(source: torch.Generator, aside: float) -> Compared:
            direction = self._direction(source)
            here = self._theta + aside * direction
            there = self.run.linearize(here, t, values, self._own) if aside else point

            def shifted(by: float) -> Tensor:
                return self.run.gradient(here + by * direction, t, values)[1]

            return shifted, lambda probe: float(there.pull_back(probe, keep=True)[0] @ direction)

        yield from self._compared(
            "the gradient's derivative", self._vector_errors(77, by_weights),
            "The derivative of the training gradient, which hypergradients rest on, is not that of its "
            "differences: {:.2g} apart, in a random direction.",
        )  # fmt: skip
        for name in self._own:

            def by_own(source: torch.Generator, aside: float, name: str = name) -> Compared:
                moved = scaled(values[name], source)
                here = {**values, name: values[name] + aside * moved}
                there = self.run.linearize(self._theta, t, here, self._own) if aside else point

                def shifted(by: float) -> Tensor:
                    return self.run.gradient(
                        self._theta, t, {**here, name: here[name] + by * moved}
                    )[1]

                return shifted, lambda probe: along(
                    there.pull_back(probe, keep=True)[1][name], moved
                )

            yield from self._compared(
                f"the gradient's derivative by {name!r}",
                self._vector_errors(80, by_own, self._gradient),
                f"The derivative of the training gradient by {name!r} is not that of its differences: "
                "{:.2g} apart, in a random direction.",
            )  # fmt: skip

    def start(self) -> Iterator[Check]:
        """The first weights, by the task's hyperparameters."""
        values = at(self.values, 0)
        for name in self._own if self.task.initialize is not None else ():

            def by_own(source: torch.Generator, aside: float, name: str = name) -> Compared:
                moved = scaled(values[name], source)
                here = {**values, name: values[name] + aside * moved}

                def shifted(by: float) -> Tensor:
                    changed = {**here, name: here[name] + by * moved}
                    return self.run.initial_parameters(changed).detach()

                def told(probe: Tensor) -> float:
                    return along(self.run.pull_back_initial(probe, here, [name])[name], moved)

                return shifted, told

            yield from self._compared(
                f"the first weights' derivative by {name!r}",
                self._vector_errors(81, by_own, self._theta),
                f"The derivative of the first weights by {name!r} is not that of their differences: "
                "{:.2g} apart, in a random direction.",
            )  # fmt: skip

    @functools.cached_property
    def _own(self) -> list[str]:
        """What is learned of the task itself."""
        return [name for name in self.learned if name in self.task.learnable]

    def _compared(
        self, what: str, errors: Iterable[tuple[float, float]], failure: str
    ) -> Iterator[Check]:
        """The least error; in float32 nothing where differences of no two widths agree."""
        limit = 1e-4 if self.fine else 5e-2
        worst, doubt = closest(errors, limit)
        if worst > limit and doubt > limit and not self.fine:
            self.undecided.append(f"{what} could not be told from rounding and kinks")
            return
        yield Check(f"{what} equals a difference", worst, limit, failure.format(worst))

    def _vector_errors(
        self,
        stream: int,
        begin: Callable[[torch.Generator, float], Compared],
        rounded: Tensor | None = None,
    ) -> Iterator[tuple[float, float]]:
        """Of a derivative in random directions, projected on a random vector.

        Args:
            begin: source, how far aside -> the function of a width, and what its derivative is told to be.
            rounded: What the function's values are as large as, where their rounding is allowed for: a
                coefficient of 1e-6 moves a gradient by little. Then widths are wide, or all would pass.
        """
        widths = self._widths if rounded is None or not self.fine else _WIDE
        last = dict[int, Tensor]()  # by direction
        for number, width in itertools.product(range(_DIRECTIONS), widths):
            source = generator(number, stream)
            shifted, told = begin(source, _ASIDE * number)
            slope = (shifted(width) - shifted(-width)) / (2 * width)
            probe = self._probe(slope, source)
            size = float((probe * slope).norm()) or 1.0
            moves = probe * (slope - last[number]) if number in last else math.inf * probe
            last[number], slack = slope, 0.0
            if rounded is not None:
                slack = 64 * torch.finfo(self.dtype).eps / width * float((probe * rounded).norm())
            error = abs(told(probe) - float(probe @ slope))
            yield max(error - slack, 0.0) / size, float(moves.norm()) / size

    def _direction(self, source: torch.Generator) -> Tensor:
        """Random, as large as the weights of each parameter, among the weights that training moves.

        What never moves, such as the row of an embedding that pads, need not have a derivative.
        """
        parts = self.run.module.unflatten_real(self._theta)
        return self._moving * torch.cat([scaled(part, source).reshape(-1) for part in parts])

    def _probe(self, slope: Tensor, source: torch.Generator) -> Tensor:
        """Random, weighting each parameter's part of `slope` alike, unless that is rounding."""
        least, rows = 1e-4 * float(slope.norm()) or 1.0, list[Tensor]()
        for part in self.run.module.unflatten_real(slope):
            rows.append(drawn(part, source) / max(float(part.norm()), least))
        return torch.cat(rows)

    @functools.cached_property
    def _some(self) -> Tensor:
        """As many validation examples as a training batch has."""
        return torch.arange(min(self.task.validation.count, max(self.task.batch_size, 8)))

    def judging(self) -> Iterator[Check]:
        """The validation loss, whatever the order of its examples."""
        if not math.isfinite(loss := self._judge(self._some)):
            raise DivergedError("validation loss", self.count, self.steps)
        mixed = self._some[torch.randperm(len(self._some), generator=generator(0, 78))]
        other, limit = self._judge(mixed), 1e-9 if self.fine else 1e-4
        yield Check(
            "the validation loss does not depend on the order",
            abs(other - loss) / (1 + abs(loss)), limit,
            f"The validation loss of {len(mixed)} examples is {loss:.9g} in one order and {other:.9g} in "
            "another: which schedule is best would depend on how the data are sorted. Make the "
            "loss a mean or a sum over examples, and draw nothing when judging.",
            "",
        )  # fmt: skip
        told = self.run.outer_gradient(self._theta, self._some)[0].loss
        yield Check(
            "the loss that is judged is the one differentiated",
            abs(told - loss) / (1 + abs(loss)), limit,
            f"The validation loss is {loss:.9g} where it is judged and {told:.9g} where it is "
            "differentiated.",
        )  # fmt: skip

    def _judge(self, chosen: Tensor, theta: Tensor | None = None) -> float:
        theta = self._theta if theta is None else theta
        return self.run.outer_loss(theta, chosen).loss

    def slope(self) -> Iterator[Check]:
        """The gradient of the validation loss."""
        yield from self._compared(
            "the validation loss's derivative", self._slope_errors(),
            "The derivative of the validation loss is not that of its differences: {:.2g} apart, in a "
            "random direction.",
        )  # fmt: skip

    def _slope_errors(self) -> Iterator[tuple[float, float]]:
        for number in range(_DIRECTIONS):
            last, direction = math.inf, self._direction(generator(number, 79))
            here = self._theta + _ASIDE * number * direction
            _, gradient = self.run.outer_gradient(here, self._some)
            for width in self._widths:
                high, low = (self._judge(self._some, here + s * width * direction) for s in (1, -1))
                told, found = float(gradient @ direction), (high - low) / (2 * width)
                size = float((gradient * direction).norm()) or 1.0
                rounding = 8 * torch.finfo(self.dtype).eps * abs(high) / width
                moves, last = abs(found - last), found
                yield max(abs(told - found) - rounding, 0.0) / size, moves / size
