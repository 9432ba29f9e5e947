"""Importance-weighted training: source rows count by how typical they are of the target."""

from __future__ import annotations

from dalib.objective import Objective, SourceObjective, source_cross_entropy


def importance_weighted(features: int, classes: int, steps: int) -> Objective:
    r"""Weighted cross entropy of the source rows, :math:`\frac1n \sum_i w_i\,\mathrm{CE}_i` [1]_.

    The weights come with the batches: estimate :math:`w(x) = p_t(x) / p_s(x)` by an estimator of ``dalib.weights`` and
    attach it with ``with_weights`` (the benchmark's ``trained(importance_weighted, protocol, weights=...)`` does both).
    Batches without weights give :func:`~dalib.methods.source_only`.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).

    Returns:
        The objective.

    References:
        .. [1] Shimodaira. Improving predictive inference under covariate shift by weighting the log-likelihood
           function. Journal of Statistical Planning and Inference 90, 2000.

    Example:
        >>> importance_weighted(256, 31, 1000).needs_target
        False
    """
    return SourceObjective(classification=source_cross_entropy)
