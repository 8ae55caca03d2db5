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


def low_rank_model(log: Log, rank: int, ridge: float = 1.0) -> Tensor:
    r"""A matrix of low rank: rewards are :math:`x^\top M_{\cdot a}`.

    Rewards over propensities are unbiased for a row of rewards of all items; so a regression of these rows
    on the contexts estimates M, and its best approximation of rank k, in the metric of the contexts, is
    kept (reduced-rank regression).

    Args:
        rank: k.
        ridge: Times the number of rounds over 1,000.

    Returns:
        M, shape (c, items).

    Source: the moment estimator of arXiv:2107.04518's class LR for actions that another policy chose;
    Izenman 1975.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, 0.0]),
        ...           torch.full((2,), 0.5), 2)
        >>> low_rank_model(log, 1, ridge=1e-9).round(decimals=3).tolist()
        [[1.0, 0.0]]
    """
    check_whole("rank", rank)
    check_number("ridge", ridge)
    size = log.contexts.shape[1]
    gram = log.contexts.T @ log.contexts / len(log)
    gram += ridge / 1000 * torch.eye(size, dtype=torch.float64)
    moment = torch.zeros(log.count, size, dtype=torch.float64)
    moment.index_add_(0, log.items, log.contexts * (log.rewards / log.propensities)[:, None])
    root = torch.linalg.cholesky(gram)
    whitened = torch.linalg.solve_triangular(root, moment.T / len(log), upper=False)
    left, values, right = torch.linalg.svd(whitened, full_matrices=False)
    kept = left[:, :rank] * values[:rank] @ right[:rank]
    return torch.linalg.solve_triangular(root.T, kept, upper=True)
