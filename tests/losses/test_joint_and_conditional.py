"""Joint MMD and its adversary, local and class-conditional MMD, contrastive domain discrepancy."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.kernels import Gaussian, Laplacian
from dalib.losses import (
    AdversarialMapLoss,
    ClassConditionalMMDLoss,
    JointMMDLoss,
    class_conditional_mmd_loss,
    contrastive_domain_loss,
    joint_mmd_loss,
    local_mmd_loss,
    mmd_loss,
)
from tests.strategies import matrix, row_weights, two_samples

WIDTHS = [0.8, 2.0]


def gaussian(x, y, widths=WIDTHS):
    d2 = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    return sum(math.exp(-d2 / (2 * w * w)) for w in widths) / len(widths)


@given(two_samples(), st.data())
def test_joint_mmd_in_loops(samples, data):
    n, m = map(len, samples)
    others = data.draw(matrix(n, 2)), data.draw(matrix(m, 2))
    weights = data.draw(row_weights(n)), data.draw(row_weights(m))
    rows = [*zip(samples[0].tolist(), others[0].tolist(), strict=True)]
    rows += [*zip(samples[1].tolist(), others[1].tolist(), strict=True)]
    signs = [*(weights[0] / weights[0].sum()).tolist(), *(-weights[1] / weights[1].sum()).tolist()]
    expected = sum(
        v * w * gaussian(x[0], y[0]) * gaussian(x[1], y[1], [0.92])
        for x, v in zip(rows, signs, strict=True)
        for y, w in zip(rows, signs, strict=True)
    )
    value = joint_mmd_loss(
        (samples[0], others[0]),
        (samples[1], others[1]),
        kernels=[Gaussian(WIDTHS), Gaussian([0.92])],
        source_weights=weights[0],
        target_weights=weights[1],
    )
    assert value.item() == pytest.approx(expected, abs=1e-11)


def test_joint_mmd_of_one_layer_and_of_a_constant_layer_is_mmd():
    source, target = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(joint_mmd_loss((source,), (target,)), mmd_loss(source, target))
    same = torch.ones(5, 2, dtype=torch.float64), torch.ones(4, 2, dtype=torch.float64)
    torch.testing.assert_close(joint_mmd_loss((source, same[0]), (target, same[1])), mmd_loss(source, target))


def test_joint_mmd_sees_what_the_layers_alone_do_not():
    x = torch.tensor([[0.0], [0.0], [1.0], [1.0]]).repeat(10, 1)
    alike, crossed = x.clone(), x.flip(0)
    kernels = [Gaussian([0.5])] * 2
    assert joint_mmd_loss((x, alike), (x, crossed), kernels=kernels) > 0.1
    assert mmd_loss(alike, crossed, bandwidths=[0.5]) < 1e-6


@pytest.mark.parametrize("rows", [4, 120])  # dense and tiled
def test_joint_mmd_gradient(rows):
    layers = [torch.randn(n, d, dtype=torch.float64).requires_grad_() for n in (rows, rows + 1) for d in (2, 3)]

    def loss(a, b, c, d):
        return joint_mmd_loss((a, b), (c, d), kernels=[Gaussian([1.0, 2.0]), Gaussian([1.5])])

    if rows == 4:
        assert torch.autograd.gradcheck(loss, layers)
        assert torch.autograd.gradgradcheck(loss, layers)
    else:
        kernel = Gaussian([1.0, 2.0])(torch.cat(layers[::2])) * Gaussian([1.5])(torch.cat(layers[1::2]))
        signs = torch.cat([torch.full((rows,), 1 / rows), torch.full((rows + 1,), -1 / (rows + 1))]).double()
        expected = torch.autograd.grad(signs @ kernel @ signs, layers)
        torch.testing.assert_close(torch.autograd.grad(loss(*layers), layers), expected)


def test_the_maps_ascend_and_the_features_descend():
    loss = AdversarialMapLoss(JointMMDLoss(kernels=[Gaussian([1.0])]), [2], strength=0.5)
    source, target = torch.randn(6, 2, requires_grad=True), torch.randn(5, 2, requires_grad=True)
    weights = torch.rand(6) + 0.1
    value = loss((source,), (target,), source_weights=weights)
    expected = mmd_loss(source, target, bandwidths=[1.0], source_weights=weights)
    torch.testing.assert_close(value, expected)
    gradients = torch.autograd.grad(value, (source, target, *loss.parameters()))
    torch.testing.assert_close(gradients[:2], torch.autograd.grad(expected, (source, target)))
    matrix_, bias = (p.detach().clone().requires_grad_() for p in loss.parameters())
    plain = mmd_loss(source @ matrix_.mT + bias, target @ matrix_.mT + bias, bandwidths=[1.0], source_weights=weights)
    ascent = [-0.5 * g for g in torch.autograd.grad(plain, (matrix_, bias))]
    torch.testing.assert_close(list(gradients[2:]), ascent)


def test_the_maps_start_as_the_identity_and_ascend_with_each_weight_and_bias():
    """Of a loss that a translation of both domains changes, unlike those of kernels."""
    sizes = [2, 3]

    def product(source, target):
        return sum(
            (s.square().mean() + 2 * t.sum()) * (k + 1) for k, (s, t) in enumerate(zip(source, target, strict=True))
        )

    source, target = (tuple(torch.randn(n, d) for d in sizes) for n in (4, 3))
    loss = AdversarialMapLoss(product, sizes, strength=0.5)
    value = loss(source, target)
    torch.testing.assert_close(value, product(source, target))
    got = torch.autograd.grad(value, [*loss.parameters()])
    plain = AdversarialMapLoss(product, sizes, strength=-1.0)  # a reversed reversal
    expected = torch.autograd.grad(plain(source, target), [*plain.parameters()])
    assert all(g.abs().max() > 0.1 for g in expected)
    torch.testing.assert_close(list(got), [-0.5 * g for g in expected])


def classes_of(rows, classes, data):
    return torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)))


def distance(source, a, target, b):
    """MMD between two weighted sets by loops; weights need not sum to one."""
    rows = [(x, w / sum(a)) for x, w in zip(source, a, strict=True)]
    rows += [(y, -w / sum(b)) for y, w in zip(target, b, strict=True)]
    return sum(v * w * gaussian(x, y) for x, v in rows for y, w in rows)


@given(two_samples(), st.data())
def test_the_conditional_losses_in_loops(samples, data):
    classes = 3
    y, z = (classes_of(len(rows), classes, data) for rows in samples)
    a, b = (data.draw(row_weights(len(rows))) for rows in samples)
    probs = torch.rand(len(samples[1]), classes, dtype=torch.float64) + 0.01
    probs[torch.arange(len(z)), z] += 2  # so that z is the most probable class
    probs = probs / probs.sum(1, keepdim=True)
    shared = sorted(set(y.tolist()) & set(z.tolist()))

    def of(rows, labels, weights, c):
        return [x for x, k in zip(rows.tolist(), labels.tolist(), strict=True) if k == c], [
            w for w, k in zip(weights.tolist(), labels.tolist(), strict=True) if k == c
        ]

    between = {(c, k): distance(*of(samples[0], y, a, c), *of(samples[1], z, b, k)) for c in shared for k in shared}
    count = len(shared)
    intra = sum(between[c, c] for c in shared) / max(count, 1)
    inter = sum(v for (c, k), v in between.items() if c != k) / (count * (count - 1)) if count > 1 else 0
    local = sum(
        distance(*of(samples[0], y, a, c), samples[1].tolist(), (b * probs[:, c]).tolist()) for c in shared
    ) / max(count, 1)
    options = {"bandwidths": WIDTHS, "source_weights": a, "target_weights": b}
    hard = class_conditional_mmd_loss(*samples, y, z, classes, **options)
    assert hard.item() == pytest.approx(intra, abs=1e-11)
    assert contrastive_domain_loss(*samples, y, z, classes, **options).item() == pytest.approx(intra - inter, abs=1e-11)
    assert local_mmd_loss(*samples, y, probs, **options).item() == pytest.approx(local, abs=1e-11)


def test_one_class_is_mmd_and_no_shared_class_is_zero():
    source, target = torch.randn(5, 3), torch.randn(4, 3)
    zeros = torch.zeros(5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    expected = mmd_loss(source, target)
    torch.testing.assert_close(local_mmd_loss(source, target, zeros[0], torch.ones(4, 1)), expected)
    torch.testing.assert_close(class_conditional_mmd_loss(source, target, *zeros, 1), expected)
    torch.testing.assert_close(contrastive_domain_loss(source, target, *zeros, 1), expected)
    rows = source.clone().requires_grad_()
    for value in (
        class_conditional_mmd_loss(rows, target, zeros[0], zeros[1] + 1, 2),
        contrastive_domain_loss(rows, target, zeros[0], zeros[1] + 1, 2),
        local_mmd_loss(rows, target, zeros[0], torch.tensor([[0.2, 0.8]]).repeat(4, 1)),
    ):
        assert value == 0
        assert torch.equal(torch.autograd.grad(value, rows)[0], torch.zeros_like(rows))


def test_a_target_row_without_probabilities_makes_no_class_present():
    source, target = torch.randn(4, 2), torch.randn(3, 2)
    labels, probs = torch.tensor([0, 0, 1, 1]), torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    value = local_mmd_loss(source, target, labels, probs, bandwidths=WIDTHS)
    torch.testing.assert_close(value, mmd_loss(source[2:], target[1:], bandwidths=WIDTHS))
    assert local_mmd_loss(source, target, labels, 0 * probs) == 0


def test_a_class_whose_rows_have_no_weight_is_absent():
    source, target = torch.randn(4, 2), torch.randn(4, 2)
    labels = torch.tensor([0, 0, 1, 1])
    weights = torch.tensor([1.0, 1, 0, 0])
    value = class_conditional_mmd_loss(source, target, labels, labels, 2, bandwidths=WIDTHS, source_weights=weights)
    torch.testing.assert_close(value, mmd_loss(source[:2], target[:2], bandwidths=WIDTHS))


def test_renaming_the_classes_changes_nothing():
    source, target = torch.randn(6, 2), torch.randn(7, 2)
    y, z, names = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 0, 1, 1, 2, 2, 2]), torch.tensor([2, 0, 1])
    for loss in (class_conditional_mmd_loss, contrastive_domain_loss):
        torch.testing.assert_close(loss(source, target, names[y], names[z], 3), loss(source, target, y, z, 3))


def test_the_probabilities_carry_no_gradient():
    probs = torch.softmax(torch.randn(4, 2), 1).requires_grad_()
    source = torch.randn(3, 2, requires_grad=True)
    local_mmd_loss(source, torch.randn(4, 2), torch.tensor([0, 1, 0]), probs).backward()
    assert probs.grad is None
    assert source.grad.abs().sum() > 0


def test_gradcheck_of_the_conditional_losses():
    rows = [torch.randn(n, 2, dtype=torch.float64).requires_grad_() for n in (4, 5)]
    y, z = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 2, 2])
    probs = torch.softmax(torch.randn(5, 3, dtype=torch.float64), 1)
    assert torch.autograd.gradcheck(lambda s, t: class_conditional_mmd_loss(s, t, y, z, 3, bandwidths=[1.0]), rows)
    assert torch.autograd.gradcheck(lambda s, t: contrastive_domain_loss(s, t, y, z, 3, bandwidths=[1.0, 2.0]), rows)
    assert torch.autograd.gradcheck(lambda s, t: local_mmd_loss(s, t, y, probs, bandwidths=[1.0]), rows)


ROWS, LABELS = torch.ones(3, 2), torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: joint_mmd_loss(ROWS, ROWS), TypeError, "source must be a tuple of matrices, one a layer, got Tensor"),
        (lambda: joint_mmd_loss((), ()), ValueError, "source must have at least one layer, got none"),
        (lambda: joint_mmd_loss((ROWS,), (ROWS, ROWS)), ValueError, "one number of layers, got 1 and 2"),
        (
            lambda: joint_mmd_loss((ROWS, ROWS.double()), (ROWS, ROWS.double())),
            TypeError,
            "source must have one dtype in all layers",
        ),
        (
            lambda: joint_mmd_loss((ROWS, ROWS[:2]), (ROWS, ROWS)),
            ValueError,
            "source must have one number of rows in all",
        ),
        (
            lambda: joint_mmd_loss((ROWS,), (ROWS,), kernels=[Laplacian()]),
            TypeError,
            "kernels must be Gaussian kernels",
        ),
        (
            lambda: joint_mmd_loss((ROWS.half(),), (ROWS,)),
            TypeError,
            "source and target must have one dtype, got torch.float16 and torch.float32",
        ),
        (
            lambda: joint_mmd_loss((ROWS,), (ROWS,), kernels=Gaussian()),
            TypeError,
            "kernels must be a sequence, one a layer, got Gaussian",
        ),
        (lambda: joint_mmd_loss((ROWS,), (ROWS,), kernels=[]), ValueError, "kernels must be one for each of 1 layers"),
        (lambda: AdversarialMapLoss(3, [2]), TypeError, "loss must be callable, got int"),
        (lambda: AdversarialMapLoss(JointMMDLoss(), [0]), ValueError, "widths must be at least 1, got 0"),
        (
            lambda: AdversarialMapLoss(JointMMDLoss(), [3])((ROWS,), (ROWS,)),
            ValueError,
            r"layers of widths \[3\], got \[2\]",
        ),
        (
            lambda: local_mmd_loss(ROWS, ROWS, LABELS, torch.ones(2, 2)),
            ValueError,
            "target_probs must have one row for",
        ),
        (
            lambda: local_mmd_loss(ROWS, ROWS, LABELS, -torch.ones(3, 2)),
            ValueError,
            "target_probs must not be negative",
        ),
        (
            lambda: local_mmd_loss(ROWS, ROWS, LABELS + 1, torch.ones(3, 2)),
            ValueError,
            r"source_labels must lie in 0..1",
        ),
        (
            lambda: class_conditional_mmd_loss(ROWS, ROWS, LABELS, LABELS, 0),
            ValueError,
            "classes must be at least 1, got 0",
        ),
        (
            lambda: contrastive_domain_loss(ROWS, ROWS, LABELS, LABELS.float(), 2),
            TypeError,
            "target_labels must have an integer dtype",
        ),
        (lambda: ClassConditionalMMDLoss(2, bandwidths=[0.0]), ValueError, "bandwidths must be positive and finite"),
    ],
)
def test_errors_say_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("rows", [4, 300])  # whole matrices, and tiles
@pytest.mark.parametrize("worth", [math.nan, math.inf])
def test_local_mmd_refuses_what_is_not_finite_also_in_a_row_of_a_class_that_is_left_out(rows, worth):
    source, target = torch.randn(rows, 3), torch.randn(rows, 3)
    labels = torch.zeros(rows, dtype=torch.int64)
    labels[1] = 1  # no target row is of this class
    probs = torch.tensor([[0.9, 0.1]]).repeat(rows, 1)
    source[1, 2] = worth
    with pytest.raises(ValueError, match="source must be finite, got NaN or infinity in 1 entries"):
        local_mmd_loss(source, target, labels, probs)


@pytest.mark.parametrize("small", [1e-44, 1e-50, 1e-300])
def test_a_class_keeps_its_shares_however_little_it_weighs(small):
    rows, labels = torch.tensor([[0.0], [1.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    weights = torch.tensor([1.0, 1.0, small, 3 * small], dtype=torch.float64)
    expected = torch.tensor([1.0, 1.0, 1.0, 3.0])
    probs = torch.nn.functional.one_hot(labels).float()
    for loss, last in (
        (class_conditional_mmd_loss, (labels, labels, 2)),
        (contrastive_domain_loss, (labels, labels, 2)),
        (local_mmd_loss, (labels, probs)),
    ):
        values = [
            loss(rows, rows + 0.5, *last, source_weights=each, bandwidths=[1.0]).item() for each in (weights, expected)
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-5)


@pytest.mark.parametrize(
    ("source", "target", "kind", "message"),
    [
        ((torch.ones(4, 3).long(),), (torch.zeros(5, 3).long(),), TypeError, "source must have a floating-point"),
        ((torch.ones(4, 3).double(),), (torch.zeros(5, 3),), TypeError, "source and target must have one dtype"),
        ([1], [2], TypeError, "source must be a"),
    ],
)
def test_layers_behind_maps_are_checked_before_they_are_mapped(source, target, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        AdversarialMapLoss(JointMMDLoss(), [3])(source, target)


def test_widths_of_maps_are_a_sequence():
    with pytest.raises(TypeError, match=r"^widths must be a sequence"):
        AdversarialMapLoss(JointMMDLoss(), 3)
