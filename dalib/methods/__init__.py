"""Methods as recipes: one paper, one file, ``recipe(features, classes, steps) -> Objective``.

What a paper fixes for itself (weight, temperature, schedule) is a named default of its recipe; what all methods share
(backbone, optimizer, steps, batch, forward mode) is the protocol's.
"""

from collections.abc import Callable

from dalib.methods.cdan import cdan
from dalib.methods.control import control
from dalib.methods.dan import dan
from dalib.methods.dann import dann
from dalib.methods.deep_coral import deep_coral
from dalib.methods.importance_weighted import importance_weighted
from dalib.methods.mcc import mcc
from dalib.methods.source_only import source_only
from dalib.objective import Objective

Recipe = Callable[..., Objective]
"""``recipe(features, classes, steps, **options) -> Objective``."""

RECIPES: dict[str, Recipe] = {
    recipe.__name__: recipe for recipe in (source_only, control, importance_weighted, dan, deep_coral, dann, cdan, mcc)
}
"""The recipes by name, for command lines and tables."""

__all__ = [
    "RECIPES",
    "Recipe",
    "cdan",
    "control",
    "dan",
    "dann",
    "deep_coral",
    "importance_weighted",
    "mcc",
    "source_only",
]
