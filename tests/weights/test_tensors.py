import numpy as np
import pytest
import torch

from dalib.weights import (
    KernelMeanMatching,
    RuLSIF,
    kernel_mean_matching_weights,
    relative_ratio,
    relative_ratio_weights,
    tensor_ratio,
    ulsif,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def sample(n=150, m=120, d=2, seed=0, shift=0.7):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(rng.normal(size=(m, d)) + shift)


@pytest.fixture(autouse=True)
def _needs_device(request):
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("device") == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "options", [{}, {"bandwidth": 0.4}, {"slack": 0.0}, {"max_weight": 2.0}, {"bandwidth": 3.0, "slack": 0.05}]
)
def test_matching_reaches_the_optimum_of_its_numpy_twin(device, options):
    source, target = sample()
    twin = KernelMeanMatching(tolerance=1e-9, **options).fit(source.numpy(), target.numpy())
    found = kernel_mean_matching_weights(source.to(device), target.to(device), tolerance=1e-9, **options).cpu()
    assert found.mean() == pytest.approx(1.0)
    K = np.exp(-((source[:, None] - source[None]) ** 2).sum(-1).numpy() / (2 * twin.bandwidth_**2))
    linear = 150 * np.exp(-((source[:, None] - target[None]) ** 2).sum(-1).numpy() / (2 * twin.bandwidth_**2)).mean(1)
    b = found.numpy() * twin.optimum_.mean()  # the scale that weights have lost
    assert (0.5 * b @ K @ b - linear @ b) / 150**2 == pytest.approx(twin.objective_, abs=1e-6)
    if options.get("bandwidth") == 0.4:  # strictly convex: the weights themselves agree
        np.testing.assert_allclose(found.numpy(), twin.weights_, atol=5e-3)


@pytest.mark.parametrize("away", [15.0, 1e3])
def test_matching_where_the_target_is_out_of_the_kernels_reach(away):
    source, target = sample()
    twin = KernelMeanMatching(bandwidth=1.0, tolerance=1e-9).fit(source.numpy(), target.numpy() + away)
    found = kernel_mean_matching_weights(source, target + away, bandwidth=1.0, tolerance=1e-9).numpy()
    b = found * twin.optimum_.mean()
    K = np.exp(-((source[:, None] - source[None]) ** 2).sum(-1).numpy() / 2)
    assert 0.5 * b @ K @ b / 150**2 == pytest.approx(twin.objective_, abs=1e-8)  # the pull of the target is nothing


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_ratio_is_that_of_its_numpy_twin_where_nothing_is_drawn(device, alpha):
    source, target = sample(m=60)  # every target row is a centre
    twin = RuLSIF(alpha=alpha, bandwidths=[0.8], ridges=[0.1]).fit(source.numpy(), target.numpy())
    found = relative_ratio_weights(source.to(device), target.to(device), alpha=alpha, bandwidths=[0.8], ridges=[0.1])
    np.testing.assert_allclose(found.cpu().numpy(), twin.weights_, rtol=1e-8)


@pytest.mark.parametrize("weigh", [kernel_mean_matching_weights, relative_ratio_weights])
def test_direction_dtype_and_reproducibility(weigh):
    source, target = sample(600, 500, shift=0.5)
    weights = weigh(source.float(), target.float())
    assert weights.dtype == torch.float32
    assert weights.shape == (600,)
    assert not weights.requires_grad
    moved = (weights[:, None] * source).mean(dim=0) - target.mean(dim=0)
    assert moved.norm() < 0.4 * (source.mean(dim=0) - target.mean(dim=0)).norm()
    assert torch.equal(weigh(source.float(), target.float()), weights)
    assert weigh(source.requires_grad_(), target).requires_grad is False


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_leave_one_out_errors_are_those_of_the_numpy_twin(device, alpha):
    source, target = sample(70, 50)
    at_source, at_target = (torch.exp(-(torch.cdist(rows, target[:20]) ** 2)) for rows in (source, target))
    generator = torch.Generator().manual_seed(1)
    left_out = tuple(torch.randperm(count, generator=generator)[:50] for count in (70, 50))
    ridges = [0.01, 0.1, 1.0]
    expected = ulsif.leave_one_out_errors(
        at_source.numpy(), at_target.numpy(), np.array(ridges), alpha, tuple(rows.numpy() for rows in left_out)
    )
    found = tensor_ratio.leave_one_out_errors(
        at_source.to(device), at_target.to(device), ridges, alpha, tuple(rows.to(device) for rows in left_out)
    )
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-9)


def test_the_choice_is_that_of_the_numpy_twin_where_pairs_hardly_matter():
    source, target = sample(600, 600, shift=0.5)
    twin = RuLSIF(alpha=0.0).fit(source.numpy(), target.numpy())
    found = relative_ratio(source, target, alpha=0.0)
    assert found.bandwidth == pytest.approx(twin.bandwidth_)
    assert found.ridge == twin.ridge_


def test_ridges_too_small_for_equal_centres_are_passed_over_as_by_the_numpy_twin():
    source, target = sample(20, 1)[0], torch.zeros(15, 2, dtype=torch.float64)
    options = {"alpha": np.float32(0.5), "bandwidths": [1.0]}
    assert relative_ratio(source, target, ridges=[1e-300, 0.1], **options).ridge == 0.1
    with pytest.raises(ValueError, match=r"ridges must be large enough .*, got 1e-300; pass larger ones"):
        relative_ratio(source, target, ridges=[1e-300], **options)


def test_leave_one_out_chooses_a_sensible_bandwidth():
    source, target = sample(600, 500, shift=0.5)
    chosen = relative_ratio_weights(source, target, bandwidths=[1e-3, 0.7])
    ridge = relative_ratio(source, target, bandwidths=[1e-3, 0.7]).ridge
    only = relative_ratio_weights(source, target, bandwidths=[0.7], ridges=[ridge])
    np.testing.assert_allclose(chosen, only, rtol=1e-6)
    other = relative_ratio_weights(source, target, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(other, relative_ratio_weights(source, target))


def test_the_ratio_weighs_new_rows_as_its_numpy_twin():
    source, target = sample(m=60)
    twin = RuLSIF(bandwidths=[0.8], ridges=[0.1]).fit(source.numpy(), target.numpy())
    ratio = relative_ratio(source, target, bandwidths=[0.8], ridges=[0.1])
    new = torch.linspace(-2, 2, 20, dtype=torch.float64).reshape(10, 2)
    np.testing.assert_allclose(ratio(new).numpy(), twin.predict(new.numpy()), rtol=1e-8)
    assert ratio(new.float()).dtype == torch.float32
    assert ratio(source).mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, t: kernel_mean_matching_weights(s, t.float()), TypeError, "must have one dtype"),
        (lambda s, t: kernel_mean_matching_weights(s.numpy(), t), TypeError, "source must be a torch.Tensor"),
        (lambda s, t: kernel_mean_matching_weights(s, t[:, :1]), ValueError, "same number of features"),
        (lambda s, t: kernel_mean_matching_weights(s, t * float("nan")), ValueError, "target must be finite"),
        (lambda s, t: kernel_mean_matching_weights(s, t, slack=-1.0), ValueError, "slack must be at least 0"),
        (lambda s, t: kernel_mean_matching_weights(s, t, bandwidth=0.0), ValueError, "bandwidth must be positive"),
        (lambda s, t: kernel_mean_matching_weights(s, t, max_weight=0.1, slack=0.0), ValueError, "at least 1 - slack"),
        (
            lambda s, t: kernel_mean_matching_weights(s, t, max_iter=2.5),
            TypeError,
            "max_iter must be an integer, got float",
        ),
        (lambda s, t: kernel_mean_matching_weights(s, t, max_iter=1), RuntimeError, "must reach a gap of 1.0e-06, got"),
        (lambda s, t: relative_ratio_weights(s, t, alpha=2.0), ValueError, r"alpha must lie in \[0, 1\]"),
        (lambda s, t: relative_ratio_weights(s, t, ridges=[]), ValueError, "ridges must have at least one entry"),
        (lambda s, t: relative_ratio_weights(s, t, bandwidths=[-1.0]), ValueError, "bandwidths must be positive"),
        (lambda s, t: relative_ratio_weights(s, t + 1e6, bandwidths=[1.0]), ValueError, "must overlap"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(*sample(20, 20))
