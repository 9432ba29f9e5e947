import functools

import pytest
import torch

from dalib import Batch, FeatureClassifier, Outputs, methods, separate_forward
from dalib.methods import RECIPES, cdan, control, dan, dann, deep_coral, mcc, source_only
from dalib.training import PhasedObjective
from tests.shifted_problem import target_accuracy

SEEDS = (0, 1, 2)


@functools.cache
def mean_accuracy(recipe, **options):
    return sum(target_accuracy(recipe, seed, **options) for seed in SEEDS) / len(SEEDS)


def test_source_only_visibly_fails():
    assert mean_accuracy(source_only) < 0.85


def test_without_batch_norm_the_control_is_source_only():
    assert target_accuracy(control, 0) == target_accuracy(source_only, 0)


@pytest.mark.parametrize(
    ("recipe", "options", "margin"),
    [
        (dan, {}, 0.15),
        (deep_coral, {}, 0.08),
        (dann, {"hidden": 64}, 0.15),
        (cdan, {"hidden": 64}, 0.15),
        (mcc, {}, 0.1),
    ],
)
def test_beats_source_only_by_a_margin_and_every_part_moves(recipe, options, margin):
    assert mean_accuracy(recipe, **options) > mean_accuracy(source_only) + margin


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_unequal_and_one_row_batches(name):
    objective = RECIPES[name](6, 3, 10).eval()  # eval: batch norm in a discriminator, too, sees what it sees
    head = torch.nn.Linear(6, 3)

    def rows(n, labels):
        features = torch.randn(n, 6)
        return Outputs(features, head(features), torch.arange(n) % 3 if labels else None, head=head)

    if isinstance(objective, PhasedObjective):
        model = FeatureClassifier(torch.nn.Identity(), 3, bottleneck=None, width=6)
        for n, m in ((5, 4), (1, 1)):
            source, target = Batch(torch.randn(n, 6), torch.arange(n) % 3), Batch(torch.randn(m, 6))
            assert all(
                torch.isfinite(phase.loss(source, target)) for phase in objective.phases(model, separate_forward)
            )
        return

    assert torch.isfinite(objective(rows(5, True), rows(4, False)).total)
    if name in ("deep_coral", "log_coral"):
        with pytest.raises(ValueError, match="source must have at least 2 rows, got 1"):
            objective(rows(1, True), rows(4, False))
    else:
        assert torch.isfinite(objective(rows(1, True), rows(1, False)).total)


def test_every_recipe_is_exported_under_its_name():
    for name, recipe in RECIPES.items():
        assert getattr(methods, name) is recipe
