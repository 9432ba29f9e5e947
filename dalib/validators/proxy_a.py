"""Proxy A-distance: how well a linear classifier tells the domains apart."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 1000
_FOLDS = 5
_RIDGE = 1e-3
"""Of every feature, in units of its own variance and squared gap."""
_LEAST = 1e-9
"""A variance below that counts as that, where the largest entry of a feature is 1: less may be rounding."""


def proxy_a_distance(evaluation: Evaluation) -> float:
    r"""Proxy A-distance [1]_ between source and target features: it describes, it does not select.

    .. math:: 2 (1 - 2 \epsilon)

    with the cross-validated error :math:`\epsilon` of a linear classifier of the domain. The classifier is ridge
    least squares (Fisher's discriminant) in which both domains weigh the same; :math:`\epsilon` is the mean of the two
    domains' error rates over five folds, into which the rows are dealt by a fixed permutation: rows in an order of
    their own, as by class, do not make folds unlike one another. So chance is 0 whatever the numbers of rows, and a row
    is never judged by a classifier that was trained on it. The ridge is a thousandth of each feature's variance, so
    that the features' scales do not matter. A row exactly between the domains counts one half. At most 1000 evenly
    spaced rows a domain are read.

    Args:
        evaluation: Outputs on both domains.

    Returns:
        A number in ``[-2, 2]``: 2 where the domains can be told apart, 0 where they cannot, below it by chance alone;
        0 if a domain has a single row.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If a domain has no rows, or not finite ones.

    References:
        .. [1] Ben-David et al. Analysis of Representations for Domain Adaptation. NIPS 2006.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.arange(10.0)[:, None]
        >>> source = Outputs(rows, torch.zeros(10, 2), labels=torch.zeros(10, dtype=torch.int64))
        >>> proxy_a_distance(Evaluation(source=source, target=Outputs(rows + 100, torch.zeros(10, 2))))
        2.0

    Note:
        Implementations that train on rows of unequal numbers call a small domain indistinguishable or, judged on
        the rows they were trained on, everything distinguishable.
    """
    source, target = (_mixed(_rows.outputs(evaluation, name).features) for name in ("source", "target"))
    folds = min(_FOLDS, source.shape[0], target.shape[0])
    if folds < 2:
        return 0.0
    middle = 0.5 * (source.mean(dim=0) + target.mean(dim=0))
    source.sub_(middle)
    target.sub_(middle)
    largest = torch.maximum(source.abs().amax(dim=0), target.abs().amax(dim=0))
    least = (1e-12 * middle.abs()).clamp_min(torch.finfo(middle.dtype).tiny)  # what varies less than that is constant
    scale = torch.where(largest > least, 1 / largest, 0.0)
    domains = [domain.mul_(scale).tensor_split(folds) for domain in (source, target)]
    moments = [[_moments(rows) for rows in domain] for domain in domains]
    totals = [[torch.stack(parts).sum(dim=0) for parts in zip(*domain, strict=True)] for domain in moments]
    wrong = [0.0, 0.0]
    for fold in range(folds):
        kept = [
            [total - part for total, part in zip(totals[side], moments[side][fold], strict=True)] for side in (0, 1)
        ]
        normal, offset = _discriminant(kept)
        for side, sign in ((0, 1.0), (1, -1.0)):
            sides = sign * (domains[side][fold] @ normal - offset)
            tied = sides.abs() <= 1e-9 * normal.abs().sum()  # no entry of a row is beyond 1
            wrong[side] += float(torch.where(tied, 0.5, (sides < 0).double()).sum())
    error = 0.5 * (wrong[0] / source.shape[0] + wrong[1] / target.shape[0])
    return 2 * (1 - 2 * error)


def _mixed(features: Tensor) -> Tensor:
    """A copy in float64 of 1000 evenly spaced rows at most, in the order of a fixed permutation."""
    rows = _rows.evenly(torch.arange(features.shape[0]), _ROWS)
    order = torch.randperm(rows.shape[0], generator=torch.Generator().manual_seed(0))
    return features[rows[order]].double()


def _moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, sum and sum of outer products: what a training without some folds subtracts."""
    return torch.tensor(float(rows.shape[0]), dtype=torch.float64), rows.sum(dim=0), rows.T @ rows


def _discriminant(domains: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """Normal and offset of the separating plane of two domains, given their moments; the first is on the positive side."""
    means = [total / number for number, total, _ in domains]
    within = sum(
        (
            0.5 * (square / number - torch.outer(mean, mean))
            for (number, _, square), mean in zip(domains, means, strict=True)
        ),
        start=torch.zeros_like(domains[0][2]),
    )
    gap = means[0] - means[1]
    within.diagonal().add_(_RIDGE * (within.diagonal() + gap.square()).clamp_min(_LEAST))
    normal = torch.cholesky_solve(gap[:, None], torch.linalg.cholesky(within)).squeeze(1)
    return normal, 0.5 * normal @ (means[0] + means[1])
