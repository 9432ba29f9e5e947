"""The contract of a loss between two domains, as a check to run on one of your own."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor, nn

from dalib.testing import _loss_forms, _loss_values
from dalib.testing._loss_case import Case, described
from dalib.testing.loss_inputs import Call, Inputs, of_two, two_matrices


def check_loss(
    loss: Callable[..., Tensor],
    *,
    inputs: Inputs = two_matrices,
    call: Call = of_two,
    on_itself: float | None = 0.0,
    symmetric: bool = True,
    repetition: bool = True,
    min_rows: int = 1,
    sample_name: str = "source",
    skip: Collection[str] = (),
    seed: int = 0,
    twin: nn.Module | None = None,
) -> None:
    """Check what every loss between two domains promises.

    The loss is called as ``loss(source, target)`` and with ``source_weights=`` and ``target_weights=`` (skip ``weights`` if
    it takes none), or as ``call`` says: :func:`~dalib.testing.of_outputs` for a loss of two model outputs,
    :func:`~dalib.testing.of_labelled` for one of rows and labels, :func:`~dalib.testing.of_one` for one of a single sample.
    Before each call torch's global seed is set, so it may draw. The checks, by name:

    - ``rows``: a finite scalar for ``n != m``; for fewer rows than ``min_rows`` a ``ValueError`` that names the sample.
    - ``itself``: ``on_itself`` for equal samples (``None``: nothing is promised).
    - ``symmetry``: the same value and gradients with the domains exchanged, if ``symmetric``.
    - ``permutation``: the same for rows in another order, whose gradients move with them; here of 17 and 20 rows.
    - ``unchanged``: the rows are what they were, and so are (by ``weights``) the weights; ``torch.no_grad`` changes nothing.
    - ``equal rows``: a finite value and gradient where all rows are equal, and where all are zero.
    - ``gradient``: some gradient reaches each of two different samples (that alone whose weights the loss takes, if it
      takes no others).
    - ``weights``: for the weights of each domain (of one alone, if only its weights are among the loss's arguments): equal
      weights change nothing, nor does a common factor; integer weights equal repeated rows if ``repetition``, zero among
      them; else a row of weight zero equals no row; both in value and gradient; negative, all-zero and too few weights are
      refused by name.
    - ``dtypes``: half precision is computed in float32 or better, the gradient comes back in the dtype of the rows; value
      and gradient are those of the same numbers in float64.
    - ``autocast``: the same inside ``torch.autocast``, in value and gradient.
    - ``compile``: the same value and gradient under ``torch.compile``.
    - ``vmap``: ``torch.func.vmap`` and ``torch.func.grad`` agree with loops and with autograd.
    - ``gradcheck``: the gradient is the derivative (of a loss whose bandwidth comes from the data outside the graph it is
      not: fix the bandwidth and check that).
    - ``device``: the same on CUDA, where there is one.
    - ``copies``: copying, pickling and ``state_dict`` keep the value of a module. That nothing it needs is missing from its
      ``state_dict``, such as a map that it has drawn, only a ``twin`` can tell.
    - ``errors``: NaN, another width, dtype or rank, integers and empty samples are refused by name (plain tensors only).

    "The same" is up to rounding, measured by the largest value of the loss at a few samples: a small loss is held to it like
    a large one.

    Args:
        loss: The loss, a function or a module.
        inputs: What makes its batches, in float64.
        call: How the loss takes them: ``call(loss, source, target, **weights)``.
        on_itself: The value for equal samples, or ``None``.
        symmetric: Whether exchanging the domains changes nothing.
        repetition: Whether integer weights equal repeated rows.
        min_rows: How many rows each domain needs.
        sample_name: What its errors call the source.
        skip: Names of checks that do not apply; say why where you call it.
        seed: Seed of the inputs.
        twin: Another module, built like ``loss`` but with other draws: it takes the ``state_dict`` over.

    Raises:
        AssertionError: At the first promise that is broken; the message says which, and what came. If the loss itself
            raised inside a check, its error is the cause.
        ValueError: If ``skip`` names no check.
        TypeError: If there is a ``twin``, and it or the loss is not a module.

    Example:
        >>> from dalib.losses import MMDLoss
        >>> check_loss(MMDLoss(bandwidths=[1.0]))
        >>> from dalib import entropy_loss
        >>> from dalib.testing import of_one
        >>> check_loss(entropy_loss, call=of_one, sample_name="logits", on_itself=None, symmetric=False)
    """
    unknown = set(skip) - set(_CHECKS)
    if unknown:
        raise ValueError(f"skip must name checks out of {', '.join(_CHECKS)}, got {', '.join(sorted(unknown))}")
    if twin is not None and not (isinstance(twin, nn.Module) and isinstance(loss, nn.Module)):
        raise TypeError(f"twin must be a module like loss, got {type(twin).__name__} for {type(loss).__name__}")
    case = Case(loss, inputs, call, on_itself, symmetric, repetition, min_rows, sample_name, seed, twin)
    for name, check in _CHECKS.items():
        if name not in skip:
            try:
                check(case)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error.__cause__
            except Exception as error:
                raise AssertionError(f"{name}: the loss must not raise, got {described(error)}") from error


_CHECKS: dict[str, Callable[[Case], None]] = {
    "rows": _loss_values.rows,
    "itself": _loss_values.itself,
    "symmetry": _loss_values.symmetry,
    "permutation": _loss_values.permutation,
    "unchanged": _loss_values.unchanged,
    "equal rows": _loss_values.equal_rows,
    "gradient": _loss_values.gradient,
    "weights": _loss_values.weights,
    "dtypes": _loss_forms.dtypes,
    "autocast": _loss_forms.autocast,
    "compile": _loss_forms.compile,
    "vmap": _loss_forms.vmap,
    "gradcheck": _loss_values.gradcheck,
    "device": _loss_forms.device,
    "copies": _loss_forms.copies,
    "errors": _loss_values.errors,
}
