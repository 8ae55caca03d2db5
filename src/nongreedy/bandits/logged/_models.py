"""Models of logged rewards: a linear one for each item, and one of low rank for all."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from ._log import Log


def linear_model(log: Log, ridge: float = 1.0) -> tuple[Tensor, Tensor]:
    """A ridge regression for each item, the model of LinUCB with disjoint items.

    Args:
        ridge: Of each item's regression.

    Returns:
        Coefficients, shape (c, items), and for each item the inverse of its Gram matrix, (items, c, c).

    Source: Li, Chu, Langford & Schapire 2010.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(4, 1), torch.tensor([0, 0, 0, 1]), torch.ones(4), torch.ones(4), 2)
        >>> linear_model(log)[0].tolist()
        [[0.75, 0.5]]
    """
    check_number("ridge", ridge)
    size = log.contexts.shape[1]
    grams = ridge * torch.eye(size, dtype=torch.float64).repeat(log.count, 1, 1)
    moments = torch.zeros(log.count, size, dtype=torch.float64)
    outer = log.contexts[:, :, None] * log.contexts[:, None, :]
    grams.index_add_(0, log.items, outer)
    moments.index_add_(0, log.items, log.contexts * log.rewards[:, None])
    inverses = torch.linalg.inv(grams)
    return torch.einsum("kij,kj->ik", inverses, moments), inverses


def low_rank_model(log: Log, rank: int, ridge: float = 1.0, sweeps: int = 50) -> Tensor:
    r"""A matrix of low rank for all items: rewards are :math:`x^\top M_{\cdot a}`, :math:`M = U V^\top`.

    .. math:: \min_{U, V} \sum_i (r_i - x_i^\top U V_{a_i})^2 + \rho\,(\|U\|^2 + \|V\|^2)

    by least squares for V and for U in turn, from the singular vectors of the linear model.

    Args:
        rank: k.
        ridge: :math:`\rho`.
        sweeps: Pairs of turns.

    Returns:
        M, shape (c, items).

    Source: alternating least squares for low-rank matrix sensing, Jain, Netrapalli & Sanghavi 2013.

    Cannot: promise the best M of its rank: it is a local minimum.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(4, 1), torch.tensor([0, 1, 0, 1]), torch.tensor([1.0, 0, 1, 0]),
        ...           torch.full((4,), 0.5), 2)
        >>> low_rank_model(log, 1, ridge=1e-9).round(decimals=3).tolist()
        [[1.0, 0.0]]
    """
    check_whole("rank", rank)
    check_number("ridge", ridge)
    check_whole("sweeps", sweeps)
    left, values, right = torch.linalg.svd(linear_model(log, ridge)[0], full_matrices=False)
    u, v = left[:, :rank] * values[:rank].sqrt(), right[:rank].T * values[:rank].sqrt()
    x, size = log.contexts, log.contexts.shape[1]
    for _ in range(sweeps):
        projected = Log(x @ u, log.items, log.rewards, log.propensities, log.count)
        v = linear_model(projected, ridge)[0].T
        features = (x[:, :, None] * v[log.items][:, None, :]).flatten(1)  # (n, c k)
        gram = features.T @ features + ridge * torch.eye(features.shape[1], dtype=torch.float64)
        u = torch.linalg.solve(gram, features.T @ log.rewards).reshape(size, -1)
        # Both sides bear the same share, so that the ridge is on the product.
        left, values, right = torch.linalg.svd(u @ v.T, full_matrices=False)
        kept = values[: u.shape[1]].sqrt()
        u, v = left[:, : len(kept)] * kept, right[: len(kept)].T * kept
    return u @ v.T
