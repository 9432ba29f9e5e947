import copy
import math
import pickle

import pytest
import torch
from torch import nn

from dalib import (
    Align,
    CORALLoss,
    DomainAdversarialLoss,
    EntropyLoss,
    MCCLoss,
    MMDLoss,
    Objective,
    OnTarget,
    Outputs,
    RandomizedMultilinear,
    SourceObjective,
    entropy_loss,
    linear_ramp,
    mmd_loss,
    multilinear,
    source_cross_entropy,
)


def rows(n=4, labels=True, weights=None):
    return Outputs(
        torch.randn(n, 3, requires_grad=True),
        torch.randn(n, 2, requires_grad=True),
        torch.arange(n) % 2 if labels else None,
        weights,
    )


def full():
    adversary = DomainAdversarialLoss(nn.Linear(5, 1), strength=linear_ramp(10))
    return Objective(
        classification=source_cross_entropy,
        mmd=Align(MMDLoss(), weight=linear_ramp(4, high=2.0)),
        cdan=Align(adversary, on=RandomizedMultilinear(3, 2, dimension=5)),
        entropy=OnTarget(EntropyLoss(), weight=0.1),
    )


def test_the_total_is_the_sum_of_the_weighted_terms():
    source, target = rows(), rows(3, labels=False)
    objective = Objective(
        classification=source_cross_entropy,
        mmd=Align(MMDLoss(), weight=0.5),
        entropy=OnTarget(entropy_loss, weight=2.0),
    )
    losses = objective(source, target)
    torch.testing.assert_close(losses.terms["mmd"], 0.5 * mmd_loss(source.features, target.features))
    torch.testing.assert_close(losses.terms["entropy"], 2 * entropy_loss(target.logits))
    torch.testing.assert_close(losses.total, sum(losses.terms.values()))
    assert losses.total.requires_grad
    assert not losses.detach().total.requires_grad


def test_advance_alone_moves_the_schedules():
    objective = full()
    source, target = rows(), rows(3, labels=False)
    for _ in range(3):
        assert objective(source, target).terms["mmd"] == 0
    objective.advance()
    torch.testing.assert_close(objective(source, target).terms["mmd"], 0.5 * mmd_loss(source.features, target.features))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_equal(copied):
    objective, source, target = full(), rows(), rows(3, labels=False)
    objective.advance()
    assert torch.equal(copied(objective)(source, target).total, objective(source, target).total)


def test_state_dict_holds_schedules_maps_and_adversaries():
    objective, other, source, target = full(), full(), rows(), rows(3, labels=False)
    objective.advance()
    other.load_state_dict(objective.state_dict())
    assert torch.equal(other(source, target).total, objective(source, target).total)


def test_a_schedule_of_a_hundred_steps_compiles_at_most_two_graphs():
    graphs = 0

    def counting(graph, inputs):
        nonlocal graphs
        graphs += 1
        return graph

    objective = Objective(
        classification=source_cross_entropy,
        mmd=Align(MMDLoss(), weight=linear_ramp(100)),
        adversarial=Align(DomainAdversarialLoss(nn.Linear(6, 1), strength=linear_ramp(100)), on=multilinear),
    )
    compiled = torch.compile(objective, backend=counting)
    for _ in range(100):
        source, target = rows(), rows(4, labels=False)
        torch.testing.assert_close(compiled(source, target).total, objective(source, target).total)
        objective.advance()
    assert graphs <= 2


def test_row_weights_reach_the_loss():
    weights = torch.tensor([1.0, 2.0, 0.5, 0.5])
    source, target = rows(weights=weights), rows(3, labels=False)
    expected = mmd_loss(source.features, target.features, source_weights=weights)
    torch.testing.assert_close(Align(MMDLoss())(source, target), expected)
    torch.testing.assert_close(Align(mmd_loss)(source, target), expected)
    weighted_target = rows(4, labels=False, weights=weights)
    expected = entropy_loss(weighted_target.logits, weights=weights)
    torch.testing.assert_close(OnTarget(EntropyLoss())(source, weighted_target), expected)


def test_a_loss_that_cannot_take_weights_is_refused_and_not_given_fewer():
    class Plain(nn.Module):
        def forward(self, source, target):
            return (source.mean() - target.mean()).square()

    weighted = rows(weights=torch.ones(4))
    for loss in (Plain(), lambda s, t: s.sum() - t.sum()):
        Align(loss)(rows(), rows())
        with pytest.raises(TypeError, match="loss must take source_weights= and target_weights= because the rows have"):
            Align(loss)(weighted, rows())
        with pytest.raises(TypeError, match="loss must take source_weights="):
            Align(loss)(rows(), weighted)
    with pytest.raises(TypeError, match="loss must take weights="):
        OnTarget(lambda z: z.sum())(rows(), weighted)
    assert OnTarget(lambda z: z.sum())(weighted, rows()).ndim == 0  # source weights do not concern a target term


def test_weighted_cross_entropy_is_not_rescaled_in_the_batch():
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5])
    source = rows(weights=weights)
    each = nn.functional.cross_entropy(source.logits, source.labels, reduction="none")
    torch.testing.assert_close(source_cross_entropy(source), (weights * each).sum() / 4)


def test_a_batch_of_rows_that_do_not_count_is_worth_zero():
    source = rows(weights=torch.zeros(4))  # kernel mean matching gives most rows the weight zero
    value = source_cross_entropy(source)
    assert value == 0
    assert torch.equal(torch.autograd.grad(value, source.logits)[0], torch.zeros(4, 2))


def test_cross_entropy_of_short_labels_and_half_logits_is_computed_in_float32():
    logits = torch.tensor([[6e4, -6e4], [1.0, 2.0]])
    labels = torch.tensor([0, 1], dtype=torch.int16)
    value = source_cross_entropy(Outputs(torch.zeros(2, 3), logits.half(), labels))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, nn.functional.cross_entropy(logits, labels.long()), rtol=1e-3, atol=1e-4)


def test_a_source_objective_sees_the_source_alone():
    source = rows()
    objective = SourceObjective(classification=source_cross_entropy, coral=Align(CORALLoss()))
    assert not objective.needs_target
    torch.testing.assert_close(objective(source, rows(3)).total, source_cross_entropy(source))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Objective(), ValueError, "at least one term"),
        (lambda: Objective(keys=source_cross_entropy), ValueError, "terms must not be called 'keys'"),
        (lambda: Objective(**{"a.b": source_cross_entropy}), ValueError, "terms must not be called 'a.b'"),
        (lambda: Objective(training=source_cross_entropy), ValueError, "terms must not be called 'training'"),
        (
            lambda: Objective(dan=Objective(mmd=Align(mmd_loss))),
            TypeError,
            "term 'dan' must return a scalar, got an Objective; name its terms",
        ),
        (lambda: Objective(mmd=3.0), TypeError, "term 'mmd' must be callable"),
        (
            lambda: Objective(mmd=lambda s, t: 1.0)(rows(), rows()),
            ValueError,
            "term 'mmd' must return a scalar tensor, got f",
        ),
        (
            lambda: Objective(mmd=lambda s, t: s.features)(rows(), rows()),
            ValueError,
            r"scalar tensor, got shape \(4, 3\)",
        ),
        (lambda: Align("mmd"), TypeError, "loss must be callable, got str"),
        (lambda: Align(mmd_loss, on="features"), TypeError, "on must be callable"),
        (lambda: Align(mmd_loss, weight=math.nan), ValueError, "weight must be finite"),
        (lambda: source_cross_entropy(rows(labels=False)), ValueError, "source must have labels, got none"),
        (
            lambda: source_cross_entropy(Outputs(torch.zeros(2, 3), torch.zeros(2, 2), torch.tensor([0, 2]))),
            ValueError,
            r"source.labels must lie in 0..1, got values in 0..2",
        ),
        (
            lambda: source_cross_entropy(Outputs(torch.zeros(2, 3), torch.zeros(2, 2), torch.tensor([0.0, 1.0]))),
            TypeError,
            "source.labels must have an integer dtype",
        ),
        (lambda: OnTarget(MCCLoss())(rows(), rows(weights=-torch.ones(4))), ValueError, "weights must not be negative"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_loss_without_a_signature_can_be_lifted():
    rows = [Outputs(torch.full((2, 3), value), torch.zeros(2, 2)) for value in (1.0, 3.0)]
    assert Align(torch.dist)(*rows).item() == pytest.approx(24**0.5)
    weighted = Outputs(torch.ones(2, 3), torch.zeros(2, 2), weights=torch.ones(2))
    with pytest.raises(TypeError, match=r"^loss must take source_weights= and target_weights="):
        Align(torch.dist)(weighted, rows[1])
