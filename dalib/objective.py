"""Composition: a named sum of terms, each a scalar made of the outputs of two domains."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import features, logits
from dalib.outputs import Outputs
from dalib.schedules import Schedule, Scheduled

Loss = Callable[..., Tensor]
"""Features of two domains -> scalar, minimised: ``loss(source, target)``, both shape ``(rows, d)``."""

Term = Callable[[Outputs, Outputs], Tensor]
"""Outputs of two domains -> scalar, minimised: ``term(source, target)``."""


class Losses(NamedTuple):
    """What an objective is worth on two batches.

    ``total`` is the sum of ``terms``; a term stands there with its weight already applied.
    """

    total: Tensor
    terms: dict[str, Tensor]

    def detach(self) -> Losses:
        """The same values outside the graph."""
        return Losses(self.total.detach(), {name: term.detach() for name, term in self.terms.items()})


def source_cross_entropy(source: Outputs, target: Outputs | None = None) -> Tensor:
    r"""Cross entropy of the labelled source rows, :math:`\frac1n \sum_i w_i\, \mathrm{CE}(z_i, y_i)`.

    Row weights are used as they are, not rescaled in each batch: with importance weights of mean one over the data set
    its expectation over batches is the weighted risk. Without weights every :math:`w_i` is 1; a batch whose weights are all
    zero is worth zero.

    Args:
        source: Outputs with labels.
        target: Not looked at.

    Returns:
        Scalar tensor, not negative.

    Raises:
        ValueError: If the source has no labels or no rows, or they or the weights do not fit the logits.

    Example:
        >>> rows = Outputs(torch.zeros(2, 3), torch.zeros(2, 4), labels=torch.tensor([0, 3]))
        >>> source_cross_entropy(rows)  # log 4
        tensor(1.3863)
    """
    if source.labels is None:
        raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
    if len(source.logits) == 0:
        raise ValueError("source must have at least 1 row, got 0")
    _checks.labels(source.labels, source.logits.shape[1], source.logits, "source.labels")
    logits = source.logits.to(torch.promote_types(source.logits.dtype, torch.float32))
    if source.weights is None:
        return F.cross_entropy(logits, source.labels.long())
    _checks.row_weights(source.weights, logits, "source.weights", all_zero=True)
    losses = F.cross_entropy(logits, source.labels.long(), reduction="none")
    return (source.weights.to(losses.dtype) * losses).mean()


def _takes(loss: Loss, *names: str) -> bool:
    """Whether ``loss`` can be called with keywords of these names."""
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters
    except (TypeError, ValueError):  # what is not written in Python need not have a signature
        return False
    return all(name in parameters for name in names) or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


class _Lifted(nn.Module):
    """A loss, what of the outputs it is given, and the weight of the term."""

    def __init__(self, loss: Loss, on: Callable[[Outputs], Any], weight: float | Schedule, *weight_names: str) -> None:
        super().__init__()
        for function, name in ((loss, "loss"), (on, "on")):
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {type(function).__name__}")
        self.loss = loss
        self.on = on
        self.weight = Scheduled(weight, name="weight")
        self._weight_names = weight_names
        self._takes_weights = _takes(loss, *weight_names)

    def _keywords(self, *row_weights: Tensor | None) -> dict[str, Tensor | None]:
        """The row weights as keywords of the loss; they are refused, never dropped, if it cannot take them."""
        if all(weights is None for weights in row_weights):
            return {}
        if not self._takes_weights:
            names = " and ".join(f"{name}=" for name in self._weight_names)
            raise TypeError(
                f"loss must take {names} because the rows have weights, got {_name(self.loss)} which does not; "
                f"give it the keywords or leave the weights out of the batches"
            )
        return dict(zip(self._weight_names, row_weights, strict=True))


class Align(_Lifted):
    """Lift a loss of two feature matrices to a term: *what* is aligned is ``on``, *how* is ``loss``.

    Row weights of the outputs are handed to the loss as ``source_weights=`` and ``target_weights=``. A loss that cannot
    take them is refused when weights arrive; they are never dropped.

    Args:
        loss: ``loss(source, target) -> scalar``: a function or a module such as ``MMDLoss()``.
        on: What of the outputs is aligned: a function ``Outputs -> Tensor`` (or a tuple of tensors, for losses of
            several layers). Default: the features.
        weight: Factor of the term: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``loss`` or ``on`` cannot be called; in ``forward``, if rows have weights that the loss cannot take.

    Example:
        >>> from dalib.losses import CORALLoss
        >>> source = Outputs(torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 2))
        >>> target = Outputs(torch.tensor([[2.0], [-2.0]]), torch.zeros(2, 2))
        >>> Align(CORALLoss(), weight=0.5)(source, target)
        tensor(4.5000)
    """

    def __init__(self, loss: Loss, *, on: Callable[[Outputs], Any] = features, weight: float | Schedule = 1.0) -> None:
        super().__init__(loss, on, weight, "source_weights", "target_weights")

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The weighted loss of the two domains."""
        keywords = self._keywords(source.weights, target.weights)
        value: Tensor = self.loss(self.on(source), self.on(target), **keywords)
        weight: float | Tensor = self.weight()
        return weight * value


class OnTarget(_Lifted):
    """Lift a loss of one matrix to a term that looks at the target rows alone, such as entropy or class confusion.

    Args:
        loss: ``loss(logits) -> scalar``: a function or a module such as ``MCCLoss()``.
        on: What of the outputs it is given. Default: the logits.
        weight: Factor of the term: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``loss`` or ``on`` cannot be called; in ``forward``, if the target rows have weights and the loss
            takes no ``weights=``.

    Example:
        >>> from dalib.losses import EntropyLoss
        >>> rows = Outputs(torch.zeros(2, 1), torch.zeros(2, 2))
        >>> OnTarget(EntropyLoss(), weight=2.0)(rows, rows)  # 2 log 2
        tensor(1.3863)
    """

    def __init__(self, loss: Loss, *, on: Callable[[Outputs], Any] = logits, weight: float | Schedule = 1.0) -> None:
        super().__init__(loss, on, weight, "weights")

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The weighted loss of the target rows."""
        value: Tensor = self.loss(self.on(target), **self._keywords(target.weights))
        weight: float | Tensor = self.weight()
        return weight * value


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


class Objective(nn.Module):
    """A named sum of terms. The names are for logs and errors; no data is routed by them.

    Modules among the terms are submodules, so their parameters, schedules and buffers are in ``parameters()`` and
    ``state_dict()``. In a loop of your own::

        losses = objective(source_outputs, target_outputs)
        losses.total.backward()
        optimizer.step()
        objective.advance()

    Args:
        **terms: ``name=term``, each ``term(source, target) -> scalar``: a function, or a module such as ``Align(...)``.

    Raises:
        TypeError: If a term cannot be called, or is an objective itself.
        ValueError: If there are no terms, or one has a name that ``torch.nn.ModuleDict`` uses or refuses;
            in ``forward``, if a term does not return one number.

    Example:
        >>> from dalib.losses import MMDLoss
        >>> objective = Objective(classification=source_cross_entropy, mmd=Align(MMDLoss()))
        >>> rows = Outputs(torch.zeros(2, 3), torch.zeros(2, 4), labels=torch.tensor([0, 3]))
        >>> objective(rows, rows).total  # log 4 + 0
        tensor(1.3863)
    """

    needs_target = True
    """Whether a training step has to forward the target batch."""

    extra_outputs = 0
    """Number of logits that the model must have beyond those of the source's classes."""

    def __init__(self, **terms: Term) -> None:
        super().__init__()
        if not terms:
            raise ValueError("terms must name at least one term, got none")
        for name, term in terms.items():
            if not callable(term):
                raise TypeError(f"term {name!r} must be callable as term(source, target), got {type(term).__name__}")
            if isinstance(term, Objective):
                raise TypeError(
                    f"term {name!r} must return a scalar, got an Objective; name its terms beside the others"
                )
            if hasattr(nn.ModuleDict(), name) or "." in name or not name:
                raise ValueError(
                    f"terms must not be called {name!r}, a name that torch.nn.ModuleDict uses or refuses; choose another"
                )
        self.terms = nn.ModuleDict(
            {name: term if isinstance(term, nn.Module) else _FunctionTerm(term) for name, term in terms.items()}
        )

    def forward(self, source: Outputs, target: Outputs) -> Losses:
        """Every term, and their sum."""
        values: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            value = term(source, target)
            if not isinstance(value, Tensor) or value.ndim != 0:
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"term {name!r} must return a scalar tensor, got {got}")
            values[name] = value
        first, *rest = values.values()
        return Losses(sum(rest, start=first), values)

    def advance(self) -> None:
        """One optimizer step is done: every schedule moves one step, here and nowhere else."""
        for module in self.modules():
            if isinstance(module, Scheduled):
                module.advance()


class SourceObjective(Objective):
    """An objective whose terms look at the source rows alone; a training step does not forward the target batch.

    Its terms are called with the source in both places, so that one which does look at the target sees no target row.

    Example:
        >>> rows = Outputs(torch.zeros(2, 3), torch.zeros(2, 4), labels=torch.tensor([0, 3]))
        >>> SourceObjective(classification=source_cross_entropy)(rows).total
        tensor(1.3863)
    """

    needs_target = False

    def forward(self, source: Outputs, target: Outputs | None = None) -> Losses:
        """Every term of the source rows, and their sum."""
        return super().forward(source, source)


class _FunctionTerm(nn.Module):
    """A plain function among the modules."""

    def __init__(self, function: Term) -> None:
        super().__init__()
        self.function = function

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        return self.function(source, target)

    def extra_repr(self) -> str:
        return _name(self.function)
