"""The methods that minimise a discrepancy: they adapt, every part moves, and their parts do what they say."""

import functools

import pytest
import torch
import torch.nn.functional as F

from dalib import Outputs
from dalib.losses import AdversarialMapLoss, ExactTransportLoss
from dalib.methods import can, cmd, deepjdot, dsan, homm, jan, log_coral, source_only, swd, wdgrl
from dalib.methods.can import ClusteredContrast
from dalib.methods.deepjdot import JointTransport
from dalib.methods.dsan import SubdomainTerm
from tests.shifted_problem import target_accuracy

SEEDS = (0, 1)


@functools.cache
def mean_accuracy(recipe, **options):
    return sum(target_accuracy(recipe, seed, **options) for seed in SEEDS) / len(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options", "margin"),
    [
        (jan, {}, 0.15),
        (jan, {"adversarial": True}, 0.15),
        (dsan, {}, 0.15),
        (log_coral, {}, 0.08),
        (cmd, {}, 0.15),
        (homm, {}, 0.15),
        (can, {}, 0.12),
        (swd, {}, 0.15),
        (deepjdot, {}, 0.1),
        (wdgrl, {}, 0.12),
    ],
)
def test_beats_source_only_by_a_margin_and_every_part_moves(recipe, options, margin):
    assert mean_accuracy(recipe, **options) > mean_accuracy(source_only) + margin


def outputs(features, logits=None, labels=None):
    return Outputs(features, torch.zeros(len(features), 3) if logits is None else logits, labels)


def test_jan_a_has_a_map_for_each_layer():
    loss = jan(6, 3, 10, adversarial=True).terms["joint_mmd"].loss
    assert isinstance(loss, AdversarialMapLoss)
    assert [each.in_features for each in loss.maps] == [6, 3]


def test_deepjdot_without_label_cost_is_the_transport_of_the_features():
    source, target = torch.randn(5, 2), torch.randn(5, 2)
    labels = torch.tensor([0, 1, 2, 0, 1])
    value = JointTransport(features=1.0, labels=0.0)(outputs(source, labels=labels), outputs(target))
    torch.testing.assert_close(value, ExactTransportLoss()(source, target))


def test_deepjdot_sends_labels_where_they_are_least_surprising():
    rows, labels = torch.zeros(3, 2), torch.tensor([2, 0, 1])
    logits = torch.randn(3, 3) * 5
    value = JointTransport(features=0.0, labels=1.0)(outputs(rows, labels=labels), outputs(rows, logits))
    orders = [torch.tensor(o) for o in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]
    torch.testing.assert_close(value, min(F.cross_entropy(logits[o], labels) for o in orders))


def test_clusters_name_target_rows_by_the_source_class_they_start_from():
    centres = torch.eye(3)
    contrast = ClusteredContrast(3, 3, bank=8)
    labels = torch.arange(3)
    turned = torch.linalg.qr(torch.eye(3) + 0.3 * torch.randn(3, 3)).Q  # target classes lie near, not at the centres
    turned = turned * turned.diagonal().sign()
    for _ in range(4):
        contrast(outputs(centres, labels=labels), outputs(turned.mT.contiguous()))
    found = (F.normalize(turned.mT, dim=1) @ contrast._clusters().mT).argmax(1)
    assert found.tolist() == [0, 1, 2]
    state = contrast.state_dict()
    assert state["filled"].all()
    assert int(state["place"]) == 4 * 3 % 8
    contrast.eval()
    contrast(outputs(-centres, labels=labels), outputs(-centres))
    torch.testing.assert_close(contrast.centres, state["centres"])


def test_a_threshold_that_no_row_meets_gives_zero():
    contrast = ClusteredContrast(2, 3, threshold=1e-9, iterations=1)
    contrast.centres.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]))
    rows = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).requires_grad_()
    value = contrast.eval()(outputs(rows, labels=torch.tensor([0, 1])), outputs(rows.detach()))
    assert value == 0
    assert torch.equal(torch.autograd.grad(value, rows)[0], torch.zeros(2, 2))


def test_a_class_that_was_not_seen_yet_takes_no_target_rows():
    contrast = ClusteredContrast(2, 3)
    target = torch.tensor([[-1.0, -0.2], [-0.3, -1.0], [1.0, 0.1]])
    contrast(outputs(torch.eye(2), labels=torch.tensor([0, 1])), outputs(target))
    assert torch.equal(contrast._clusters()[2], torch.zeros(2))


def test_kept_rows_that_do_not_count_give_zero():
    contrast = ClusteredContrast(2, 2, threshold=0.05).eval()
    contrast.centres.copy_(torch.eye(2))
    rows = outputs(torch.eye(2), labels=torch.tensor([0, 1]))
    target = outputs(torch.tensor([[1.0, 0.0], [-1.0, -1.0]]))
    assert contrast(rows, target, target_weights=torch.tensor([0.0, 1.0])) == 0
    with pytest.raises(ValueError, match="target_weights"):
        contrast(rows, target, target_weights=torch.zeros(2))


def test_the_contrast_has_the_weights_as_they_are_given():
    source = outputs(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), labels=torch.tensor([0, 0, 1]))
    target = outputs(torch.tensor([[1.0, 0.2], [0.3, 1.0], [0.1, 2.0]]))
    weights = {"source_weights": torch.tensor([1.0, 2.0, 1.0]), "target_weights": torch.tensor([5.0, 1.0, 3.0])}
    contrast = ClusteredContrast(2, 2).eval()
    contrast.centres.copy_(torch.eye(2))
    expected = contrast.loss(source.features, target.features, source.labels, torch.tensor([0, 1, 1]), **weights)
    torch.testing.assert_close(contrast(source, target, **weights), expected)


def test_rows_of_weight_zero_have_no_say_in_centres_and_clusters():
    source = outputs(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -5.0]]), labels=torch.tensor([0, 1, 1]))
    target = outputs(torch.tensor([[1.0, 0.2], [0.3, 1.0], [-3.0, 1.0]]))
    counts = torch.tensor([1.0, 1.0, 0.0])
    weighted, without = ClusteredContrast(2, 2, bank=8), ClusteredContrast(2, 2, bank=8)
    fewer = [
        outputs(each.features[:2], labels=None if each.labels is None else each.labels[:2]) for each in (source, target)
    ]
    value = weighted(source, target, source_weights=counts, target_weights=counts)
    torch.testing.assert_close(value, without(*fewer))
    torch.testing.assert_close(weighted.centres, without.centres)
    torch.testing.assert_close(weighted._clusters(), without._clusters())
    assert weighted.filled.sum() == 2
    for wrong in ({"source_weights": -counts}, {"target_weights": -counts}):
        before = weighted.centres.clone()
        with pytest.raises(ValueError, match=next(iter(wrong))):
            weighted(source, target, **wrong)
        assert torch.equal(weighted.centres, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_can_trains_in_other_dtypes(dtype):
    contrast = ClusteredContrast(4, 3, bank=8).to(dtype)
    rows = outputs(torch.randn(6, 4, dtype=dtype).requires_grad_(), labels=torch.arange(6) % 3)
    for _ in range(2):
        value = contrast(rows, outputs(torch.randn(5, 4, dtype=dtype)))
    assert torch.isfinite(torch.autograd.grad(value, rows.features)[0]).all()
    assert contrast.kept.dtype == dtype


def test_can_and_deepjdot_are_the_same_under_autocast():
    torch.manual_seed(0)
    source, target = outputs(torch.randn(9, 6) + 5, labels=torch.arange(9) % 3), outputs(torch.randn(7, 6) + 5)
    for make in (lambda: ClusteredContrast(6, 3), lambda: JointTransport(features=1.0)):
        plain, under_autocast = make(), make()
        for _ in range(2):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = under_autocast(source, target)
            torch.testing.assert_close(value, plain(source, target), rtol=0, atol=0)


def test_rows_that_are_not_finite_do_not_enter_the_bank_of_can():
    contrast = ClusteredContrast(2, 2, bank=4)
    rows = outputs(torch.eye(2), labels=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="target must be finite, got NaN or infinity in 2 entries"):
        contrast(rows, outputs(torch.full((1, 2), float("nan"))))
    assert not contrast.filled.any()


def test_deepjdot_keeps_its_digits_and_the_dtype_of_the_features():
    source = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1e4, 1.0], [1e4, 0.0]])
    target = source.flip(0) + torch.tensor([0.5, 0.0])
    labels = torch.zeros(4, dtype=torch.int64)
    transport = JointTransport(features=1.0, labels=0.0)
    assert transport(outputs(source, labels=labels), outputs(target)).item() == pytest.approx(0.25, rel=1e-6)
    double = transport(outputs(source.double(), labels=labels), outputs(target.double()))
    assert double.dtype == torch.float64


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (torch.zeros(2, 2), torch.zeros(2, 3), "source and target must have the same number of features, got 2 and 3"),
        (torch.zeros(2, 2), torch.full((2, 2), float("nan")), "target must be finite"),
    ],
)
def test_deepjdot_names_features_that_do_not_fit(source, target, message):
    with pytest.raises(ValueError, match=message):
        JointTransport()(outputs(source, labels=torch.tensor([0, 1])), outputs(target))


@pytest.mark.parametrize("term", [SubdomainTerm(), JointTransport(), ClusteredContrast(2, 3)])
def test_source_labels_are_asked_for(term):
    rows = outputs(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="source must have labels, got none"):
        term(rows, rows)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JointTransport(features=-1.0), "features must be finite and not negative, got -1"),
        (lambda: ClusteredContrast(2, 3, bank=0), "bank must be at least 1, got 0"),
        (lambda: ClusteredContrast(2, 3, threshold=0.0), r"threshold must be in \(0, 1\], got 0"),
        (lambda: ClusteredContrast(2, 3, momentum=1.0), r"momentum must be in \[0, 1\), got 1"),
        (lambda: wdgrl(2, 3, 10, critic_steps=0), "critic_steps must be at least 1, got 0"),
    ],
)
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_joint_cost_beyond_float32_is_an_error():
    source = Outputs(torch.full((4, 3), 1e30), torch.randn(4, 2), labels=torch.tensor([0, 1, 0, 1]))
    target = Outputs(torch.full((5, 3), -1e30), torch.randn(5, 2))
    with pytest.raises(ValueError, match=r"^source and target must be small enough"):
        JointTransport(features=1.0)(source, target)


@pytest.mark.parametrize("options", [{"threshold": "a"}, {"momentum": None}, {"threshold": True}])
def test_options_of_the_clusters_are_numbers(options):
    with pytest.raises(TypeError, match=f"^{next(iter(options))} must be a number"):
        ClusteredContrast(2, 3, **options)
