"""Functions that no compiler takes apart."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def uncompiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A decorator: ``torch.compile`` breaks its graph here and runs the function as it is written.

    For loops whose length depends on values or on numbers of rows. ``torch.compiler.disable`` does the same, but as a
    decorator it loads the compiler, which takes as long to import as all of torch.

    Example:
        >>> @uncompiled
        ... def halved(x):
        ...     while x.sum() > 1:
        ...         x = x / 2
        ...     return x
        >>> halved(torch.tensor([4.0]))
        tensor([1.])
    """

    @functools.wraps(function)
    def called(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        if torch.compiler.is_compiling():
            outside: Callable[Arguments, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            return outside(*args, **options)
        return function(*args, **options)

    return called
