"""A policy on rewards from anywhere: ask, tell, keep, go on."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import NongreedyError, ReplayError, check_whole
from ..protocols import generator
from ..schedules import identity
from ..task._streams import ACTIONS
from ._batch import Batch
from ._kept import PlayerError, read, write
from .policies import Policy
from .problems import Ball

_HIDDEN, _OUT, _HEARD = 0, 1, 2  # of a play: not asked for, asked for, its reward told


class WaitingError(NongreedyError):
    """There is no action before more rewards are told: the policy has to hear them first."""


class UnknownActionError(NongreedyError, ValueError):
    """A reward was told of an action that is not out."""


class Player:
    """Asks for actions and is told their rewards, which may come from anywhere, days later, in any order.

    Any number of actions of a batch may be out at once. What a player keeps are its settings, its seed and
    the rewards that it was told: the policy is a function of these, and a player that is loaded replays it
    and checks that every action is, bit for bit, the one that was asked for. (A million plays replay in
    about as long as their simulation takes: seconds.)

    Args:
        policy: Who chooses.
        ball: The set of actions.
        seed: Of the policy's draws.

    Raises:
        ValueError: A policy that has no actions for this set.

    Source: ours; ask and tell as in Optuna and nevergrad.

    Cannot: hear of a batch more than it asked for: rewards of actions chosen elsewhere teach it nothing.

    Example:
        >>> from nongreedy import bandits
        >>> player = Player(bandits.NoisyPower(), bandits.Ball((3,)), seed=0)
        >>> first, second = player.ask(), player.ask()
        >>> player.tell(second, 0.3); player.tell(first, -0.1)
        >>> player.told, player.out
        (2, 0)
    """

    def __init__(self, policy: Policy, ball: Ball, seed: int = 0):
        check_whole("seed", seed, 0)
        policy.check(ball)
        self.policy, self.ball, self.seed = policy, ball, seed
        self._plan = policy.plan(ball, generator(seed, ACTIONS))
        self._digest = hashlib.sha256()
        self._past = list[np.ndarray]()  # rewards of batches that are done
        # Of batches that are over: action -> how many are out.
        self._late = defaultdict[bytes, int](int)
        self._choice: Tensor | None = None
        self.told = 0
        self._open(next(self._plan))

    @property
    def out(self) -> int:
        """How many actions are asked for, and their rewards not told."""
        return sum(len(places) for places in self._places.values()) + sum(self._late.values())

    @property
    def choice(self) -> Tensor | None:
        """What the policy would return if it had to stop now; None while it knows nothing."""
        return None if self._choice is None else self._choice.clone()

    def ask(self) -> Tensor:
        """The next action to be played, shape of the ball, float64.

        Raises:
            WaitingError: All of the batch are out, and the policy needs their rewards.
        """
        while self._next == len(self._status):
            if self._batch.heard:
                raise WaitingError(
                    f"All {len(self._status)} actions of this batch are asked for, and {self.out} rewards "
                    "are missing: tell them, or call lost(action) for those that will never come."
                )
            # Nothing is learned from these: what is still out is told for the record alone.
            self._finish()
        place, self._next = self._next, self._next + 1
        while self._next < len(self._status) and self._status[self._next] != _HIDDEN:
            self._next += 1
        self._status[place] = _OUT
        action = self._batch.actions[place // self._batch.repeats].clone()
        self._places[_bits(action)].append(place)
        return action

    def tell(self, action: Any, reward: float) -> None:
        """Say what an action brought. Of equal actions the first one asked for is meant.

        Args:
            action: As :meth:`ask` returned it: a tensor, an array or nested lists of the same numbers.
            reward: Finite.

        Raises:
            UnknownActionError: It was never asked for, or has been told. Nothing is changed.
            ValueError: Another shape, or a reward that is not finite. Nothing is changed.
        """
        place, from_before = self._place(action)
        value = float(reward)
        if not abs(value) < float("inf"):
            raise ValueError(
                f"A reward must be finite, but is {value}. The action is still out: tell it again, or call "
                "lost(action) if there is no reward."
            )
        self._forget(action, from_before)
        self.told += 1
        if from_before:
            return
        self._status[place], self._rewards[place] = _HEARD, value
        self._missing -= 1
        if self._batch.heard and not self._missing:
            self._finish()

    def lost(self, action: Any) -> None:
        """Say that an action's reward will never come: :meth:`ask` returns the action once more.

        Raises:
            UnknownActionError: It is not out.
        """
        place, from_before = self._place(action)
        self._forget(action, from_before)
        if not from_before:
            self._status[place] = _HIDDEN
            self._next = min(self._next, place)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keep everything in ``player.json`` and an array beside it; a kill leaves the last state whole.

        Raises:
            OSError: The directory cannot be written.
        """
        past = np.concatenate(self._past) if self._past else np.zeros(0)
        state = {
            **self._settings(), "told": self.told, "next": self._next,
            "actions": self._digest.hexdigest(),
            "late": sorted((key.hex(), count) for key, count in self._late.items() if count),
        }  # fmt: skip
        arrays = {"past": past, "rewards": self._rewards, "status": self._status}
        write(Path(folder), state, arrays)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], policy: Policy, ball: Ball, seed: int = 0
    ) -> Self:
        """Go on where :meth:`save` left off, to the same bits.

        Args:
            policy, ball, seed: Those with which the player began.

        Raises:
            FileNotFoundError: Nothing was saved there.
            PlayerError: The files are damaged, or belong to other settings, with the first that differs.
            ReplayError: The policy asks for other actions than it did: the library or the machine changed.
        """
        state, arrays = read(Path(folder))
        player = cls(policy, ball, seed)
        try:
            player._go_on(state, arrays, str(folder))
        except NongreedyError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise PlayerError(
                f"The player in {str(folder)!r} is damaged ({type(error).__name__}: {error}). Load a copy, "
                "or begin in another directory."
            ) from error
        return player

    def _go_on(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: str) -> None:
        for name, value in self._settings().items():
            if state[name] != value:
                raise PlayerError(
                    f"The player in {folder!r} was saved with another {name}: {state[name]}, not "
                    f"{value}. Load it with that, or begin in another directory."
                )
        self._replay(arrays, state, folder)

    def _settings(self) -> dict[str, Any]:
        policy, ball = identity(self.policy), identity(self.ball)
        return {"policy": policy, "ball": ball, "seed": self.seed}

    def _replay(self, arrays: dict[str, np.ndarray], state: dict[str, Any], place: str) -> None:
        past, at = arrays["past"], 0
        while at < len(past):
            count = len(self._status)
            if at + count > len(past):
                raise self._differs(place)
            self._rewards[:] = past[at : at + count]
            self._status[:] = _HEARD
            at += count
            self._finish()
        if self._digest.hexdigest() != state["actions"] or len(self._status) != len(
            arrays["status"]
        ):
            raise self._differs(place)
        self._rewards[:], self._status[:] = arrays["rewards"], arrays["status"]
        self._missing = int((self._status != _HEARD).sum())
        self._next, self.told = state["next"], state["told"]
        for at in np.flatnonzero(self._status == _OUT):
            action = self._batch.actions[int(at) // self._batch.repeats]
            self._places[_bits(action)].append(int(at))
        self._late.update({bytes.fromhex(key): count for key, count in state["late"]})

    def _differs(self, place: str) -> ReplayError:
        return ReplayError(
            f"The policy in {place!r} asks for other actions than when it was saved: another version of "
            "this library or of PyTorch, or another processor. Load it where it was saved."
        )

    def _open(self, batch: Batch) -> None:
        self._batch, self._next = batch, 0
        self._digest.update(batch.actions.contiguous().numpy().tobytes())
        self._digest.update(f"{batch.repeats} {batch.heard}".encode())
        self._rewards, self._missing = np.zeros(batch.plays), batch.plays
        self._status = np.zeros(batch.plays, np.int8)
        self._places = defaultdict[bytes, deque[int]](deque)
        if batch.choice is not None:
            self._choice = batch.choice

    def _finish(self) -> None:
        """Hand a batch's rewards to the policy, and open the next."""
        for key, places in self._places.items():
            self._late[key] += len(places)
        self._past.append(self._rewards)
        shape = (-1, self._batch.repeats)
        heard = torch.from_numpy(self._rewards.copy()).reshape(shape)
        self._open(self._plan.send(heard if self._batch.heard else torch.empty(0)))

    def _place(self, action: Any) -> tuple[int, bool]:
        """Where an action that is out stands, and whether it is one of a batch that is over."""
        tensor = torch.as_tensor(action, dtype=torch.float64)
        if tuple(tensor.shape) != self.ball.shape:
            raise ValueError(
                f"An action has shape {self.ball.shape}, but got {tuple(tensor.shape)}."
            )
        key = _bits(tensor)
        if places := self._places.get(key):
            return places[0], False
        if self._late.get(key):
            return -1, True
        raise UnknownActionError(
            f"The action {tensor.flatten().tolist()[:4]}... is not out: it was never asked for, or its "
            "reward has been told. Tell actions exactly as ask() returned them, in float64."
        )

    def _forget(self, action: Any, from_before: bool) -> None:
        key = _bits(torch.as_tensor(action, dtype=torch.float64))
        if from_before:
            self._late[key] -= 1
        else:
            self._places[key].popleft()


def _bits(action: Tensor) -> bytes:
    return action.contiguous().numpy().tobytes()
