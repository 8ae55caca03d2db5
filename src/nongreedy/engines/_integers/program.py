"""The steps of reversible optimizers as lists of operations, each with an exact inverse.

A step is: gradient at the parameters; gather it into the moments; move the parameters by the moments.
Undoing it: move back; the gradient, at what are now the old parameters; take it out of the moments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...optimizers import SGD, Adam, AdamW, Optimizer, safe_sqrt
from .factor import DecoupledDecay, Factor, Retention


@dataclass(frozen=True)
class Reading:
    """What a formula may see of a step, all float64."""

    slots: Callable[[int], Tensor]
    values: Mapping[str, Tensor]
    gradient: Tensor | None  # clipped; None once the parameters have moved

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    @property
    def decayed(self) -> Tensor:
        """The gradient with coupled weight decay."""
        return self.raw + self["weight_decay"] * self.slots(0)

    @property
    def raw(self) -> Tensor:
        """The gradient."""
        assert self.gradient is not None
        return self.gradient


Formula = Callable[[Reading], Tensor]


@dataclass(frozen=True)
class Scale:
    """Multiply a slot by a factor."""

    slot: int
    factor: Factor


@dataclass(frozen=True)
class Shift:
    """Add to a slot an amount that does not depend on this slot."""

    slot: int
    amount: Formula


Operation = Scale | Shift


@dataclass(frozen=True)
class Program:
    """One optimizer's step."""

    slots: Sequence[str]  # names, in the state's order
    gather: Sequence[Operation]  # may read the gradient, and leave slot 0 alone
    move: Sequence[Operation]  # come after them, and may not
    # Slot that holds a mean of squares -> of what. Its format fits the first of them.
    squares: Mapping[int, Formula] = field(default_factory=dict)
    # Settings of the optimizer without which its step has no inverse.
    needs: Mapping[str, object] = field(default_factory=dict)

    @property
    def scales(self) -> list[Scale]:
        """Its multiplications, in order."""
        return [op for op in (*self.gather, *self.move) if isinstance(op, Scale)]


def _against_velocity(x: Reading) -> Tensor:
    return -x["learning_rate"] * x.slots(1)


def _against_moments(x: Reading) -> Tensor:
    size = safe_sqrt(x.slots(2)) / (1 - x["beta2"] ** x["step"]).sqrt() + x["epsilon"]
    return -x["learning_rate"] / (1 - x["beta1"] ** x["step"]) * x.slots(1) / size


def _moments(gradient: Formula) -> tuple[Operation, ...]:
    """Adam's running mean of the gradient and of its square."""
    return (
        Scale(1, Retention("beta1")),
        Shift(1, lambda x: (1 - x["beta1"]) * gradient(x)),
        Scale(2, Retention("beta2", fine=True)),
        Shift(2, lambda x: (1 - x["beta2"]) * gradient(x).square()),
    )


_MOMENTS = "parameters", "first moment", "second moment"

PROGRAMS: dict[type[Optimizer], Program] = {
    SGD: Program(
        slots=("parameters", "velocity"),
        gather=(Scale(1, Retention("momentum")), Shift(1, lambda x: x.decayed)),
        move=(Shift(0, _against_velocity),),
        needs={"nesterov": False, "dampening": 0.0},
    ),
    Adam: Program(
        slots=_MOMENTS,
        gather=_moments(lambda x: x.decayed),
        move=(Shift(0, _against_moments),),
        squares={2: lambda x: x.decayed},
    ),
    AdamW: Program(
        slots=_MOMENTS,
        gather=_moments(lambda x: x.raw),
        move=(Scale(0, DecoupledDecay("decoupled weight decay")), Shift(0, _against_moments)),
        squares={2: lambda x: x.raw},
    ),
}


def program_for(optimizer: Optimizer) -> Program:
    """The optimizer's program.

    Raises:
        ValueError: It has none; the message says what to use instead.
    """
    kind, instead = type(optimizer), "Use Reverse(store='checkpoint'), which takes every optimizer"
    program = PROGRAMS.get(kind)
    if optimizer.average is not None:
        raise ValueError(
            f"Reversible cannot undo a step of a running average, {optimizer.average!r}. {instead}, or "
            "leave the average out."
        )
    if program is None:
        names = ", ".join(known.__name__ for known in PROGRAMS)
        raise ValueError(
            f"Reversible cannot undo a step of {kind.__name__}. {instead}, or {names}."
        )
    for name, needed in program.needs.items():
        setting = getattr(optimizer, name)
        if setting != needed:
            raise ValueError(
                f"Reversible cannot undo a step of {kind.__name__} with {name}={setting!r}. "
                f"{instead}, or {name}={needed!r}."
            )
    return program
