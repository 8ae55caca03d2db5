"""The contract of an optimizer: a pure update of the flat state."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from ..schedules import Basis, Default, Hyperparameter, Setting, TimeBasis, Value
from ..schedules._hyperparameter import resolve_all, resolve_raw
from ._average import Average, checked_average
from ._mistakes import refuse_unknown

Values = Mapping[str, Tensor]
Names = Collection[str]
# Names and shapes of the parameters, in the order of the flat vector.
Layout = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Optimizer(Value, abc.ABC):
    """An inner optimizer as pure functions of tensors. Leaves are frozen dataclasses.

    The state has shape ``(slots, P)``; slot 0 holds the flat parameters. A number of the state that
    belongs to no parameter (a product, a norm) fills a slot with equal entries; treated entry by
    entry, like the others, it is right in groups, too. Everything that happens after the raw gradient
    (clipping, decay, momentum) lives in `update`, so that engines need one Hessian-vector product of
    the raw loss and one derivative of `update`. A root that may be taken at zero is a `safe_sqrt`.

    Args:
        clip_value: Clip each gradient coordinate to [-clip_value, clip_value].
        clip_norm: Then scale the whole gradient to at most this Euclidean norm.
        average: Judge and keep an average of the weights, :class:`TailAverage`,
            :class:`ExponentialAverage` or :class:`ScheduleFreeAverage`, instead of the last ones; None
            is these. In a run the optimizer has two or three more slots for it.

    .. code-block:: bibtex
        :caption: if clip_norm is not None

        @inproceedings{pascanu2013difficulty,
          author    = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
          title     = {On the Difficulty of Training Recurrent Neural Networks},
          booktitle = {Proceedings of the 30th International Conference on Machine Learning},
          year      = {2013}, eprint = {1211.5063}, archivePrefix = {arXiv}
        }

    Class attributes:
        slots: Number of flat vectors in the state.
        learnable: Name of a field -> default initial value, bounds and coordinate.
        torch_settings: Name of a field -> what it sets in the groups of its twin, as in
            :meth:`Schedule.attach`; of those that are neither known there nor called the same.

    Raises:
        TypeError: An `average` that is none.
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.
    """

    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    average: Average | None = field(default=None, kw_only=True)

    slots: ClassVar[int]
    learnable: ClassVar[Mapping[str, Default]]
    torch_settings: ClassVar[Mapping[str, Setting]] = {}

    def __new__(cls, *positional: Any, **settings: Any) -> Self:
        """Refuses torch's names of settings by ours, before Python refuses them by theirs."""
        refuse_unknown(cls, settings)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("clip_value", "clip_norm"):
            bound = getattr(self, name)
            if bound is not None and not bound > 0:
                raise ValueError(f"`{name}` must be positive or None, but got {bound!r}.")
        if self.average is not None:
            checked_average(self.average, type(self).__name__)
            object.__setattr__(self, "slots", self.slots + self.average.slots)
            table = {**self.learnable, **self.average.learnable}
            object.__setattr__(self, "learnable", table)
        resolve_raw(self.given(), self.learnable)

    def content(self) -> Mapping[str, Any]:
        """The settings; no average is none, so that runs without one are known by what they were."""
        rows = super().content().items()
        return {name: value for name, value in rows if name != "average" or value is not None}

    def bound_to(self, layout: Layout, device: torch.device) -> Optimizer:
        """The same optimizer, knowing the parameters; itself where they do not matter."""
        del layout, device
        return self

    def init(self, parameters: Tensor) -> Tensor:
        """State before the first step: parameters, then zeros. Shape (slots, P).

        May be overridden by one that fills later slots with other constants: derivatives know of no
        way from the first parameters to any slot but their own.
        """
        state = parameters.new_zeros(self.slots, parameters.numel())
        state[0] = parameters
        return state

    @abc.abstractmethod
    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """The next state.

        Args:
            state: Shape (slots, P).
            gradient: Raw gradient of the training loss, shape (P,).
            values: Name -> this step's value, shape (); and ``"step"``, which counts from 1, of
                ``"steps"``.
        """

    def answer(self, state: Tensor) -> Tensor:
        """What is judged, and kept by the user: by default slot 0. Linear in the state.

        Args:
            state: Of a run, or tangents of one, shape (..., slots, P).

        Returns:
            Shape (..., P).
        """
        return state[..., 0, :]

    @final
    def answered(self, gradient: Tensor, state: Tensor) -> Tensor:
        """The adjoint of `answer`: a gradient by what is judged, shape (P,), as one by the state."""
        leaf = torch.zeros_like(state).requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.answer(leaf), leaf, gradient)[0]

    def clip(self, gradient: Tensor) -> Tensor:
        """The gradient, clipped elementwise and then by norm, with its true Jacobian."""
        if self.clip_value is not None:
            gradient = gradient.clamp(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            # Below the bound the scale is exactly one: the square root is then never taken at zero.
            square = gradient.square().sum()
            over = square > self.clip_norm**2
            norm = torch.where(over, square, torch.ones_like(square)).sqrt()
            scale = torch.where(over, self.clip_norm / (norm + 1e-6), torch.ones_like(norm))
            gradient = gradient * scale.clamp(max=1.0)
        return gradient

    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """`update` where nothing is differentiated; may be overridden by one of fewer passes."""
        with torch.no_grad():
            return self.update(state, gradient, values)

    def pull_back(
        self, state: Tensor, gradient: Tensor, values: Values, adjoint: Tensor, learn: Names
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        r"""The vector-Jacobian product of `update`, at a fixed gradient.

        .. math:: \bar s = \bar s' \cdot \partial_s U, \quad
                  \bar g = \bar s' \cdot \partial_g U, \quad
                  \bar h = \bar s' \cdot \partial_h U

        By automatic differentiation; an optimizer that knows its own closed form may override it.

        Args:
            state, gradient, values: As in `update`.
            adjoint: Derivative with respect to the next state, shape (slots, P).
            learn: Names of the values to differentiate.

        Returns:
            Adjoints of the state, of the gradient and of each value in `learn`.
        """
        leaves = {name: values[name].detach().requires_grad_() for name in learn}
        inputs = [x.detach().requires_grad_() for x in (state, gradient)]
        updated = self.update(inputs[0], inputs[1], {**values, **leaves})
        on_state, on_gradient, *on_values = torch.autograd.grad(
            updated, [*inputs, *leaves.values()], adjoint, allow_unused=True, materialize_grads=True
        )
        return on_state, on_gradient, dict(zip(leaves, on_values, strict=True))

    def push_forward(
        self,
        state: Tensor,
        gradient: Tensor,
        values: Values,
        tangents: Tensor,
        curved: Tensor,
        moved: Values,
    ) -> None:
        r"""Jacobian-vector products of `update`, written over the tangents of the state.

        .. math:: z_k \leftarrow \partial_s U\, z_k + \partial_g U\, c_k + \partial_h U\, e_k

        By automatic differentiation; an optimizer that knows its own closed form may override it.

        Args:
            state, gradient, values: As in `update`.
            tangents: z, shape (K, slots, P); changed in place.
            curved: c, tangents of the gradient, shape (K, P).
            moved: e, name -> tangents of this step's value, shape (K,).
        """
        learned = {name: values[name] for name in moved}

        def update(s: Tensor, g: Tensor, h: Values) -> Tensor:
            return self.update(s, g, {**values, **h})

        def push(ds: Tensor, dg: Tensor, dh: Values) -> Tensor:
            return torch.func.jvp(update, (state, gradient, learned), (ds, dg, dict(dh)))[1]

        tangents.copy_(torch.func.vmap(push)(tangents, curved, dict(moved)))

    def push_clip(self, gradient: Tensor, curved: Tensor) -> Tensor:
        """Jacobian-vector products of `clip`, shape (K, P)."""
        if self.clip_value is None and self.clip_norm is None:
            return curved
        return torch.func.vmap(lambda c: torch.func.jvp(self.clip, (gradient,), (c,))[1])(curved)

    @abc.abstractmethod
    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The ``torch.optim`` twin, whose settings a schedule then sets at each step."""

    def torch_groups(self, named: Iterable[tuple[str, Any]]) -> list[Any]:
        """Named parameters as its twin wants them: parameters, or parameter groups."""
        return [parameter for _, parameter in named]

    def clip_torch(self, parameters: Any) -> None:
        """The same clipping on the ``.grad`` of a plain loop's parameters."""
        parameters = list(parameters)
        if self.clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def given(self) -> Mapping[str, Basis | float]:
        """Name -> basis (learned) or number (fixed), as the user gave them."""
        averaged = {} if self.average is None else self.average.given()
        rows = {n: averaged[n] if n in averaged else getattr(self, n) for n in self.learnable}
        return {name: checked_setting(name, value) for name, value in rows.items()}

    def hyperparameters(
        self, steps: int | None = None, overrides: Mapping[str, Default] | None = None
    ) -> dict[str, Hyperparameter]:
        """Every hyperparameter with all its fields settled and checked."""
        return resolve_all(self.given(), self.learnable, steps, overrides)


def checked_setting(name: str, value: Basis | float) -> Basis | float:
    """A setting of an optimizer, if it is a number or changes over time."""
    if isinstance(value, Basis) and not isinstance(value, TimeBasis):
        raise ValueError(
            f"{name} is a setting of the optimizer, one number per step, but got {value!r}. "
            "Use a schedule such as Windows(4)."
        )
    if isinstance(value, (Iterator, list)):  # model.parameters(), or groups of them
        raise ValueError(
            f"{name} must be a number or a schedule, but got {type(value).__name__}. An optimizer gets "
            "no parameters here: those of the task's model are trained."
        )
    return value
