import pytest
import torch
from hypothesis import given

from dalib.losses.classifier_discrepancy import ClassifierDiscrepancyLoss, classifier_discrepancy_loss
from dalib.losses.sliced_discrepancy import SlicedDiscrepancyLoss, sliced_discrepancy_loss
from tests.strategies import counts, matrix, row_weights


def certain(*classes, of=4):
    return 300.0 * torch.nn.functional.one_hot(torch.tensor(classes), of).double()


def test_disjoint_certain_heads_have_the_largest_discrepancy():
    assert classifier_discrepancy_loss(certain(0, 1), certain(2, 3)).item() == pytest.approx(2 / 4)


@given(matrix(3, 4), matrix(3, 4), row_weights(3))
def test_the_definition_in_loops_and_its_properties(first, second, weights):
    expected = 0.0
    for i in range(3):
        p, q = torch.softmax(first[i], 0).tolist(), torch.softmax(second[i], 0).tolist()
        expected += (weights[i] / weights.sum()).item() * sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 4
    value = classifier_discrepancy_loss(first, second, weights=weights)
    assert value.item() == pytest.approx(expected, abs=1e-12)
    assert 0 <= value <= 2 / 4
    torch.testing.assert_close(classifier_discrepancy_loss(second, first, weights=weights), value)
    assert classifier_discrepancy_loss(first, first) == 0
    assert ClassifierDiscrepancyLoss()(first, second) == classifier_discrepancy_loss(first, second)


@given(matrix(3, 2), matrix(3, 2), counts(3))
def test_integer_weights_equal_repetition(first, second, times):
    repeated = classifier_discrepancy_loss(first.repeat_interleave(times, 0), second.repeat_interleave(times, 0))
    torch.testing.assert_close(classifier_discrepancy_loss(first, second, weights=times.double()), repeated)


def test_gradcheck_and_a_finite_gradient_where_heads_agree():
    rows = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(classifier_discrepancy_loss, rows)
    same = torch.zeros(1, 2, requires_grad=True)
    classifier_discrepancy_loss(same, same.detach()).backward()
    assert torch.isfinite(same.grad).all()


def sliced(first, second, directions=64, seed=3):
    return sliced_discrepancy_loss(first, second, directions=directions, generator=torch.Generator().manual_seed(seed))


@given(matrix(3, 4), matrix(3, 4))
def test_the_sliced_definition_in_loops(first, second):
    slices = torch.randn(4, 5, generator=torch.Generator().manual_seed(3)).double()
    expected = 0.0
    for r in slices.T:
        r = r / r.norm()
        p, q = (sorted((torch.softmax(x, 1) @ r).tolist()) for x in (first, second))
        expected += sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 3 / 5
    assert sliced(first, second, directions=5).item() == pytest.approx(expected, abs=1e-12)


@given(matrix(4, 3), matrix(4, 3))
def test_sliced_properties(first, second):
    assert sliced(first, first[[2, 0, 3, 1]]) < 1e-12  # clouds, not rows
    value = sliced(first, second)
    torch.testing.assert_close(sliced(second, first), value)
    assert 0 <= value <= 2


def test_the_sliced_value_of_two_points_is_their_squared_distance_over_the_dimension():
    value = sliced(certain(0), certain(1), directions=200_000)  # distance sqrt 2 in 4 dimensions
    assert value.item() == pytest.approx(2 / 4, rel=0.02)


def test_sliced_gradcheck_and_fresh_directions():
    rows = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda p, q: sliced(p, q, directions=3), rows)
    loss = SlicedDiscrepancyLoss(directions=1)
    assert loss(*rows) != loss(*rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: classifier_discrepancy_loss(torch.zeros(2, 3), torch.zeros(2, 2)),
            r"first_logits and second_logits must be of the same rows and classes, got shapes \(2, 3\) and \(2, 2\)",
        ),
        (lambda: classifier_discrepancy_loss(torch.zeros(2), torch.zeros(2, 2)), "first_logits must have shape"),
        (
            lambda: classifier_discrepancy_loss(torch.zeros(2, 2), torch.zeros(2, 2), weights=-torch.ones(2)),
            "weights must not be negative",
        ),
        (lambda: sliced_discrepancy_loss(torch.zeros(2, 2), torch.zeros(3, 2)), "same rows, got 2 and 3"),
        (lambda: SlicedDiscrepancyLoss(directions=0), "directions must be at least 1"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_sliced_module_passes_its_generator_on():
    first, second = torch.randn(5, 3), torch.randn(5, 3)
    module = SlicedDiscrepancyLoss(directions=7, generator=torch.Generator().manual_seed(3))
    assert module(first, second) == sliced(first, second, directions=7)
    with pytest.raises(TypeError, match="generator must be"):
        SlicedDiscrepancyLoss(generator=3)
