"""Centred rows and what each counts in a covariance, weighted."""

from __future__ import annotations

from torch import Tensor

from dalib.losses._pooled import refuse_one_row
from dalib.row_weights import of_two_rows, shares


def centred(rows: Tensor, row_shares: Tensor) -> Tensor:
    """The rows minus their weighted mean.

    Twice centred: far from zero the first mean is rounded, and the mean of what it leaves is not.

    Example:
        >>> centred(torch.tensor([[0.0], [4.0]]), torch.tensor([0.75, 0.25]))
        tensor([[-1.],
                [ 3.]])
    """
    rows = rows - (row_shares @ rows).detach()
    return rows - row_shares @ rows


def covariance_weights(rows: Tensor, weights: Tensor | None, name: str) -> Tensor:
    r"""What each row counts in the unbiased covariance: :math:`w_i / (1 - \sum_k w_k^2)` of the shares :math:`w`.

    Example:
        >>> covariance_weights(torch.zeros(3, 1), None, "weights")  # 1 / (n - 1)
        tensor([0.5000, 0.5000, 0.5000])
    """
    if weights is None:
        return rows.new_full(rows.shape[:1], 1 / (rows.shape[0] - 1))
    row_shares = shares(rows, weights, name)
    refuse_one_row(row_shares, weights, name)
    return row_shares / of_two_rows(row_shares)
