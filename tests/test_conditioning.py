import pytest
import torch

from dalib import Outputs, RandomizedMultilinear, multilinear


def outputs(rows=4, width=3, classes=2):
    return Outputs(torch.randn(rows, width, requires_grad=True), torch.randn(rows, classes, requires_grad=True))


def test_multilinear_in_loops():
    rows = outputs()
    flat = multilinear(rows)
    for i in range(4):
        for k in range(2):
            for j in range(3):
                expected = rows.probs[i, k] * rows.features[i, j]
                torch.testing.assert_close(flat[i, 3 * k + j], expected)


def test_a_certain_prediction_fills_one_block():
    flat = multilinear(Outputs(torch.tensor([[1.0, 2.0]]), torch.tensor([[-1e4, 0.0, -1e4]])))
    assert flat.tolist() == [[0, 0, 1, 2, 0, 0]]


def test_one_class_leaves_the_features():
    rows = outputs(classes=1)
    torch.testing.assert_close(multilinear(rows), rows.features)


@pytest.mark.parametrize("condition", [multilinear, RandomizedMultilinear(3, 2, dimension=5)])
def test_the_gradient_reaches_the_features_and_not_the_classifier(condition):
    rows = outputs()
    condition(rows).sum().backward()
    assert rows.features.grad.abs().sum() > 0
    assert rows.logits.grad is None


def test_the_randomized_map_keeps_inner_products_on_average():
    first, second = outputs(1), outputs(1)
    exact = (multilinear(first) * multilinear(second)).sum()
    generator = torch.Generator().manual_seed(0)
    estimates = torch.stack(
        [
            (maps(first) * maps(second)).sum()
            for maps in (RandomizedMultilinear(3, 2, dimension=64, generator=generator) for _ in range(400))
        ]
    )
    error = estimates.std() / 20
    assert abs(estimates.mean() - exact) < 4 * error


def test_the_maps_are_in_the_state():
    first, second = RandomizedMultilinear(3, 2, dimension=5), RandomizedMultilinear(3, 2, dimension=5)
    rows = outputs()
    assert not torch.equal(first(rows), second(rows))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(rows), second(rows))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="outputs must have 4 features and 2 classes, got 3 and 2"):
        RandomizedMultilinear(4, 2)(outputs())
    with pytest.raises(ValueError, match="dimension must be at least 1"):
        RandomizedMultilinear(4, 2, dimension=0)
