"""A guard against collapse, around any score."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.validators import _rows

Score = Callable[[Evaluation], float]


def guarded(score: Score, *, max_share: float = 0.5) -> Score:
    r"""A score that rejects collapsed predictions before it scores.

    .. math:: \max_k \frac1m \#\{j : \arg\max_l z_{jl} = k\} > \text{max\_share} \;\Rightarrow\; -\infty

    Entropy, SND, MaNo and others prefer a model that calls every target row the same class to all others. Minus
    infinity is the score of a checkpoint that selection never picks; a record keeps it as null, and where every
    checkpoint is rejected the last one is taken.

    Known failure: a target in which one class really has more than ``max_share`` of the rows.

    Args:
        score: What to guard; it is not called for collapsed predictions.
        max_share: The largest share of the target rows that one class may be predicted for, in ``(0, 1)``. Default
            0.5; with two classes choose more.

    Returns:
        ``(evaluation) -> float``; it can be pickled if ``score`` can.

    Raises:
        TypeError: If ``score`` is not callable.
        ValueError: If ``max_share`` is not between 0 and 1.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> from dalib.validators import snd_score
        >>> logits = torch.tensor([[9.0, 0.0]]).repeat(5, 1)  # one class for all: the largest density
        >>> source = Outputs(logits, logits, labels=torch.zeros(5, dtype=torch.int64))
        >>> collapsed = Evaluation(source=source, target=Outputs(logits, logits))
        >>> round(snd_score(collapsed), 4), guarded(snd_score)(collapsed)
        (1.3863, -inf)
    """
    if not callable(score):
        raise TypeError(f"score must be a function of an evaluation, got {type(score).__name__}")
    _checks.number(max_share, "max_share")
    if not 0 < max_share < 1:
        raise ValueError(f"max_share must lie between 0 and 1, got {max_share:g}")
    made = partial(_unless_collapsed, score=score, max_share=float(max_share))
    about = (score.__doc__ or "A score").strip().splitlines()[0].rstrip(".")
    made.__doc__ = f"{about}; never picked where one class has more than {max_share:.0%} of the target."
    return made


def _unless_collapsed(evaluation: Evaluation, *, score: Score, max_share: float) -> float:
    predicted = _rows.outputs(evaluation, "target").logits.argmax(dim=1)
    most = int(torch.bincount(predicted).max())
    return _rows.REJECTED if most > max_share * predicted.shape[0] else score(evaluation)
