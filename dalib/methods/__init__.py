"""Methods as recipes: one paper, one file, ``recipe(features, classes, steps) -> Objective``.

What a paper fixes for itself (weight, temperature, schedule) is a named default of its recipe; what all methods share
(backbone, optimizer, steps, batch, forward mode) is the protocol's.
"""

from collections.abc import Callable

from dalib.methods.adda import adda
from dalib.methods.bsp import bsp
from dalib.methods.can import can
from dalib.methods.cdan import cdan, cdan_e
from dalib.methods.cmd import cmd
from dalib.methods.control import control
from dalib.methods.daan import daan
from dalib.methods.daln import daln
from dalib.methods.dan import dan
from dalib.methods.dann import dann
from dalib.methods.deep_coral import deep_coral
from dalib.methods.deepjdot import deepjdot
from dalib.methods.domain_confusion import domain_confusion
from dalib.methods.dsan import dsan
from dalib.methods.etn import etn
from dalib.methods.homm import homm
from dalib.methods.importance_weighted import importance_weighted
from dalib.methods.iwan import iwan
from dalib.methods.jan import jan
from dalib.methods.log_coral import log_coral
from dalib.methods.mada import mada
from dalib.methods.mcc import mcc
from dalib.methods.mcd import mcd
from dalib.methods.mcd_reversal import mcd_reversal
from dalib.methods.mdd import mdd
from dalib.methods.osbp import osbp
from dalib.methods.ovanet import ovanet
from dalib.methods.pada import pada
from dalib.methods.reweighted import reweighted
from dalib.methods.source_only import source_only
from dalib.methods.swd import swd
from dalib.methods.swd_mcd import swd_mcd
from dalib.methods.uan import uan
from dalib.methods.wdgrl import wdgrl
from dalib.objective import Objective

Recipe = Callable[..., Objective]
"""``recipe(features, classes, steps, **options) -> Objective``."""

RECIPES: dict[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        *(source_only, control, importance_weighted, reweighted, dan, deep_coral, mcc),
        *(jan, dsan, log_coral, cmd, homm, can, swd, deepjdot, wdgrl),
        *(dann, cdan, cdan_e, mdd, bsp, daln, daan, mada, domain_confusion),
        *(adda, mcd, mcd_reversal, swd_mcd),
        *(pada, iwan, etn),
    )
}
"""The recipes by name, for command lines and tables."""

OPEN_RECIPES: dict[str, Recipe] = {recipe.__name__: recipe for recipe in (osbp, uan, ovanet)}
"""Recipes for targets with unknown classes: their objectives tell them, ``objective.unknown(outputs)``."""

__all__ = [
    "OPEN_RECIPES",
    "RECIPES",
    "Recipe",
    "adda",
    "bsp",
    "can",
    "cdan",
    "cdan_e",
    "cmd",
    "control",
    "daan",
    "daln",
    "dan",
    "dann",
    "deep_coral",
    "deepjdot",
    "domain_confusion",
    "dsan",
    "etn",
    "homm",
    "importance_weighted",
    "iwan",
    "jan",
    "log_coral",
    "mada",
    "mcc",
    "mcd",
    "mcd_reversal",
    "mdd",
    "osbp",
    "ovanet",
    "pada",
    "reweighted",
    "source_only",
    "swd",
    "swd_mcd",
    "uan",
    "wdgrl",
]
