"""A method of your own beside the built-in ones: ``python own_method.py FEATURES.npz``."""

import sys

from dalib.benchmark import Protocol, benchmark, scenarios, table, trained
from dalib.data import feature_file
from dalib.losses import CORALLoss, MMDLoss
from dalib.methods import control, dann, source_only
from dalib.objective import Align, Objective, source_cross_entropy


def mine(features: int, classes: int, steps: int) -> Objective:
    """Two alignments at once."""
    return Objective(classification=source_cross_entropy, mmd=Align(MMDLoss()), coral=Align(CORALLoss(), weight=10.0))


def main(path: str, steps: int = 1000, seeds: int = 3) -> str:
    """The table of four methods on the first pair of a feature file."""
    recipes = {"source_only": source_only, "control": control, "dann": dann, "mine": mine}
    methods = {name: trained(recipe, Protocol(steps=steps)) for name, recipe in recipes.items()}
    return table(benchmark(methods, scenarios(feature_file(path))[:1], seeds=seeds, out="runs/mine"))


if __name__ == "__main__":
    print(main(sys.argv[1]))
