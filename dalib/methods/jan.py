"""JAN: joint adaptation network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dalib.kernels import Gaussian
from dalib.losses import AdversarialMapLoss, JointMMDLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule

KERNELS = (Gaussian(), Gaussian([0.92]))
"""Of the features the multi-scale kernel of this library, of the probabilities one of the authors' fixed width."""


def features_and_probs(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """The two layers whose joint distribution is aligned.

    Example:
        >>> features_and_probs(Outputs(torch.zeros(1, 3), torch.zeros(1, 2)))[1]
        tensor([[0.5000, 0.5000]])
    """
    return outputs.features, outputs.probs.to(outputs.features.dtype)


def jan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 5.0,
    kernels: Sequence[Gaussian] = KERNELS,
    adversarial: bool = False,
) -> Objective:
    r"""Joint MMD of features and class probabilities [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps (not used).
        weight: Factor of the joint MMD. Default 5: the authors' code sums five kernels with a factor of 1, here they are
            averaged.
        kernels: The kernels of features and probabilities.
        adversarial: Whether each layer passes through a linear map that makes the loss large (JAN-A).

    Returns:
        The objective.

    References:
        .. [1] Long et al. Deep Transfer Learning with Joint Adaptation Networks. ICML 2017.

    Example:
        >>> list(jan(256, 31, 1000).terms)
        ['classification', 'joint_mmd']

    Note:
        Against the authors' code and TLlib, which has its values:

        - Widths of the feature kernel: :math:`2\sigma^2` = 2**-2, ..., 2**2 mean squared distances there, 2**-1, ..., 2**3
          here (``scales`` 2**-3, ..., 2**1 against 2**-2, ..., 2**2), twice as wide. Their kernels are
          ``kernels=[Gaussian(scales=(0.125, 0.25, 0.5, 1.0, 2.0)), Gaussian([0.92])]``.
        - Width of the probability kernel: :math:`2\sigma^2` = 1.68 there (TLlib 1.69), 1.69 here.
        - Estimate: unbiased there (sums over pairs of different rows times 1/n(n-1)), with 2/(n-1) added in TLlib; biased
          here (all pairs times 1/n^2). The paper trains with a linear-time estimate, the code with the quadratic one.
        - Weight: 1 on the sum of five kernels there, 5 on their mean here: the same. Constant in both.
        - The map of JAN-A starts as the identity in both.
    """
    loss = JointMMDLoss(kernels=kernels)
    joint = AdversarialMapLoss(loss, [features, classes]) if adversarial else loss
    return Objective(classification=source_cross_entropy, joint_mmd=Align(joint, on=features_and_probs, weight=weight))
