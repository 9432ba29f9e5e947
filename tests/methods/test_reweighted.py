import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dalib import Batch, FeatureClassifier, Outputs, gradient_step
from dalib.methods import reweighted, source_only
from dalib.methods.reweighted import RecentRatio, ReweightedCrossEntropy
from dalib.weights import relative_ratio_weights


def rows(n, width=2, seed=0, shift=0.0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) + shift


def outputs(features, labels=True, seed=0):
    y = torch.arange(len(features)) % 3 if labels else None
    return Outputs(features, rows(len(features), 3, seed=seed + 50).requires_grad_(), y)


def test_a_refresh_learns_the_ratio_of_the_banks():
    ratio = RecentRatio(2, every=2, bank=64)
    source, target = rows(64), rows(64, seed=1, shift=1.0)
    ratio.observe(source, target)
    ratio.advance()
    assert torch.equal(ratio.weigh(source), torch.ones(64))  # not yet
    ratio.advance()
    torch.testing.assert_close(ratio.weigh(source), relative_ratio_weights(source, target, alpha=0.5))
    assert ratio.weigh(source).mean() == pytest.approx(1.0, abs=1e-5)


def test_banks_keep_the_latest_rows_also_of_batches_that_are_larger_or_not_yet_enough():
    ratio = RecentRatio(1, bank=4)
    for start in (0, 3, 6):
        ratio.observe(torch.arange(start, start + 3.0)[:, None], torch.zeros(1, 1))
    assert sorted(ratio.source[:, 0].tolist()) == [5.0, 6.0, 7.0, 8.0]
    assert ratio.seen.tolist() == [9, 3]
    ratio.observe(torch.arange(9.0)[:, None], torch.zeros(1, 1))
    assert sorted(ratio.source[:, 0].tolist()) == [5.0, 6.0, 7.0, 8.0]
    small = RecentRatio(2, every=1, bank=64)
    small.observe(rows(10), rows(8, seed=1))
    small.advance()
    torch.testing.assert_close(small.weigh(rows(10)), relative_ratio_weights(rows(10), rows(8, seed=1), alpha=0.5))


def test_one_row_or_no_overlap_keeps_what_there_was():
    ratio = RecentRatio(1, every=1, bank=8)
    ratio.observe(torch.zeros(1, 1), torch.zeros(1, 1))
    ratio.advance()
    assert not ratio.fitted
    ratio.observe(torch.full((8, 1), float("nan")), torch.zeros(8, 1))
    ratio.advance()
    assert not ratio.fitted


def test_the_loss_is_the_weighted_mean_and_row_weights_multiply():
    term = ReweightedCrossEntropy(RecentRatio(2, every=1, bank=32))
    source, target = outputs(rows(32)), outputs(rows(32, seed=1, shift=1.0), labels=False)
    each = F.cross_entropy(source.logits, source.labels, reduction="none")
    torch.testing.assert_close(term(source, target), each.mean())
    term.ratio.advance()
    weights = term.ratio.weigh(source.features)
    assert weights.std() > 0.1
    torch.testing.assert_close(term.eval()(source, target), (weights * each).mean())
    assert term.ratio.seen.tolist() == [32, 32]  # evaluation is not remembered
    own = torch.linspace(0, 2, 32)
    weighted = Outputs(source.features, source.logits, source.labels, own)
    torch.testing.assert_close(term(weighted, target), (weights * own * each).mean())


def test_weights_keep_their_digits_under_autocast_and_far_from_zero():
    ratio, far = (RecentRatio(2, every=1, bank=64) for _ in range(2))
    source, target = rows(64), rows(64, seed=1, shift=1.0)
    for one, moved in ((ratio, 0.0), (far, 2.0**12)):
        one.observe(source + moved, target + moved)
        one.advance()
    weights = ratio.weigh(source)
    torch.testing.assert_close(
        far.weigh(source + 2.0**12), weights, rtol=1e-2, atol=1e-2
    )  # features have 11 digits left
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ratio.weigh(source), weights)


def training(objective, seed=0):
    torch.manual_seed(seed)
    model = FeatureClassifier(nn.Linear(2, 8), 3, bottleneck=None, width=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, gradient_step(model, objective, optimizer)


def test_state_goes_round_exactly():
    objective = reweighted(8, 3, 100, every=3, bank=40)
    model, optimizer, step = training(objective)
    batches = [
        (Batch(rows(16, seed=s), torch.arange(16) % 3), Batch(rows(16, seed=100 + s, shift=1.0))) for s in range(10)
    ]
    for pair in batches[:5]:
        step(*pair)
    states = [copy.deepcopy(part.state_dict()) for part in (model, objective, optimizer)]
    expected = [step(*pair).total.item() for pair in batches[5:]]
    other = reweighted(8, 3, 100, every=3, bank=40)
    fresh = training(other, seed=9)
    for part, state in zip((fresh[0], other, fresh[1]), states, strict=True):
        part.load_state_dict(state)
    assert [fresh[2](*pair).total.item() for pair in batches[5:]] == expected


def two_rules(n, share, seed):
    """Left of zero the label is the sign of the second column, right of it the opposite; ``share`` lies right."""
    generator = torch.Generator().manual_seed(seed)
    right = torch.rand(n, generator=generator) < share
    x = torch.randn(n, 2, generator=generator)
    x[:, 0] = torch.where(right, 2.0, -2.0) + 0.3 * x[:, 0]
    return x, ((x[:, 1] > 0) != right).long()


def accuracy(recipe, seed, **options):
    torch.manual_seed(seed)
    model = FeatureClassifier(nn.Identity(), 2, bottleneck=None, width=2)
    objective = recipe(2, 2, 150, **options)
    step = gradient_step(model, objective, torch.optim.SGD(model.parameters(), lr=0.2))
    for count in range(150):
        x, y = two_rules(64, 0.2, seed * 1000 + count)
        step(Batch(x, y), Batch(two_rules(64, 1.0, 500_000 + seed * 1000 + count)[0]))
    x, y = two_rules(400, 1.0, 999_999)
    return (model(x)[1].argmax(dim=1) == y).float().mean().item()


@pytest.mark.parametrize("seed", [0, 1])
def test_it_learns_the_rule_of_the_target_where_source_only_learns_the_other(seed):
    assert accuracy(source_only, seed) < 0.4
    assert accuracy(reweighted, seed, every=10, bank=256) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RecentRatio(2, every=0), "every must be at least 1"),
        (lambda: RecentRatio(2, bank=1), "bank must be at least 2"),
        (lambda: RecentRatio(2, alpha=0.0), r"alpha must lie in \(0, 1\], got 0"),
        (lambda: reweighted(3, 3, 10)(outputs(rows(4)), outputs(rows(4))), "source must have 3 features, got shape"),
        (lambda: reweighted(2, 3, 10)(outputs(rows(4), labels=False), outputs(rows(4))), "source must have labels"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
