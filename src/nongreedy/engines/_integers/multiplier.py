"""Multiplying integers by a fraction n/d < 1, exactly undone with the help of a buffer."""

import abc
from typing import final

from torch import Tensor

LIMIT = 2**62  # of every integer here: a sum of two then still fits into 64 bits


class Multiplier(abc.ABC):
    """A one-to-one map (c, limb) -> (c', limb') with c' close to c n/d; both change in place.

    `limb` is a non-negative int64 tensor of c's shape. Division floors and remainders are not
    negative throughout: truncation towards zero would not be undone for negative c.
    """

    @abc.abstractmethod
    def multiply(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        """Multiply by n/d; what is lost goes to the limb."""

    @abc.abstractmethod
    def divide(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        """The inverse of `multiply`."""

    @abc.abstractmethod
    def room(self, n: int, d: int) -> int:
        """Every limb must be below this before it is multiplied."""

    @abc.abstractmethod
    def most(self, limb: int, n: int, d: int) -> int:
        """What a limb of at most so much may be afterwards."""


@final
class Dense(Multiplier):
    r"""The digit that c loses goes to the buffer, and c's new low digit comes from it.

    .. math:: i \leftarrow i d + (c \bmod d), \qquad
              c \leftarrow \lfloor c / d \rfloor n + (i \bmod n), \qquad
              i \leftarrow \lfloor i / n \rfloor

    The buffer grows by :math:`\log_2(d/n)` bits, the least that is possible; c' differs from c n/d
    by less than n + 1 units. Division is the same with n and d exchanged.

    Source: arXiv:1502.03492, with floor division throughout.
    """

    def multiply(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        limb.mul_(d).add_(c.remainder(d))
        c.div_(d, rounding_mode="floor").mul_(n).add_(limb.remainder(n))
        limb.div_(n, rounding_mode="floor")

    def divide(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        self.multiply(c, limb, d, n)

    def room(self, n: int, d: int) -> int:
        return LIMIT // max(n, d)

    def most(self, limb: int, n: int, d: int) -> int:
        return (limb * d + d - 1) // n


@final
class Fine(Multiplier):
    r"""c' is c n/d rounded to the nearest; the buffer remembers which of its sources c was.

    .. math:: c' = \left\lfloor \frac{c n + h}{d} \right\rfloor, \qquad
              h = \lfloor d / 2 \rfloor, \qquad
              c \in \left[ \left\lceil \frac{c' d - h}{n} \right\rceil,
                           \left\lceil \frac{(c' + 1) d - h}{n} \right\rceil \right)

    The rounding is half a unit whatever d is, so d may be large (to :math:`2^{30}`) and a number
    that needs its low bits, such as Adam's second moment, keeps them. The price is a buffer that
    grows by up to 1.4 times the least possible, nothing for factors near 1.
    """

    def multiply(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        quotient, rest = _divmod(c, d)
        product = quotient.mul_(n).add_(rest.mul_(n).add_(d // 2).div_(d, rounding_mode="floor"))
        first, count = _sources(product, n, d)
        limb.mul_(count).add_(c.sub_(first))
        c.copy_(product)

    def divide(self, c: Tensor, limb: Tensor, n: int, d: int) -> None:
        first, count = _sources(c, n, d)
        c.copy_(first.add_(limb.remainder(count)))
        limb.div_(count, rounding_mode="floor")

    def room(self, n: int, d: int) -> int:
        return LIMIT // (d // n + 1)

    def most(self, limb: int, n: int, d: int) -> int:
        return (limb + 1) * -(-d // n) - 1


def _sources(product: Tensor, n: int, d: int) -> tuple[Tensor, Tensor]:
    """The least c whose product is this, and how many there are."""
    first = _least(product, n, d)
    return first, _least(product + 1, n, d).sub_(first)


def _least(product: Tensor, n: int, d: int) -> Tensor:
    # In two digits, because product * d overflows. A ceiling is the negative of a floor.
    quotient, rest = _divmod(product, n)
    return quotient.mul_(d).sub_(rest.mul_(-d).add_(d // 2).div_(n, rounding_mode="floor"))


def _divmod(c: Tensor, d: int) -> tuple[Tensor, Tensor]:
    return c.div(d, rounding_mode="floor"), c.remainder(d)
