"""Every loss of the library keeps the contract that `check_loss` offers to users; and `check_loss` can fail."""

import pytest
import torch
from torch import nn

from dalib import losses
from dalib.kernels import Gaussian, Laplacian, RationalQuadratic
from dalib.outputs import Outputs
from dalib.testing import _loss_forms, check_loss, of_labelled, of_one, of_outputs, of_two, two_matrices
from dalib.testing._loss_case import Case
from dalib.testing.losses import _CHECKS


def critic():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def layers(n, m, generator):
    first, second = two_matrices(n, m, generator)
    return (first, first[:, :2] ** 2), (second, second[:, :2] ** 2)


def labelled(n, m, generator):
    source, target = two_matrices(n, m, generator)
    return (source, torch.arange(n) % 2), (target, torch.arange(m) % 2)


def with_probs(n, m, generator):
    source, target = two_matrices(n, m, generator)
    return (source, torch.arange(n) % 2), (target, torch.softmax(target[:, :2], dim=1))


def heads(n, m, generator):
    """The logits of two heads on one sample; there is no other."""
    first, second = two_matrices(n, n, generator)
    return (first, second), (first[:0], second[:0])


def model_outputs(n, m, generator):
    source, target = two_matrices(n, m, generator)
    return (source, source[:, :3] - source[:, 1:]), (target, target[:, :3] - target[:, 1:])


def of_model(loss, source, target, **weights):
    """With the outputs of a model whose head takes three of the features, which rounds nothing in half precision."""

    def head(features):
        return features[:, 1:]

    return loss(*(Outputs(features, head(features), head=head) for features in (source, target)), **weights)


def network(inputs, outputs):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, outputs)).double()


class Logits(nn.Module):
    """Calls the domain-adversarial loss of logits with the first feature."""

    def forward(self, source, target, *, source_weights=None, target_weights=None):
        return losses.domain_adversarial_loss(
            source[:, 0], target[:, 0], source_weights=source_weights, target_weights=target_weights
        )


NO_DERIVATIVE = ("gradcheck",)  # the default bandwidth is outside the graph on purpose, or the gradient is reversed
UNBIASED = {"on_itself": None, "repetition": False, "min_rows": 2}
ONE = {"call": of_one, "on_itself": None, "symmetric": False}
ADVERSARIAL = {
    "inputs": model_outputs,
    "call": of_outputs,
    "on_itself": None,
    "symmetric": False,
    "skip": NO_DERIVATIVE,
}
CASES = {
    "mmd": (losses.MMDLoss(), {"skip": NO_DERIVATIVE}),
    "mmd, fixed bandwidths": (losses.MMDLoss(bandwidths=[1.0, 2.0]), {}),
    "mmd, bandwidths not in doublings": (losses.MMDLoss(bandwidths=[1.0, 1.7]), {}),
    "mmd, Laplacian": (losses.MMDLoss(kernel=Laplacian(2.0)), {}),
    "mmd, rational quadratic": (losses.MMDLoss(kernel=RationalQuadratic(2.0)), {}),
    "unbiased mmd": (losses.UnbiasedMMDLoss(bandwidths=[1.0, 2.0]), UNBIASED),
    "unbiased mmd, Laplacian": (losses.UnbiasedMMDLoss(kernel=Laplacian(2.0)), UNBIASED),
    # Pairs and blocks follow the order of the rows; with odd numbers of rows a row of weight zero splits a pair.
    "linear-time mmd": (losses.LinearTimeMMDLoss(bandwidths=[1.0]), {**UNBIASED, "skip": ("permutation", "weights")}),
    "block mmd": (losses.BlockMMDLoss(block_size=2, bandwidths=[1.0]), {**UNBIASED, "skip": ("permutation", "weights")}),
    "mean": (losses.MeanLoss(), {}),
    "coral": (losses.CORALLoss(), {"repetition": False, "min_rows": 2}),
    "log coral": (losses.LogCORALLoss(ridge=0.1), {"repetition": False, "min_rows": 2}),
    "cmd": (losses.CMDLoss(interval=(-2.0, 2.0)), {}),
    "homm": (losses.HoMMLoss(), {}),
    "homm, centred": (losses.HoMMLoss(order=4, centred=True), {}),
    "homm, drawn": (losses.HoMMLoss(order=4, samples=50), {}),
    "energy": (losses.EnergyLoss(), {}),
    "sliced wasserstein": (losses.SlicedWassersteinLoss(projections=16), {}),
    # The worst line moves with the rows, and is held fixed in the gradient: exact at the maximum alone.
    "max-sliced wasserstein": (losses.MaxSlicedWassersteinLoss(projections=16), {"skip": ("gradcheck", "symmetry")}),
    # At a loose tolerance values agree to that tolerance only, so the contract is checked at convergence. A compiled or
    # transformed loss makes all iterations.
    "sinkhorn": (losses.SinkhornLoss(epsilon=2.0, iterations=400, tolerance=1e-13), {}),
    # The solver is outside of torch.
    "exact transport": (losses.ExactTransportLoss(), {"skip": ("vmap",)}),
    "joint mmd": (losses.JointMMDLoss(kernels=[Gaussian([1.0, 2.0]), Gaussian([1.5])]), {"inputs": layers}),
    "joint mmd, default": (losses.JointMMDLoss(), {"inputs": layers, "skip": NO_DERIVATIVE}),
    "adversarial map": (
        losses.AdversarialMapLoss(losses.JointMMDLoss(kernels=[Gaussian([1.0])] * 2), [4, 2]).double(),
        # The maps belong to the dtype of their parameters.
        {"inputs": layers, "skip": ("dtypes", "autocast")},
    ),
    "local mmd": (
        losses.LocalMMDLoss(bandwidths=[1.0, 2.0]),
        # Labels and probabilities are not interchangeable, and the probabilities carry no gradient.
        {"inputs": with_probs, "call": of_labelled, "symmetric": False, "on_itself": None, "skip": ("gradcheck",)},
    ),
    "class-conditional mmd": (
        losses.ClassConditionalMMDLoss(2, bandwidths=[1.0, 2.0]),
        {"inputs": labelled, "call": of_labelled},
    ),
    "contrastive": (
        losses.ContrastiveDomainLoss(2, bandwidths=[1.0, 2.0]),
        {"inputs": labelled, "call": of_labelled, "on_itself": None},
    ),
    "wasserstein critic": (
        losses.WassersteinCriticLoss(critic()),
        # The gradient is reversed; the penalty is of drawn points, which follow the rows, and needs autograd inside.
        {"on_itself": None, "symmetric": False, "repetition": False,
         "skip": ("gradcheck", "permutation", "weights", "vmap", "compile")},
    ),
    "domain adversarial": (
        losses.DomainAdversarialLoss(critic()),
        {"on_itself": None, "symmetric": False, "skip": NO_DERIVATIVE},
    ),
    "domain adversarial, logits": (Logits(), {"on_itself": None, "symmetric": False, "skip": ("errors",)}),
    "entropy": (losses.EntropyLoss(), {**ONE, "sample_name": "logits"}),
    "mcc": (losses.MCCLoss(), {**ONE, "sample_name": "logits", "skip": ("gradcheck",)}),  # its own weights are fixed
    "classifier discrepancy": (losses.ClassifierDiscrepancyLoss(), {**ONE, "inputs": heads}),
    # The sliced one couples whole samples and takes no weights; so do the spectral and the nuclear norms.
    "sliced discrepancy": (losses.SlicedDiscrepancyLoss(directions=16), {**ONE, "inputs": heads, "skip": ("weights",)}),
    "batch spectral": (losses.BatchSpectralLoss(), {"on_itself": None, "skip": ("weights",)}),
    "nuclear wasserstein": (
        losses.NuclearWassersteinLoss(),
        {"call": of_model, "on_itself": None, "symmetric": False, "skip": ("weights", "errors", *NO_DERIVATIVE)},
    ),
    "margin disparity": (losses.MarginDisparityLoss(network(4, 3)), ADVERSARIAL),
    "entropy conditioned": (losses.EntropyConditionedLoss(network(12, 1)), ADVERSARIAL),
    "unknown boundary": (
        losses.UnknownBoundaryLoss(),  # of the target alone, whose weights it takes
        {"call": of_model, "on_itself": None, "symmetric": False,
         "skip": ("weights", "errors", "gradient", *NO_DERIVATIVE)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_loss_keeps_the_contract(name):
    loss, options = CASES[name]
    check_loss(loss, **options)


@pytest.mark.cuda
@pytest.mark.parametrize("name", CASES)
def test_every_loss_is_the_same_on_cuda(name):
    loss, options = CASES[name]
    check_loss(loss, **{**options, "skip": [check for check in _CHECKS if check != "device"]})


def test_what_draws_is_told_from_what_does_not():
    def drawn(loss):
        case = Case(loss, two_matrices, of_two, None, True, True, 1, "source", 0)
        return _loss_forms._draws(case, loss, *case.batches())

    assert drawn(losses.SlicedWassersteinLoss(projections=2))
    assert not drawn(losses.MMDLoss())


def _mean(source, target, *, source_weights=None, target_weights=None):
    return losses.mean_loss(source, target, source_weights=source_weights, target_weights=target_weights)


def _half(rows):
    return rows.dtype in (torch.float16, torch.bfloat16)


@pytest.mark.parametrize(
    ("promise", "loss"),
    [
        (
            "dtypes: torch.float16 must give the gradient",
            lambda s, t, **w: _mean(s, t, **w) if s.dtype == torch.float64 else _mean(s, t, **w).detach(),
        ),
        (
            "dtypes: torch.float32 must give the gradient",
            lambda s, t, **w: (
                _mean(s, t, **w) * 3 - 2 * _mean(s, t, **w).detach() if s.dtype == torch.float32 else _mean(s, t, **w)
            ),
        ),
        (
            "dtypes: torch.float16 must give the gradient",
            lambda s, t, **w: _mean(s, t, **w) + (0 * s.sum()).sqrt().float() if _half(s) else _mean(s, t, **w),
        ),
        (
            "autocast: autocast must change no gradient",
            lambda s, t, **w: _mean(s, t, **w).detach() if torch.is_autocast_enabled("cpu") else _mean(s, t, **w),
        ),
        (
            "weights: integer source_weights must equal repeated rows in the gradient",
            lambda s, t, **w: _mean(s, t) + (_mean(s, t, **w) - _mean(s, t)).detach(),
        ),
        (
            "weights: weights of both domains at once",
            lambda s, t, **w: _mean(s, t, **w) * (2 if w and all(x.unique().numel() > 1 for x in w.values()) else 1),
        ),
        ("permutation: ", lambda s, t, **w: _mean(s[:12], t[:12], **{k: v[:12] for k, v in w.items()})),
        ("rows: the loss must return a scalar tensor, got float", lambda s, t, **w: _mean(s, t, **w).item()),
        ("rows: the loss must return a scalar tensor, got NoneType", lambda s, t, **w: None),
    ],
)
def test_a_loss_that_is_right_only_where_nobody_trains_is_caught(promise, loss):
    with pytest.raises(AssertionError, match=f"^{promise}"):
        check_loss(loss)


def test_a_loss_that_needs_a_graph_is_caught():
    def loss(source, target, **weights):
        if not torch.is_grad_enabled():
            raise RuntimeError("no graph")
        return _mean(source, target, **weights)

    with pytest.raises(AssertionError, match=r"^unchanged: the loss must not raise, got RuntimeError: no graph"):
        check_loss(loss)


def test_broken_losses_are_caught():
    def mean(source, target, *, source_weights=None, target_weights=None):
        return losses.mean_loss(source, target, source_weights=source_weights, target_weights=target_weights)

    broken = {
        "itself": lambda s, t, **w: mean(s, t, **w) + 1,
        "symmetry": lambda s, t, **w: mean(s, t, **w) * (1 + s.detach().square().sum()),
        "permutation": lambda s, t, **w: mean(s, t, **w) * (2 + s[0, 0].detach().tanh() + t[0, 0].detach().tanh()),
        "equal rows": lambda s, t, **w: mean(s, t, **w).sqrt(),
        "weights": lambda s, t, source_weights=None, target_weights=None: mean(s, t),
        "gradcheck": lambda s, t, **w: mean(s.detach(), t.detach(), **w) + 0 * s.sum() + 0 * t.sum(),
        "dtypes": lambda s, t, **w: mean(s, t, **w).double(),
        "errors": lambda s, t, **w: mean(s[:, :4].nan_to_num(), t, **w) if s.ndim == 2 else mean(s, t, **w),
        "rows": lambda s, t, **w: mean(s, t, **w)[None],
    }
    every = ["gradient", "compile", "vmap", "device", "copies", *broken]
    for name, loss in broken.items():
        with pytest.raises(AssertionError, match=f"^{name}: "):
            check_loss(loss, skip=[other for other in every if other != name])


def checked(loss, name, **options):
    check_loss(loss, skip=[check for check in _CHECKS if check != name], **options)


@pytest.mark.parametrize("ignored", ["source", "target"])
@pytest.mark.parametrize("repetition", [True, False])
def test_ignored_weights_of_either_domain_are_caught(ignored, repetition):
    kept = {"source": "target_weights", "target": "source_weights"}[ignored]

    def ignores(source, target, *, source_weights=None, target_weights=None):
        weights = {"source_weights": source_weights, "target_weights": target_weights}[kept]
        return losses.mmd_loss(source, target, bandwidths=[1.0], **{kept: weights})

    promise = f"integer {ignored}_weights must equal" if repetition else f"zero {ignored}_weights must equal"
    with pytest.raises(AssertionError, match=f"^weights: {promise}"):
        checked(ignores, "weights", repetition=repetition)


@pytest.mark.parametrize("side", ["source_weights", "target_weights"])
@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        ("negative", lambda weights: bool((weights < 0).all())),
        ("all-zero", lambda weights: bool((weights == 0).all())),
        ("too few", lambda weights: len(weights) in (5, 7)),
    ],
)
def test_wrong_weights_of_either_domain_must_be_refused(side, what, allowed):
    def lenient(source, target, **weights):
        return losses.mean_loss(
            source, target, **{name: w for name, w in weights.items() if name != side or not allowed(w)}
        )

    with pytest.raises(AssertionError, match=f"^weights: {what} {side} must raise a TypeError or ValueError"):
        checked(lenient, "weights")


def test_a_scale_of_the_weights_is_caught():
    def scaled(source, target, *, target_weights=None):
        value = losses.mean_loss(source, target, target_weights=target_weights)
        uneven = target_weights is not None and target_weights.max() > target_weights.min()
        return value * target_weights[target_weights > 0].min() if uneven else value

    with pytest.raises(AssertionError, match=r"^weights: the scale of target_weights must not matter"):
        checked(scaled, "weights")


class WeightsOf(nn.Module):
    """Takes the weights of the target alone, or forgets them."""

    def __init__(self, forgets):
        super().__init__()
        self.forgets = forgets

    def forward(self, source, target, *, target_weights=None):
        return losses.mean_loss(source, target, target_weights=None if self.forgets else target_weights)


def test_weights_of_one_domain_alone_are_checked_alone():
    checked(WeightsOf(forgets=False), "weights")
    with pytest.raises(AssertionError, match=r"^weights: integer target_weights must equal repeated rows"):
        checked(WeightsOf(forgets=True), "weights")

    def of_source(source, target, source_weights=None):
        return losses.mean_loss(source, target, source_weights=source_weights)

    checked(of_source, "weights")
    checked(losses.EntropyLoss(), "weights", call=of_one)
    with pytest.raises(AssertionError, match=r"^weights: integer weights must equal repeated rows"):
        checked(lambda logits, weights=None: losses.entropy_loss(logits), "weights", call=of_one)


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1.0, 1e7])
def test_a_wrong_loss_of_any_size_is_caught(size):
    def wrong(source, target):
        order = torch.arange(len(source), dtype=source.dtype)
        return size * losses.coral_loss(source, target) + size * (source[:, 0] * order).mean()

    def other_gradient(source, target):
        value = size * losses.mean_loss(source, target)
        return value + (value - value.detach())

    def other_form(source, target):
        value = size * losses.mean_loss(source, target)
        return 1.5 * value if source.dtype == torch.float32 or torch.compiler.is_compiling() else value

    for name in ("itself", "symmetry", "permutation"):
        with pytest.raises(AssertionError, match=f"^{name}: "):
            checked(wrong, name)
    with pytest.raises(AssertionError, match=r"^gradcheck: "):
        checked(other_gradient, "gradcheck")
    for name in ("dtypes", "compile"):
        with pytest.raises(AssertionError, match=f"^{name}: "):
            checked(other_form, name)


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1e7])
def test_a_right_loss_of_any_size_passes(size):
    def right(source, target, **weights):
        return size * losses.mmd_loss(source, target, bandwidths=[1.0], **weights)

    def unbiased(source, target, **weights):
        return size * losses.unbiased_mmd_loss(source, target, bandwidths=[1.0], **weights)

    check_loss(right)
    check_loss(unbiased, on_itself=None, repetition=False, min_rows=2)


def test_a_loss_of_zero_keeps_all_but_its_gradient():
    check_loss(lambda source, target: 0 * losses.mean_loss(source, target), skip=("weights", "gradient"))


def without_graph(source, target):
    with torch.no_grad():
        return losses.mmd_loss(source, target)


@pytest.mark.parametrize(
    ("loss", "promise"),
    [
        (without_graph, "the value must be part of the graph"),
        (lambda source, target: 0 * losses.mean_loss(source, target), "some row .* gradient that is not zero"),
        (
            lambda source, target: losses.mmd_loss(source.detach(), target.detach()),
            "the value must be part of the graph",
        ),
    ],
)
def test_a_loss_that_teaches_nothing_is_caught(loss, promise):
    with pytest.raises(AssertionError, match=f"^gradient: {promise}"):
        check_loss(loss, skip=("weights", "gradcheck", "errors"))
    check_loss(loss, skip=("weights", "gradcheck", "errors", "gradient"))


def test_a_nan_of_a_zero_weight_is_caught():
    def logarithmic(source, target, *, source_weights=None, target_weights=None):
        if source_weights is not None:
            source_weights = source_weights.square() / source_weights
        return losses.mean_loss(source, target, source_weights=source_weights, target_weights=target_weights)

    with pytest.raises(AssertionError, match=r"^weights: "):
        checked(logarithmic, "weights")


def test_an_error_of_the_loss_names_the_check_and_is_the_cause():
    def of_numbers(source, target):
        return losses.mean_loss(source, target) + 0 * source.sum().item()

    with pytest.raises(AssertionError, match=r"^vmap: the loss must not raise, got RuntimeError: ") as raised:
        checked(of_numbers, "vmap")
    assert type(raised.value.__cause__) is RuntimeError

    def of_numbers_too_few(source, target, *, source_weights=None):
        if source_weights is not None and len(source_weights) < len(source):
            raise IndexError("no such row")
        return losses.mean_loss(source, target, source_weights=source_weights)

    with pytest.raises(
        AssertionError, match=r"^weights: too few source_weights .* got IndexError: no such row"
    ) as raised:
        checked(of_numbers_too_few, "weights")
    assert type(raised.value.__cause__) is IndexError


class Forgetful(nn.Module):
    """What it has drawn is in no state_dict."""

    def __init__(self):
        super().__init__()
        self.map = None
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, source, target):
        if self.map is None:
            self.map = torch.randn(4, 2, dtype=source.dtype)
        return self.factor * losses.mean_loss(source @ self.map, target @ self.map)

    def __deepcopy__(self, memo):
        return Forgetful()


def test_state_that_is_lost_is_caught():
    loss = Forgetful()
    torch.manual_seed(5)
    loss(torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64))
    every = ("rows", "itself", "symmetry", "permutation", "equal rows", "weights", "dtypes", "autocast", "compile")
    with pytest.raises(AssertionError, match="copies: a deep copy must give the same value"):
        check_loss(loss, skip=(*every, "vmap", "gradcheck", "errors"))


class Mapped(nn.Module):
    """A random map, kept as one of three things, or drawn in the first call."""

    def __init__(self, kept):
        super().__init__()
        self.drawn = torch.randn(4, 2, dtype=torch.float64) if kept != "lazily" else None
        if kept in ("buffer", "lost buffer"):
            del self.drawn
            self.register_buffer("drawn", torch.randn(4, 2, dtype=torch.float64), persistent=kept == "buffer")

    def forward(self, source, target):
        if self.drawn is None:
            self.drawn = torch.randn(4, 2, dtype=torch.float64)
        return losses.mean_loss(source @ self.drawn, target @ self.drawn)


@pytest.mark.parametrize("kept", ["buffer", "lost buffer", "attribute", "lazily"])
def test_a_twin_finds_what_is_not_in_the_state_dict(kept):
    loss, twin = Mapped(kept), Mapped(kept)
    checked(loss, "copies")  # alone it carries its map along
    if kept == "buffer":
        checked(loss, "copies", twin=twin)
    else:
        with pytest.raises(AssertionError, match=r"^copies: the state_dict, loaded by the twin, must give the same"):
            checked(loss, "copies", twin=twin)


def test_a_twin_is_a_module():
    for loss, twin in ((losses.MMDLoss(), losses.mmd_loss), (losses.mmd_loss, losses.MMDLoss())):
        with pytest.raises(TypeError, match="twin must be a module like loss, got"):
            check_loss(loss, twin=twin)


def test_an_unknown_check_is_refused():
    with pytest.raises(ValueError, match=r"skip must name checks out of rows, itself, .*, got speed"):
        check_loss(losses.MMDLoss(), skip=("speed",))


def test_every_loss_of_the_library_is_in_the_list():
    def kinds(module):
        return {type(part).__name__ for part in module.modules()}

    checked = set().union(*(kinds(loss) for loss, _ in CASES.values()))
    modules = {name for name in losses.__all__ if name.endswith("Loss")}
    assert modules <= checked, f"add to CASES: {sorted(modules - checked)}"


def detached(source, target):
    return losses.mmd_loss(source, target.detach())


def one_row(source, target):
    return losses.mmd_loss(torch.cat([source[:1], source[1:].detach()]), target)


@pytest.mark.parametrize(
    ("loss", "symmetric", "promise"),
    [
        (detached, True, "symmetry: the gradients must be interchangeable"),
        (detached, False, "gradient: some row of the target must have a gradient"),
        (one_row, False, "permutation: a row must have its gradient at any place"),
    ],
)
def test_a_loss_that_teaches_some_rows_alone_is_caught_without_the_derivative(loss, symmetric, promise):
    with pytest.raises(AssertionError, match=f"^{promise}"):
        check_loss(loss, symmetric=symmetric, skip=("weights", "gradcheck"))


def test_a_loss_that_changes_what_it_is_given_is_caught():
    def of_rows(source, target, **weights):
        with torch.no_grad():
            (target if weights else source).mul_(1)  # the same numbers: nothing to see
        return losses.mean_loss(source, target, **weights)

    def scales_rows(source, target, **weights):
        with torch.no_grad():
            target.mul_(2)
        return losses.mean_loss(source, target / 2, **weights)

    def scales_weights(source, target, *, source_weights=None, target_weights=None):
        if target_weights is not None:
            target_weights.div_(target_weights.max().clamp_min(1))
        return losses.mean_loss(source, target, source_weights=source_weights, target_weights=target_weights)

    checked(of_rows, "unchanged")
    with pytest.raises(AssertionError, match=r"^unchanged: the loss must leave its target as it is"):
        checked(scales_rows, "unchanged")
    with pytest.raises(AssertionError, match=r"^weights: the loss must leave the weights of the target as they are"):
        checked(scales_weights, "weights")
