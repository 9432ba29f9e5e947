"""Energy distance, (max-)sliced Wasserstein, Sinkhorn divergence, exact transport and the Wasserstein critic."""

import copy
import functools
import itertools
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import nn

from dalib.distances import squared_distances
from dalib.losses import (
    WassersteinCriticLoss,
    _entropic_transport,
    _transport,
    energy_loss,
    exact_transport_loss,
    max_sliced_wasserstein_loss,
    sinkhorn_loss,
    sliced_wasserstein_loss,
)
from dalib.losses._entropic_transport import entropic_potentials, symmetric_potential
from dalib.losses._transport import exact_coupling, squared_wasserstein_on_lines
from tests.strategies import counts, row_weights, two_samples


def shares_of(weights):
    return (weights / weights.sum()).tolist()


@given(two_samples(), st.data())
def test_energy_in_loops(samples, data):
    weights = [data.draw(row_weights(len(rows))) for rows in samples]
    signed = [(x, w) for x, w in zip(samples[0].tolist(), shares_of(weights[0]), strict=True)]
    signed += [(y, -w) for y, w in zip(samples[1].tolist(), shares_of(weights[1]), strict=True)]
    expected = -sum(v * w * math.dist(x, y) for (x, v), (y, w) in itertools.product(signed, signed))
    value = energy_loss(*samples, source_weights=weights[0], target_weights=weights[1])
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert value >= 0


def test_energy_of_two_gaussians_in_closed_form():
    quantiles = torch.special.ndtri((torch.arange(1500, dtype=torch.float64) + 0.5) / 1500)[:, None]
    assert energy_loss(quantiles, quantiles + 1).item() == pytest.approx(0.541806579, abs=1e-3)


def test_energy_of_equal_samples_is_zero_with_a_finite_gradient():
    rows = torch.randn(5, 3).repeat(2, 1).requires_grad_()
    value = energy_loss(rows, rows.detach().clone())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert rows.grad.abs().max() < 1e-4


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_transport_on_a_line_is_that_of_the_repeated_samples(n, m, data):
    x = torch.randn(2, n, dtype=torch.float64)
    y = torch.randn(2, m, dtype=torch.float64)
    repeated = (x.repeat_interleave(m, 1).sort(1).values - y.repeat_interleave(n, 1).sort(1).values).square().mean(1)
    torch.testing.assert_close(squared_wasserstein_on_lines(x, y), repeated)
    equal = torch.full((n,), 1 / n, dtype=torch.float64), torch.full((m,), 1 / m, dtype=torch.float64)
    torch.testing.assert_close(squared_wasserstein_on_lines(x, y, *equal), repeated)
    times = data.draw(counts(n))
    weighted = squared_wasserstein_on_lines(x, y, times / times.sum(dtype=torch.float64), equal[1])
    torch.testing.assert_close(weighted, squared_wasserstein_on_lines(x.repeat_interleave(times, 1), y))


def test_sliced_wasserstein_is_the_mean_over_random_lines():
    source, target = torch.randn(6, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) + 1
    value = sliced_wasserstein_loss(source, target, projections=5, generator=torch.Generator().manual_seed(3))
    lines = torch.randn(5, 3, generator=torch.Generator().manual_seed(3)).double()
    lines = lines / lines.norm(dim=1, keepdim=True)
    expected = np.mean([exact_transport_loss(source @ line[:, None], target @ line[:, None]).item() for line in lines])
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_and_of_a_scale():
    source = torch.randn(1000, 4, dtype=torch.float64)
    shift = torch.tensor([1.0, 2, 3, 0], dtype=torch.float64)
    value = sliced_wasserstein_loss(source, source + shift, projections=2000).item()
    assert value == pytest.approx(shift.square().sum().item() / 4, rel=0.1)  # 4.5 standard errors
    assert sliced_wasserstein_loss(source, 3 * source).item() == pytest.approx((3 - 1) ** 2, rel=0.1)


def test_sliced_wasserstein_far_from_zero_keeps_its_digits():
    source, target = torch.randn(30, 5) + 1e4, torch.randn(20, 5) + 1e4
    seeds = [torch.Generator().manual_seed(1) for _ in range(2)]
    lines = torch.randn(128, 5, generator=seeds[0]).double()
    lines = lines / lines.norm(dim=1, keepdim=True)
    expected = squared_wasserstein_on_lines(lines @ source.double().mT, lines @ target.double().mT).mean().item()
    assert sliced_wasserstein_loss(source, target, generator=seeds[1]).item() == pytest.approx(expected, rel=1e-5)


def test_max_sliced_finds_the_line_where_the_samples_differ():
    source = torch.randn(200, 20, dtype=torch.float64)
    target = source.clone()
    target[:, 7] *= 3
    target[:, 3] += 1.5  # the line through the means points elsewhere
    value = max_sliced_wasserstein_loss(source, target, iterations=30).item()
    expected = exact_transport_loss(source[:, 7:8], target[:, 7:8]).item()
    assert value >= 0.99 * expected
    average = sliced_wasserstein_loss(source, target).item()
    assert value > 5 * average
    start = max_sliced_wasserstein_loss(source, target, iterations=0).item()
    assert value > 1.5 * start


@pytest.mark.parametrize("seed", range(4))
def test_the_search_of_max_sliced_climbs_to_a_maximum_also_where_the_samples_are_alike(seed):
    torch.manual_seed(seed)
    source, target = torch.randn(2, 32, 6, dtype=torch.float64)
    found = [max_sliced_wasserstein_loss(source, target, iterations=steps).item() for steps in (20, 200)]
    best = max_sliced_wasserstein_loss(source, target, projections=20_000, iterations=0).item()
    assert min(found) > 0.98 * best
    assert found[1] > 0.995 * best


@pytest.mark.parametrize(
    "loss", [sliced_wasserstein_loss, functools.partial(max_sliced_wasserstein_loss, projections=8, iterations=0)]
)
def test_one_seed_gives_the_same_lines_in_every_default_dtype(loss):
    source, target = (
        rows - rows.mean(dim=0) for rows in (torch.randn(7, 4), torch.randn(6, 4))
    )  # only drawn lines count
    torch.manual_seed(3)
    expected = loss(source, target).item()
    torch.manual_seed(4)
    assert loss(source, target).item() != expected
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(3)
        assert loss(source, target).item() == expected
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("loss", [sliced_wasserstein_loss, max_sliced_wasserstein_loss])
def test_gradcheck_with_one_seed(loss):
    source, target = torch.randn(4, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    weights = torch.rand(4, dtype=torch.float64) + 0.1
    options = {} if loss is sliced_wasserstein_loss else {"iterations": 0, "projections": 1}

    def function(s, t):
        return loss(s, t, generator=torch.Generator().manual_seed(0), source_weights=weights, **options)

    if loss is max_sliced_wasserstein_loss:  # with no step and lines that do not move, the line is a constant
        fixed = torch.tensor([1.0, 0], dtype=torch.float64)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dalib.losses.max_sliced_wasserstein._worst", lambda *_: fixed)
            assert torch.autograd.gradcheck(function, (source.requires_grad_(), target.requires_grad_()))
    else:
        assert torch.autograd.gradcheck(function, (source.requires_grad_(), target.requires_grad_()))


@given(two_samples(max_rows=4), st.data())
def test_exact_transport_by_both_solvers(samples, data):
    a, b = (data.draw(row_weights(len(rows))) for rows in samples)
    cost = squared_distances(torch.cat(samples))[: len(samples[0]), len(samples[0]) :]
    plan = exact_coupling(cost, a / a.sum(), b / b.sum())
    torch.testing.assert_close(plan.sum(1), a / a.sum())
    torch.testing.assert_close(plan.sum(0), b / b.sum())
    by_programme = _transport._linear_programme(cost.numpy(), (a / a.sum()).numpy(), (b / b.sum()).numpy())
    value = exact_transport_loss(*samples, source_weights=a, target_weights=b).item()
    assert value == pytest.approx((plan * cost).sum().item(), rel=1e-9, abs=1e-9)
    assert value == pytest.approx(float((by_programme * cost.numpy()).sum()), rel=1e-6, abs=1e-8)


def test_exact_transport_of_an_assignment_is_the_best_permutation():
    source, target = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    best = min((source - target[list(order)]).square().sum(1).mean() for order in itertools.permutations(range(5)))
    torch.testing.assert_close(exact_transport_loss(source, target), best)
    inputs = [x.requires_grad_() for x in (source, target)]
    assert torch.autograd.gradcheck(exact_transport_loss, inputs)


def test_exact_transport_through_pot_is_the_same():
    pytest.importorskip("ot", reason="needs the extra dalib[ot]")
    source, target = torch.randn(6, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    with_pot = exact_transport_loss(source, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ot", None)
        torch.testing.assert_close(exact_transport_loss(source, target), with_pot)


@pytest.mark.parametrize("scale", [1e-20, 1e-5, 1e3])
@pytest.mark.parametrize("by_pot", [True, False])
def test_exact_transport_does_not_depend_on_the_unit_of_the_features(by_pot, scale, monkeypatch):
    if by_pot:
        pytest.importorskip("ot", reason="needs the extra dalib[ot]")
    else:
        monkeypatch.setitem(sys.modules, "ot", None)
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, 2, dtype=torch.float64, generator=generator) for n in (6, 4))
    value = exact_transport_loss(scale * source, scale * target) / scale**2
    torch.testing.assert_close(value, exact_transport_loss(source, target), rtol=1e-9, atol=0)


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
@pytest.mark.parametrize("method", ["_by_scaling", "_by_logarithms", "_by_newton"])
def test_two_points_in_closed_form(epsilon, method):
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    strength = torch.tensor(epsilon, dtype=torch.float64)
    options = (1000,) if method == "_by_logarithms" else (1000, 1e-12)
    f, g = getattr(_entropic_transport, method)(cost, half, half, strength, *options)
    plan = half[:, None] * half * torch.exp((f[:, None] + g - cost) / strength)
    expected = math.exp(-1 / epsilon) / (1 + math.exp(-1 / epsilon))
    assert (plan * cost).sum().item() == pytest.approx(expected, rel=1e-9)
    own = symmetric_potential(cost, half, strength, iterations=1000, tolerance=1e-12)
    torch.testing.assert_close(own[:, None] + own, f[:, None] + g)


@pytest.mark.parametrize("seed", range(5))
def test_scaling_and_logarithms_agree(seed):
    generator = torch.Generator().manual_seed(seed)
    cost = 3 * torch.rand(4, 6, dtype=torch.float64, generator=generator) + 100
    a, b = (torch.rand(size, dtype=torch.float64, generator=generator) + 0.1 for size in (4, 6))
    problem = (cost, a / a.sum(), b / b.sum(), torch.tensor(0.5, dtype=torch.float64), 500)
    plans = []
    for f, g in (_entropic_transport._by_scaling(*problem, 0.0), _entropic_transport._by_logarithms(*problem)):
        plans.append(problem[1][:, None] * problem[2] * torch.exp((f[:, None] + g - cost) / 0.5))
    torch.testing.assert_close(plans[0], plans[1])
    torch.testing.assert_close(plans[0].sum(0), problem[2])
    torch.testing.assert_close(plans[0].sum(1), problem[1])


def test_where_scaling_underflows_another_way_takes_over():
    # Two of three columns are everyone's nearest; the mass that must go to the third is exp(-5000) after reduction.
    cost = torch.tensor([[0.0, 9e3, 9e3], [0.0, 9e3, 9e3], [9e3, 0.0, 0.0]])
    third = torch.full((3,), 1 / 3)
    epsilon = torch.tensor(1.0)
    assert _entropic_transport._by_scaling(cost, third, third, epsilon, 50, 0.0) is None
    for tolerance in (0.0, 1e-3):
        potentials = entropic_potentials(cost, third, third, epsilon, iterations=200, tolerance=tolerance)
        f, g = (potential.float() for potential in potentials)
        plan = third[:, None] * third * torch.exp((f[:, None] + g - cost) / epsilon)
        torch.testing.assert_close(plan.sum(0), third, rtol=0, atol=1e-3)
        torch.testing.assert_close(plan.sum(1), third, rtol=0, atol=1e-3)


def divergence(source, target, epsilon, a, b):
    """The definition from plans in float64, by plain logarithmic iterations."""

    def transport(x, y, v, w):
        cost = (x[:, None] - y[None]).square().sum(-1)
        f, g = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
        for _ in range(3000):
            f = -epsilon * torch.logsumexp((g - cost) / epsilon + w.log(), 1)
            g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon + v.log()[:, None], 0)
        plan = v[:, None] * w * torch.exp((f[:, None] + g - cost) / epsilon)
        relative = (plan * (plan / (v[:, None] * w)).log()).sum()
        return (plan * cost).sum() + epsilon * relative  # the primal value, where the loss computes the dual

    return transport(source, target, a, b) - (transport(source, source, a, a) + transport(target, target, b, b)) / 2


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_divergence_is_the_primal_value_of_its_definition(epsilon, weighted):
    source, target = torch.randn(5, 2, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64) + 1
    weights = [torch.rand(len(x), dtype=torch.float64) + 0.2 for x in (source, target)]
    if not weighted:
        weights = [torch.ones_like(w) for w in weights]
    value = sinkhorn_loss(
        source, target, epsilon=epsilon, iterations=3000, tolerance=1e-13,
        source_weights=weights[0], target_weights=weights[1],
    )  # fmt: skip
    expected = divergence(source, target, epsilon, *(w / w.sum() for w in weights))
    assert value.item() == pytest.approx(expected.item(), rel=1e-8)


def clusters():
    """Two clusters 28 apart whose masses differ: a fifth of the mass must cross, at 800 times an epsilon of one."""
    generator = torch.Generator().manual_seed(0)

    def sample(near, far):
        rows = torch.randn(near + far, 2, dtype=torch.float64, generator=generator)
        rows[near:] += 20
        return rows

    return sample(32, 32), sample(20, 44)


def wide():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(64, 2, dtype=torch.float64, generator=generator)
    return source, 0.5 + 1.3 * torch.randn(48, 2, dtype=torch.float64, generator=generator)


HARD = [(clusters, 1.0), (clusters, 10.0), (wide, 0.05), (wide, 0.005)]


@functools.cache
def annealed_divergence(samples, epsilon):
    """The definition by plain logarithmic iterations, many of them with each of many epsilons."""
    source, target = samples()

    def transport(x, y):
        cost = (x[:, None] - y[None]).square().sum(-1)
        n, m = math.log(len(x)), math.log(len(y))
        g = torch.zeros(len(y), dtype=torch.float64)
        for strength in (*np.geomspace(cost.max().item(), epsilon, 100), *[epsilon] * 200):
            for _ in range(10):
                f = -strength * (torch.logsumexp((g - cost) / strength, 1) - m)
                g = -strength * (torch.logsumexp((f[:, None] - cost) / strength, 0) - n)
        return f.mean() + g.mean()

    value = transport(source, target) - (transport(source, source) + transport(target, target)) / 2
    return value.item()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("samples", "epsilon"), HARD)
def test_what_scaling_does_not_solve_converges_all_the_same(samples, epsilon, dtype):
    source, target = samples()
    expected = annealed_divergence(samples, epsilon)
    value = sinkhorn_loss(source.to(dtype), target.to(dtype), epsilon=epsilon)
    assert value.item() == pytest.approx(expected, rel=2e-4)
    swapped = sinkhorn_loss(target.to(dtype), source.to(dtype), epsilon=epsilon)
    assert swapped.item() == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(("samples", "epsilon"), HARD)
def test_it_nearly_does_where_no_value_is_read(samples, epsilon):
    source, target = samples()
    expected = annealed_divergence(samples, epsilon)
    value = torch.func.vmap(lambda x: sinkhorn_loss(x, target, epsilon=epsilon))(source[None])[0]
    assert value.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.filterwarnings("error")
def test_gradcheck_where_newton_goes_on():
    source, target = (rows[::8] for rows in clusters())
    weights = torch.linspace(1, 2, len(source), dtype=torch.float64)

    def function(s, t, w):
        return sinkhorn_loss(s, t, epsilon=1.0, tolerance=1e-12, source_weights=w)

    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in (source, target, weights)])


def test_newton_with_rows_that_do_not_count():
    source, target = clusters()
    weights = [(torch.arange(64) % 2).double() for _ in range(2)]
    rows = source.clone().requires_grad_()
    value = sinkhorn_loss(rows, target, epsilon=1.0, source_weights=weights[0], target_weights=weights[1])
    torch.testing.assert_close(value, sinkhorn_loss(source[1::2], target[1::2], epsilon=1.0), rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(value, rows)
    assert gradient.isfinite().all()
    assert (gradient[::2] == 0).all()


def test_far_rows_that_do_not_count_in_both_samples():
    source, target = torch.randn(6, 3), torch.randn(5, 3) + 0.5
    expected = sinkhorn_loss(source, target, epsilon=0.1)
    far = torch.full((2, 3), 100.0)
    rows = torch.cat([source, far]).requires_grad_()
    weights = [torch.cat([torch.ones(n), torch.zeros(2)]) for n in (6, 5)]
    value = sinkhorn_loss(
        rows, torch.cat([target, far]), epsilon=0.1, source_weights=weights[0], target_weights=weights[1]
    )
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(value, rows)
    assert gradient.isfinite().all()
    assert (gradient[6:] == 0).all()


@pytest.mark.parametrize("transformed", [False, True])
def test_the_gradient_of_a_weight_of_zero_is_that_of_a_small_one(transformed):
    source, target = torch.randn(5, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64) + 1
    weights = torch.tensor([1.0, 0, 1, 2, 1], dtype=torch.float64)

    def loss(weights):
        return sinkhorn_loss(source, target, epsilon=1.0, iterations=1000, tolerance=1e-13, source_weights=weights)

    slope = torch.func.grad(loss)(weights) if transformed else torch.autograd.functional.jacobian(loss, weights)
    small = 1e-7 * torch.eye(5, dtype=torch.float64)[1]
    assert slope[1].item() == pytest.approx(((loss(weights + small) - loss(weights)) / 1e-7).item(), rel=1e-4)


def test_the_plan_of_a_small_epsilon_keeps_its_mass_in_float32():
    """Its gradient by a shift of the source is twice the distance of the means, whatever the plan."""
    source, target = torch.randn(12, 16) * 5, torch.randn(9, 16) * 5 + 1
    source.requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_loss(source, target, epsilon=2e-5), source)
    expected = 2 * (source.mean(0) - target.mean(0)).detach()
    torch.testing.assert_close(gradient.sum(0), expected, rtol=1e-3, atol=1e-3)


def test_a_sample_to_itself_goes_on_too():
    rows, _ = wide()
    cost, share = squared_distances(rows), torch.full((64,), 1 / 64, dtype=torch.float64)
    epsilon = torch.tensor(0.1, dtype=torch.float64)
    f = symmetric_potential(cost, share, epsilon, iterations=8, tolerance=1e-10)  # too few for the averages
    plan = share[:, None] * share * torch.exp((f[:, None] + f - cost) / epsilon)
    torch.testing.assert_close(plan.sum(0), share, rtol=1e-6, atol=0)


def test_a_tolerance_that_is_not_reached_is_told():
    source, target = clusters()
    with pytest.warns(
        RuntimeWarning, match=r"after 1 iterations .* wrong by .*, above the tolerance of 1e-10; use more"
    ):
        sinkhorn_loss(source, target, epsilon=0.01, iterations=1, tolerance=1e-10)


@pytest.mark.filterwarnings("error")
def test_a_tolerance_of_zero_means_the_given_iterations_and_no_warning(monkeypatch):
    def never(*_):
        raise AssertionError("went on")

    monkeypatch.setattr(_entropic_transport, "_by_newton", never)
    source, target = wide()
    few, more = (sinkhorn_loss(source, target, epsilon=0.1, iterations=k, tolerance=0.0) for k in (5, 50))
    assert few < more - 1e-3
    assert sinkhorn_loss(*clusters(), epsilon=0.01, iterations=5, tolerance=0.0).isfinite()


def test_vmap_over_the_weights_alone():
    source, target = torch.randn(6, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64) + 1
    weights = torch.rand(3, 6, dtype=torch.float64) + 0.2
    values = torch.func.vmap(lambda w: sinkhorn_loss(source, target, source_weights=w))(weights)
    singly = torch.stack([sinkhorn_loss(source, target, source_weights=w, tolerance=1e-9) for w in weights])
    torch.testing.assert_close(values, singly, rtol=1e-5, atol=0)
    with pytest.raises(RuntimeError, match=r"exact transport cannot run inside torch.func transforms"):
        torch.func.vmap(lambda w: exact_transport_loss(source, target, source_weights=w))(weights)


def test_vmap_of_the_gradient_of_max_sliced():
    source, target = torch.randn(3, 6, 2, dtype=torch.float64), torch.randn(3, 5, 2, dtype=torch.float64) + 3

    def loss(x, y):
        return max_sliced_wasserstein_loss(x, y, iterations=200)

    together = torch.func.vmap(torch.func.grad(loss), randomness="different")(source, target)
    singly = torch.stack([torch.func.grad(loss)(x, y) for x, y in zip(source, target, strict=True)])
    torch.testing.assert_close(together, singly, rtol=1e-4, atol=1e-6)


def test_exact_transport_of_clusters_keeps_its_digits_in_float32():
    base = torch.cat([torch.zeros(20, 64), torch.full((20, 64), 1000.0)])
    source, target = (base + torch.randn(40, 64) for _ in range(2))
    source.requires_grad_()
    value = exact_transport_loss(source, target)
    expected = exact_transport_loss(source.double(), target.double())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = [torch.autograd.grad(each, source)[0] for each in (value, expected)]
    torch.testing.assert_close(*gradients)


def test_the_envelope_gradient_is_the_gradient_at_convergence():
    source, target = torch.randn(4, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64) + 1
    weights = torch.rand(4, dtype=torch.float64) + 0.2

    def function(s, t, w):
        return sinkhorn_loss(s, t, epsilon=1.0, iterations=2000, tolerance=1e-14, source_weights=w)

    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in (source, target, weights)])


def test_sinkhorn_stands_between_transport_and_the_means():
    source, target = torch.randn(40, 2, dtype=torch.float64), 2 * torch.randn(50, 2, dtype=torch.float64) + 1
    exact = exact_transport_loss(source, target).item()
    means = (source.mean(0) - target.mean(0)).square().sum().item()
    small = sinkhorn_loss(source, target, epsilon=0.01, iterations=5000, tolerance=1e-6).item()
    large = sinkhorn_loss(source, target, epsilon=1e4).item()
    assert small == pytest.approx(exact, rel=0.02)
    assert large == pytest.approx(means, rel=0.02)


def test_sinkhorn_of_equal_samples_is_zero_to_its_tolerance():
    rows = torch.randn(20, 3)
    assert sinkhorn_loss(rows, rows).item() == pytest.approx(0, abs=1e-3)
    assert sinkhorn_loss(torch.ones(3, 2), torch.ones(4, 2)).item() == pytest.approx(0, abs=1e-6)


def test_one_feature_against_scipy():
    source, target = torch.randn(9, 1, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64) + 5
    shifted = wasserstein_distance(source[:, 0], target[:, 0])  # far apart: a lower bound by Jensen
    assert exact_transport_loss(source, target).item() >= shifted**2


class Constant(nn.Module):
    def forward(self, rows):
        return rows.new_zeros(len(rows)) + 0 * rows.sum(1)


def test_critic_of_a_known_function():
    critic = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[3.0, 4.0]]))
    source, target = torch.randn(5, 2), torch.randn(3, 2)
    weights = torch.tensor([1.0, 0, 0, 0, 1])
    value = WassersteinCriticLoss(critic, penalty=2.0)(source, target, source_weights=weights)
    gap = critic(source[[0, 4]]).mean() - critic(target).mean()
    torch.testing.assert_close(value, -gap + 2 * (5 - 1) ** 2)
    assert WassersteinCriticLoss(Constant(), penalty=2.0)(source, target).item() == 2.0  # a slope of zero


def test_features_receive_the_reversed_gradient_of_the_gap_alone():
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    source, target = torch.randn(5, 2, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    WassersteinCriticLoss(critic, strength=0.5)(source, target).backward()
    gap = critic(source).mean() - critic(target).mean()
    expected = torch.autograd.grad(0.5 * gap, (source, target))
    torch.testing.assert_close((source.grad, target.grad), expected)


def test_a_trained_critic_finds_the_distance_of_a_shift():
    source = torch.randn(200, 2)
    target = source + torch.tensor([3.0, 4.0])
    loss = WassersteinCriticLoss(nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1)))
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(source, target)
        value.backward()
        optimizer.step()
    gap = loss.critic(source).mean() - loss.critic(target).mean()
    # A slope L is worth 5 L - 10 (L - 1)^2: the penalty is soft, and the best L is 1 + 5 / 20.
    assert gap.item() == pytest.approx(5 * 1.25, rel=0.05)


def test_the_penalty_is_seeded_and_copies_are_alike():
    loss = WassersteinCriticLoss(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)))
    source, target = torch.randn(5, 2), torch.randn(3, 2)
    values = []
    for twin in (loss, copy.deepcopy(loss)):
        torch.manual_seed(0)
        values.append(twin(source, target))
    assert values[0] == values[1]


ROWS = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: sliced_wasserstein_loss(ROWS, ROWS, projections=0),
            ValueError,
            "projections must be at least 1, got 0",
        ),
        (lambda: max_sliced_wasserstein_loss(ROWS, ROWS, projections=0), ValueError, "projections must be at least 1"),
        (lambda: sliced_wasserstein_loss(ROWS, ROWS, generator=3), TypeError, r"generator must be a torch\.Generator"),
        (lambda: max_sliced_wasserstein_loss(ROWS, ROWS, generator=3), TypeError, r"a torch\.Generator, got int"),
        (lambda: max_sliced_wasserstein_loss(ROWS, ROWS, iterations=-1), ValueError, "iterations must be at least 0"),
        (lambda: sinkhorn_loss(ROWS, ROWS, epsilon=0.0), ValueError, "epsilon must be positive and finite, got 0"),
        (
            lambda: sinkhorn_loss(ROWS, 2 * ROWS, epsilon=1e-30),
            ValueError,
            "epsilon must be above 1e-10 of the largest cost, 2, got 1e-30",
        ),
        (lambda: sinkhorn_loss(ROWS, ROWS, tolerance="a"), TypeError, "tolerance must be a number, got str"),
        (lambda: sinkhorn_loss(ROWS, ROWS, iterations=0), ValueError, "iterations must be at least 1, got 0"),
        (lambda: sinkhorn_loss(ROWS, ROWS, tolerance=1.0), ValueError, r"tolerance must be in \[0, 1\), got 1"),
        (lambda: WassersteinCriticLoss(len), TypeError, "critic must be a torch.nn.Module, got builtin"),
        (
            lambda: WassersteinCriticLoss(nn.Linear(2, 1), penalty="a"),
            TypeError,
            "penalty must be a number, got str",
        ),
        (
            lambda: WassersteinCriticLoss(nn.Linear(2, 1), penalty=-1.0),
            ValueError,
            "penalty must be finite and not neg",
        ),
        (
            lambda: WassersteinCriticLoss(nn.Linear(2, 3))(ROWS, ROWS),
            ValueError,
            "critic must return one number for each",
        ),
    ],
)
def test_errors_say_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_exact_transport_says_that_it_cannot_be_transformed():
    rows = torch.randn(3, 2)
    with pytest.raises(RuntimeError, match=r"exact transport cannot run inside torch.func transforms, .*sinkhorn_loss"):
        torch.func.grad(exact_transport_loss)(rows, rows)


@pytest.mark.parametrize("loss", [sliced_wasserstein_loss, max_sliced_wasserstein_loss, exact_transport_loss])
@pytest.mark.parametrize("far", [1e8, -1e8, 1e11])
def test_a_far_row_of_weight_zero_takes_no_part_in_transport(loss, far):
    for seed in range(20):
        torch.manual_seed(seed)
        source, target = torch.randn(11, 1, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)
        weights = torch.rand(11, dtype=torch.float64) + 0.1
        weights[0], source[0] = 0, far
        expected = loss(source[1:], target, source_weights=weights[1:]).item()
        assert loss(source, target, source_weights=weights).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("epsilon", [1e5, 1e7, 1e9])
def test_sinkhorn_with_a_large_epsilon_is_the_distance_of_the_means_in_float32(epsilon):
    source, target = torch.randn(64, 8), torch.randn(64, 8) + 0.2
    means = (source.mean(dim=0) - target.mean(dim=0)).square().sum()
    assert sinkhorn_loss(source, target, epsilon=epsilon).item() == pytest.approx(means.item(), rel=1e-3)
    assert sinkhorn_loss(source, source.flip(0), epsilon=epsilon).item() == pytest.approx(0, abs=1e-4)


def test_weights_that_nearly_are_equal_still_count():
    x = torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    weights = torch.where(torch.arange(1000) < 500, 1 + 5e-6, 1 - 5e-6).double()
    value = exact_transport_loss(x, x.clone(), source_weights=weights).item()
    expected = sliced_wasserstein_loss(x, x.clone(), source_weights=weights).item()  # exact for one feature
    assert value == pytest.approx(expected, rel=1e-6)
    assert value > 1e-9
