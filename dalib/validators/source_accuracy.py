"""Accuracy on the source domain."""

from __future__ import annotations

from dalib.evaluation import Evaluation
from dalib.validators import _rows


def source_accuracy_score(evaluation: Evaluation) -> float:
    r"""Share of source rows whose most probable class is their label.

    .. math:: \frac1n \sum_i \mathbf 1[\arg\max_k z_{ik} = y_i]

    over the **held-out** source rows where the evaluation has some. Where it has none (the field's standard protocol
    trains on all source rows) it is the accuracy on the *training* rows: near 1 at every checkpoint and then hardly
    informative. Known failure: it says nothing about the target; a model may fit the source ever better while its
    target accuracy falls. Musgrave et al. [1]_ still find it among the better choices.

    Args:
        evaluation: Outputs on both domains.

    Returns:
        A number in ``[0, 1]``; larger is better.

    References:
        .. [1] Musgrave, Belongie, Lim. Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
           Domain Adaptation. arXiv:2208.07360, 2022.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [1.0, 0.0]])
        >>> source = Outputs(logits, logits, labels=torch.tensor([0, 1, 1, 0]))  # the third row is wrong
        >>> source_accuracy_score(Evaluation(source=source, target=Outputs(logits, logits)))
        0.75
    """
    rows = _rows.judged(evaluation)
    assert rows.labels is not None  # Evaluation checked it
    return float((rows.logits.argmax(dim=1) == rows.labels).double().mean())
