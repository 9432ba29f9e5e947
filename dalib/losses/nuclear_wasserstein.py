"""Nuclear-norm Wasserstein discrepancy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal, reversed_logits
from dalib.schedules import Schedule


@float32_island
def nuclear_wasserstein_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    r"""Nuclear-norm discrepancy between the predictions of two domains, as DALN's classifier maximises it: negated [1]_.

    .. math::
        -\frac{1}{(nm)^{1/4}} \Bigl( \frac{\|P_s\|_*}{\sqrt n} - \frac{\|P_t\|_*}{\sqrt m} \Bigr), \qquad
        P = \mathrm{softmax}(Z)

    which for ``n = m = B`` is the paper's :math:`-(\|P_s\|_* - \|P_t\|_*) / B`. Repeating the rows of a domain leaves
    its :math:`\|P\|_* / \sqrt n`, so batches of unequal size but equal content have none. The nuclear norm is large for
    predictions that are certain and diverse. Its gradient is the subgradient :math:`U V^\top` of least norm over the
    singular values above rounding: defined, and bounded by one, for equal rows and empty classes too.

    Args:
        source_logits: Shape ``(n, classes)``.
        target_logits: Shape ``(m, classes)``; ``m`` may differ from ``n``.

    Returns:
        Scalar tensor. For ``n = m = B`` and ``K`` classes it lies within :math:`\pm(\sqrt{\min(B, K) B} - \sqrt{B/K}) /
        B`.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not two finite matrices of one width on one device.

    References:
        .. [1] Chen et al. Reusing the Task-specific Classifier as a Discriminator: Discriminator-free Adversarial Domain
           Adaptation. CVPR 2022.

    Example:
        >>> certain, uniform = 100 * torch.eye(2), torch.zeros(2, 2)  # nuclear norms 2 and 1, two rows
        >>> nuclear_wasserstein_loss(certain, uniform)
        tensor(-0.5000)

    Note:
        The reversal of the gradient is not in here: see :class:`NuclearWassersteinLoss`.
    """
    _checks.two_samples(source_logits, target_logits)
    n, m = source_logits.shape[0], target_logits.shape[0]
    source = _nuclear_norm(torch.softmax(source_logits, dim=1)) / n**0.5
    target = _nuclear_norm(torch.softmax(target_logits, dim=1)) / m**0.5
    loss: Tensor = (target - source) / (n * m) ** 0.25
    return loss


def _nuclear_norm(matrix: Tensor) -> Tensor:
    rows = matrix.detach()
    left, values, right = torch.linalg.svd(rows, full_matrices=False)
    above = values > values[..., :1] * max(rows.shape) * torch.finfo(rows.dtype).eps
    subgradient = (left * above.to(rows.dtype)) @ right
    norm: Tensor = (subgradient * matrix).sum()  # <U V', P> is the sum of the singular values
    return norm


class NuclearWassersteinLoss(nn.Module):
    r"""The game of DALN in one loss of the outputs of two domains: the classifier is the critic [1]_.

    .. math:: \min_C \max_\psi \; -\mathrm{NWD}\bigl(C(\psi(x_s)), C(\psi(x_t))\bigr)

    The model's own head :math:`C` maximises the discrepancy, the features receive ``-strength`` times the gradient. The
    outputs have to know the head, as those of a training step do.

    Args:
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: In ``forward``, if the outputs do not know their head.

    References:
        .. [1] Chen et al. Reusing the Task-specific Classifier as a Discriminator: Discriminator-free Adversarial Domain
           Adaptation. CVPR 2022.

    Example:
        >>> head = torch.nn.Identity()  # features are logits: certain on the source, uniform on the target
        >>> certain, uniform = 100 * torch.eye(2), torch.zeros(2, 2)
        >>> NuclearWassersteinLoss()(Outputs(certain, certain, head=head), Outputs(uniform, uniform, head=head))
        tensor(-0.5000)
    """

    def __init__(self, *, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        self.reversal = GradientReversal(strength)

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The loss of the outputs of two domains."""
        strength = self.reversal.strength()
        return nuclear_wasserstein_loss(reversed_logits(source, strength), reversed_logits(target, strength))
