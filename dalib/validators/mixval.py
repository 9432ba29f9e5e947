"""MixVal: predictions for mixtures of target rows."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 1000


def mixval_score(
    evaluation: Evaluation, *, share: float = 0.55, pairs: Literal["both", "within", "between"] = "both"
) -> float:
    r"""MixVal [1]_: how often a mixture of two target rows is predicted as the row that prevails in it.

    .. math:: \frac1{|Q|} \sum_{(i, j) \in Q} \mathbf 1[\arg\max f(\lambda x_i + (1 - \lambda) x_j) = \hat y_i]

    where :math:`Q` are pairs of rows of one predicted class (``"within"``: clusters should hold together), of two
    (``"between"``: the border should lie in the middle), and ``"both"`` is the mean of the two numbers. Each row stands
    first in at most one pair of each kind; at most 1000 evenly spaced rows are read. **It needs new forward passes**:
    an evaluation with ``predict`` and ``target_inputs``, whose rows are numbers that can be mixed (images, feature
    vectors).

    A kind that has no pairs counts 0, so that a model that calls every row the same class scores 1/2 of ``"both"``.
    Known failure: smooth wrong predictions score as well as smooth right ones.

    Args:
        evaluation: Outputs on both domains, with the model and the target inputs.
        share: The share :math:`\lambda` of the first row, in ``(0.5, 1)``. Default 0.55, the paper's.
        pairs: ``"both"``, ``"within"`` or ``"between"``.

    Returns:
        A number in ``[0, 1]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation, or its inputs are not floating-point numbers.
        ValueError: If the evaluation lacks ``predict`` or ``target_inputs``, these are not as many rows as the target's, or
            an option is out of range.

    References:
        .. [1] Hu et al. Mixed Samples as Probes for Unsupervised Model Selection in Domain Adaptation. NeurIPS 2023.

    Example:
        The head calls everything above 0 the second class, as the border of the mixtures is:

        >>> from dalib.data import TensorInputs
        >>> from dalib.outputs import Outputs
        >>> def predict(inputs):
        ...     x = inputs.load(torch.arange(len(inputs)))
        ...     return Outputs(x, torch.cat([-x, x], dim=1))
        >>> inputs = TensorInputs(torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]))
        >>> outputs = predict(inputs)
        >>> source = Outputs(outputs.features, outputs.logits, labels=torch.tensor([0, 1, 0, 1]))
        >>> mixval_score(Evaluation(source=source, target=outputs, predict=predict, target_inputs=inputs))
        1.0

    Note:
        The paper draws the pairs at random and adds the ranks of both kinds over all candidates, which a score of one
        checkpoint cannot know. skada leaves out a kind without pairs, which gives a collapsed model 1.
    """
    _checks.number(share, "share")
    if not 0.5 < share < 1:
        raise ValueError(f"share must lie between 0.5 and 1, got {share:g}")
    if pairs not in ("both", "within", "between"):
        raise ValueError(f"pairs must be 'both', 'within' or 'between', got {pairs!r}")
    target = _rows.outputs(evaluation, "target")
    for name in ("predict", "target_inputs"):
        if getattr(evaluation, name) is None:
            raise ValueError(f"evaluation must have {name}, got None; mixtures need new forward passes")
    if len(evaluation.target_inputs) != target.logits.shape[0]:
        raise ValueError(
            f"target_inputs must be the {target.logits.shape[0]} rows of target, got {len(evaluation.target_inputs)}"
        )
    rows = _rows.evenly(torch.arange(target.logits.shape[0]), _ROWS)
    predicted = target.logits.argmax(dim=1)[rows]
    kinds = [kind for kind in ("within", "between") if pairs in ("both", kind)]
    return sum(_agreement(evaluation, rows, predicted, share, kind) for kind in kinds) / len(kinds)


def _agreement(evaluation: Evaluation, rows: Tensor, predicted: Tensor, share: float, kind: str) -> float:
    """Share of the mixtures of one kind that are predicted as their first row; 0 where there are none."""
    first, second = _within(predicted) if kind == "within" else _between(predicted)
    if len(first) == 0:
        return 0.0
    assert evaluation.predict is not None
    mixed = evaluation.predict(_Mixtures(evaluation.target_inputs, rows[first], rows[second], share))
    return float((mixed.logits.argmax(dim=1).cpu() == predicted[first]).double().mean())


def _within(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Every row with the next one of its class, the last with the first; rows alone in their class are left out."""
    order = predicted.sort(stable=True).indices
    sizes = torch.bincount(predicted)
    sizes = sizes[sizes > 0]
    ends = sizes.cumsum(dim=0) - 1
    following = torch.arange(1, len(order) + 1)
    following[ends] = ends + 1 - sizes
    some = following != torch.arange(len(order))
    return order[some], order[following[some]]


def _between(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Every row with one of another class: so many places on in the order of classes as the largest class has rows."""
    order = predicted.sort(stable=True).indices
    other = order.roll(-int(torch.bincount(predicted).max()))
    some = predicted[order] != predicted[other]
    return order[some], other[some]


class _Mixtures:
    """Inputs whose rows are mixtures of two rows of others, mixed after their transform."""

    def __init__(self, inputs: Any, first: Tensor, second: Tensor, share: float) -> None:
        self._inputs, self._first, self._second, self._share = inputs, first, second, share

    def __len__(self) -> int:
        return len(self._first)

    def load(self, index: Any, *, training: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """The mixtures ``index`` as one CPU tensor."""
        at = torch.as_tensor(index)
        parts = [self._inputs.load(part[at].numpy(), training=False) for part in (self._first, self._second)]
        if not all(isinstance(part, Tensor) and part.is_floating_point() for part in parts):
            raise TypeError(
                f"target_inputs must load floating-point tensors, which can be mixed, got {type(parts[0]).__name__}"
            )
        mixed: Tensor = self._share * parts[0] + (1 - self._share) * parts[1]
        return mixed

    def with_transform(self, transform: Any) -> _Mixtures:
        """The same mixtures of images that pass through ``transform``; other inputs stay as they are."""
        changed = getattr(self._inputs, "with_transform", None)
        inputs = self._inputs if changed is None else changed(transform)
        return _Mixtures(inputs, self._first, self._second, self._share)

    def fingerprint(self) -> str:
        """The inputs behind and the share: what :class:`dalib.data.Inputs` asks for."""
        return f"mixtures of {self._inputs.fingerprint()} by {self._share}"
