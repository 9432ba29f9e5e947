import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.losses.batch_spectral import BatchSpectralLoss, batch_spectral_loss
from tests.strategies import two_samples


def test_a_rank_one_matrix_has_the_product_of_its_norms():
    u, v = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 0.0, 4.0]])
    assert batch_spectral_loss(u @ v, torch.zeros(1, 3)).item() == pytest.approx(5 * 25)


@given(two_samples(), st.data())
def test_the_squared_singular_values_in_float64(samples, data):
    source, target = samples
    k = data.draw(st.integers(1, min(*source.shape, *target.shape)))
    expected = sum(torch.linalg.svdvals(x)[:k].square().sum() for x in samples)
    torch.testing.assert_close(batch_spectral_loss(source, target, k=k), expected, rtol=1e-9, atol=1e-9)


@given(two_samples())
def test_rotations_permutations_and_order_change_nothing(samples):
    source, target = samples
    value = batch_spectral_loss(source, target)
    rotation = torch.linalg.qr(torch.randn(source.shape[1], source.shape[1], dtype=torch.float64)).Q
    torch.testing.assert_close(batch_spectral_loss(source @ rotation, target @ rotation), value)
    torch.testing.assert_close(batch_spectral_loss(target, source.flip(0)), value)


@pytest.mark.parametrize("shapes", [((5, 3), (4, 3)), ((2, 6), (3, 6))])
@pytest.mark.parametrize("k", [1, 2])
def test_gradcheck_tall_and_wide(shapes, k):
    rows = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda s, t: batch_spectral_loss(s, t, k=k), rows)


@pytest.mark.parametrize("rows", [torch.zeros(3, 2), torch.ones(3, 2), torch.eye(2), torch.ones(1, 2)])
def test_equal_singular_values_equal_rows_and_zeros_have_a_finite_gradient(rows):
    rows = rows.clone().requires_grad_()
    batch_spectral_loss(rows, rows.detach()).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("size", [1e19, 1e25])
def test_squares_beyond_the_dtype_are_told(size):
    rows = torch.full((3, 2), size)
    with pytest.raises(ValueError, match=r"source and target must be small enough for the loss to be a torch.float32"):
        batch_spectral_loss(rows, torch.ones(3, 2))
    assert batch_spectral_loss(rows.double(), torch.ones(3, 2).double()).item() == pytest.approx(6 * size * size)
    with pytest.raises(ValueError, match="target must be finite"):
        batch_spectral_loss(torch.ones(3, 2), torch.full((3, 2), float("nan")))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="k must be at most 2, the rank that a batch of each domain can have, got 3"):
        batch_spectral_loss(torch.zeros(4, 5), torch.zeros(2, 5), k=3)
    with pytest.raises(ValueError, match="k must be at least 1"):
        BatchSpectralLoss(k=0)
    with pytest.raises(ValueError, match="same number of features"):
        batch_spectral_loss(torch.zeros(4, 5), torch.zeros(2, 4))
