"""What there is to run, in words: data sets, methods, kinds of scenarios, validators, backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dalib.benchmark.kinds import CLOSED, KINDS
from dalib.benchmark.open_scenarios import PUBLISHED_SPLITS
from dalib.benchmark.opt_in_scores import ALL_SCORES
from dalib.benchmark.scores import SCORES
from dalib.benchmark.sets import SETS
from dalib.methods import OPEN_RECIPES, RECIPES


def listing(usual: Mapping[str, Sequence[str]]) -> str:
    """The text of ``dalib list``.

    Args:
        usual: For each kind of scenario the methods that are run unless others are named.

    Example:
        >>> "source_only" in listing(dict.fromkeys(KINDS, ("source_only",)))
        True
    """
    lines = ["Data sets:", *(f"  {name:20} {named.about}" for name, named in SETS.items())]
    recipes = {**RECIPES, **OPEN_RECIPES}
    lines += ["", "Methods:", *(f"  {name:20} {_first_line(recipe)}" for name, recipe in recipes.items())]
    lines.append(f"  {'target_supervised':20} The upper bound: trained on target labels, by the harness alone.")
    lines += ["", "Scenarios:"]
    for kind, about in KINDS.items():
        published = [name for name, splits in PUBLISHED_SPLITS.items() if kind in splits]
        sets = "" if kind == CLOSED else f"; published classes: {', '.join(published)}"
        lines.append(f"  {kind:20} {about}{sets}; by default {', '.join(usual[kind])}")
    lines += ["", "Validators, scored at every checkpoint:"]
    lines += [f"  {name:28} {_first_line(score)}" for name, score in SCORES.items()]
    lines += ["", "Validators that --validators asks for:"]
    lines += [f"  {name:28} {_first_line(score)}" for name, score in ALL_SCORES.items() if name not in SCORES]
    backbones = "timm:NAME, torchvision:NAME, transformers:NAME, FILE.py:function (?pretrained=false: random weights)"
    return "\n".join([*lines, "", f"Backbones: {backbones}"])


def _first_line(function: object) -> str:
    """The first line of a docstring, without references and formulas."""
    return re.sub(r" \[\d\]_|, :math:`[^`]*`", "", (function.__doc__ or "").strip().splitlines()[0])
