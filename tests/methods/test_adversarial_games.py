"""What every game keeps: row weights of both domains count, labels may be short, wrong networks are named."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dalib import (
    Batch,
    DomainAdversarialLoss,
    FeatureClassifier,
    Outputs,
    RandomizedMultilinear,
    gradient_step,
    methods,
)
from dalib.losses.entropy_conditioned import EntropyConditionedLoss
from dalib.methods.daan import DynamicAdversarialLoss, DynamicFactor
from dalib.methods.domain_confusion import DomainConfusionLoss
from dalib.methods.iwan import ImportanceWeightedAdversarialLoss
from dalib.methods.mada import MultiAdversarialLoss
from dalib.methods.uan import UniversalAdversarialLoss
from dalib.training import separate_forward

SMALL = {
    "dann": {"hidden": 8},
    "cdan": {"hidden": 8},
    "cdan_e": {"hidden": 8},
    "mdd": {"hidden": 8},
    "mada": {"hidden": 4},
    "daan": {"hidden": 8, "class_hidden": 4},
    "domain_confusion": {"hidden": 8},
    "mcd_reversal": {},
    "pada": {"hidden": 8},
    "iwan": {"hidden": 8},
    "osbp": {},
    "ovanet": {},
}
OTHERS = {
    "bsp": {"hidden": 8},
    "daln": {},
    "etn": {"hidden": 8},
    "uan": {"hidden": 8},
    "mcd": {},
    "swd_mcd": {},
    "adda": {"hidden": 8, "pretraining": 1},
    "wdgrl": {"hidden": 4},
}


def rows(n, head, weights=None):
    features = torch.randn(n, 6, dtype=torch.float64)
    return Outputs(features, head(features), torch.arange(n) % 3, weights, head=head)


def repeated(outputs, times):
    parts = (part.repeat_interleave(times, 0) for part in (outputs.features, outputs.logits, outputs.labels))
    return Outputs(*parts, head=outputs.head)


@pytest.mark.parametrize("name", SMALL)
def test_weights_of_both_domains_equal_repetition(name):
    head = nn.Linear(6, 3).double()
    objective = getattr(methods, name)(6, 3, 4, **SMALL[name]).double().eval()
    for _ in range(4):
        objective.advance()
    times = torch.tensor([1, 3, 1, 2, 1]), torch.tensor([2, 1, 1, 4])
    source, target = rows(5, head, times[0].double()), rows(4, head, times[1].double())
    weighted = objective(source, target).terms
    plain = objective(repeated(source, times[0]), repeated(target, times[1])).terms
    unweighted = objective(*(Outputs(x.features, x.logits, x.labels, head=head) for x in (source, target))).terms
    games = [key for key in weighted if key not in ("classification", "second")]  # cross entropies do not rescale
    assert games
    for key in games:
        torch.testing.assert_close(weighted[key], plain[key], rtol=1e-6, atol=1e-9)
        assert not torch.isclose(weighted[key], unweighted[key], rtol=1e-6, atol=1e-9)


def test_mcd_weighs_target_rows_and_its_sliced_form_refuses_to_drop_them():
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=None, width=6)
    times = torch.tensor([2, 1, 3])
    inputs = torch.randn(3, 4)
    source = Batch(torch.randn(5, 4), torch.arange(5) % 3)
    agree = methods.mcd(6, 3, 10).phases(model, separate_forward)[2].loss
    weighted = agree(source, Batch(inputs, weights=times.float()))
    torch.testing.assert_close(weighted, agree(source, Batch(inputs.repeat_interleave(times, 0))))
    sliced = methods.swd_mcd(6, 3, 10).phases(model, separate_forward)[2].loss
    with pytest.raises(TypeError, match=r"discrepancy must take weights= because the target rows have weights, got Sl"):
        sliced(source, Batch(inputs, weights=times.float()))


def step_of(name, width=6, classes=3, model_classes=3):
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(4, 6), model_classes, bottleneck=None, width=6)
    objective = getattr(methods, name)(width, classes, 4, **{**SMALL, **OTHERS}[name])
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.01)
    return gradient_step(model, objective, optimizer)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_labels_of_any_integer_dtype_are_the_same_labels(name, dtype):
    source, target = Batch(torch.randn(6, 4), torch.arange(6) % 3), Batch(torch.randn(5, 4))
    losses = []
    for labels in (source.labels, source.labels.to(dtype)):
        step = step_of(name)
        losses.append([step(source._replace(labels=labels), target).total for _ in range(3)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", [name for name in [*SMALL, *OTHERS] if name not in ("daln", "osbp")])
def test_a_network_of_the_wrong_width_is_named(name):
    step = step_of(name, width=9)
    pair = Batch(torch.randn(6, 4), torch.arange(6) % 3), Batch(torch.randn(5, 4))
    if name == "adda":  # its first stage is the source alone
        step(*pair)
    with pytest.raises(ValueError, match=r"must (take the \d+ features that it is given|have 9 columns), got"):
        step(*pair)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cdan", "discriminator must take the 18 features"),
        ("cdan_e", "discriminator must take the 18 features"),
        ("mdd", r"head must return logits of shape \(11, 3\)"),
        ("mcd", r"the second head must return logits of shape \(6, 3\), one column a class of the model, got \(6, 4\)"),
        ("mcd_reversal", "the second head must return logits"),
        ("mada", "probs must have 4 columns, got 3"),
        ("pada", "target.logits must have 4 columns, one a class weight"),
        ("etn", "auxiliary must have the 3 classes of the model, got 4"),
    ],
)
def test_another_number_of_classes_is_named(name, message):
    step = step_of(name, classes=4)
    with pytest.raises(ValueError, match=message):
        step(Batch(torch.randn(6, 4), torch.arange(6) % 3), Batch(torch.randn(5, 4)))


HEAD = nn.Linear(6, 3)
TWO = nn.Linear(6, 2)


def plain(n):
    features = torch.randn(n, 6, requires_grad=True)
    return Outputs(features, HEAD(features), torch.arange(n) % 3, head=HEAD)


@pytest.mark.parametrize(
    ("loss", "on"),
    [
        (lambda: DomainAdversarialLoss(TWO), "features"),
        (lambda: EntropyConditionedLoss(nn.Linear(18, 2)), "outputs"),
        (lambda: DomainConfusionLoss(TWO), "features"),
        (lambda: ImportanceWeightedAdversarialLoss(TWO, DomainAdversarialLoss(nn.Linear(6, 1))), "features"),
        (lambda: UniversalAdversarialLoss(TWO, DomainAdversarialLoss(nn.Linear(6, 1))), "outputs"),
        (lambda: DynamicAdversarialLoss(TWO, nn.Linear(6, 3), DynamicFactor(3, window=1)), "outputs"),
    ],
)
def test_two_numbers_a_row_are_not_taken_for_twice_the_rows(loss, on):
    pair = (plain(4), plain(3)) if on == "outputs" else (plain(4).features, plain(3).features)
    with pytest.raises(
        ValueError, match=r"(discriminator|weigher) must return one number for each of 7 rows, got shape"
    ):
        loss()(*pair)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiAdversarialLoss(3), "discriminators must be a torch.nn.Module, got int"),
        (
            lambda: ImportanceWeightedAdversarialLoss(abs, DomainAdversarialLoss(TWO)),
            "weigher must be a torch.nn.Module",
        ),
        (lambda: UniversalAdversarialLoss(abs, DomainAdversarialLoss(TWO)), "weigher must be a torch.nn.Module"),
    ],
)
def test_what_is_no_network_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: methods.mdd(6, 3, 10, hidden=-1), "hidden must be at least 1, got -1"),
        (lambda: methods.wdgrl(6, 3, 10, hidden=0), "hidden must be at least 1, got 0"),
        (lambda: methods.etn(6, 3, 10, hidden=0), "hidden must be at least 1, got 0"),
        (lambda: methods.mcd(6, 3, 10, hidden=0), "hidden must be at least 1, got 0"),
        (lambda: methods.uan(6, 1, 10), "classes must be at least 2, got 1"),
        (
            lambda: methods.adda(6, 3, 10, pretraining=10),
            "pretraining must leave some of the 10 steps to the second stage, got 10",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


COMPILED = ("cdan_e", "mdd", "bsp", "daln", "daan", "domain_confusion", "mcd_reversal", "pada", "iwan", "etn")


@pytest.mark.parametrize("name", COMPILED)
def test_every_game_compiles_into_one_graph_copies_and_counts_twice(name):
    objective = getattr(methods, name)(6, 3, 4, **{**SMALL, **OTHERS}[name])
    for _ in range(2):
        objective.advance()
    twin, graphs = pickle.loads(pickle.dumps(copy.deepcopy(objective))), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()  # or what other tests compiled of the same functions counts towards the limit
    compiled = torch.compile(twin, backend=backend)
    gradients = []
    for _ in range(2):
        pair = [plain(7), plain(5)]
        values = []
        for game in (objective, compiled):
            torch.manual_seed(1)  # of dropout
            values.append(game(*pair).total)
        torch.testing.assert_close(values[0], values[1])
        leaves = [x.features for x in pair]
        each = [torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True) for value in values]
        torch.testing.assert_close(each[0], each[1])
        gradients.append((each[0], torch.autograd.grad(2 * values[0] + values[1], leaves, allow_unused=True)))
        objective.advance()
        twin.advance()
    assert len(graphs) == 1
    for once, three in gradients:
        for a, b in zip(once, three, strict=True):
            torch.testing.assert_close(b, a if a is None else 3 * a)
    torch.testing.assert_close(dict(twin.named_buffers()), dict(objective.named_buffers()))


def test_nan_behind_a_random_map_is_told():
    rows = Outputs(torch.full((2, 6), float("nan")), torch.zeros(2, 3))
    loss = EntropyConditionedLoss(nn.Linear(5, 1), on=RandomizedMultilinear(6, 3, dimension=5))
    with pytest.raises(ValueError, match="source must be finite"):
        loss(rows, plain(2))


def test_half_precision_games_count_in_float32():
    """Cross entropies and confusions of bfloat16 outputs are those of the same numbers in float32."""
    for name, key in (("pada", "classification"), ("etn", "transfer")):
        objective = getattr(methods, name)(6, 3, 4, **{**SMALL, **OTHERS}[name]).eval()
        source, target = plain(5), plain(4)
        half = [
            Outputs(x.features.detach(), x.logits.detach().bfloat16(), x.labels, head=x.head) for x in (source, target)
        ]
        full = [Outputs(x.features, x.logits.float(), x.labels, head=x.head) for x in half]
        torch.testing.assert_close(objective(*half).terms[key], objective(*full).terms[key], rtol=0, atol=0)


def test_defaults_are_the_published_constants():
    """Numbers that a docstring says are the paper's or the authors'."""
    make = {
        name: getattr(methods, name)(256, 31, 1000) for name in ("mdd", "bsp", "iwan", "etn", "pada", "osbp", "uan")
    }
    assert make["mdd"].terms["disparity"].loss.margin == 4.0
    assert make["bsp"].terms["spectral"].weight() == 1e-4
    assert make["bsp"].terms["spectral"].loss.k == 1
    assert make["iwan"].terms["entropy"].weight() == 0.1
    assert make["etn"].terms["entropy"].weight() == 0.2
    assert make["etn"].terms["transfer"].loss.auxiliary_weight == 10.0
    assert make["pada"].terms["classification"].class_weights.temperature == 1.0
    assert make["osbp"].terms["boundary"].loss.boundary == 0.5
    assert make["osbp"].terms["boundary"].loss.reversal.strength() == 1.0
    assert make["uan"].threshold == -0.5
    assert make["uan"].terms["adversarial"].loss.source_temperature == 10.0
    assert methods.ovanet(256, 31, 1000).terms["open_entropy"].weight() == 0.1
    assert methods.domain_confusion(256, 31, 1000).terms["confusion"].loss.confusion() == 0.01
    assert methods.mcd(256, 31, 1000).times == 4
    assert methods.swd_mcd(256, 31, 1000).discrepancy.directions == 128
    wdgrl = methods.wdgrl(256, 31, 1000)
    assert (wdgrl.critic_steps, wdgrl.parts["critic"].penalty) == (5, 10.0)


@pytest.mark.parametrize(
    ("name", "key", "end"),
    [
        *((name, "adversarial", 0.4621) for name in ("dann", "bsp", "pada", "etn", "iwan", "uan")),
        *((name, "adversarial", 0.9999) for name in ("cdan", "cdan_e", "mada", "daan")),
        ("daln", "discrepancy", 0.9999),
        ("mdd", "disparity", 0.09999),
    ],
)
def test_ramps_start_at_zero_and_end_where_the_docstring_says(name, key, end):
    objective = getattr(methods, name)(6, 3, 4)
    loss = objective.terms[key].loss
    strength = getattr(loss, "adversarial", loss).reversal.strength
    assert strength() == 0
    for _ in range(9):
        objective.advance()
    assert strength().item() == pytest.approx(end, abs=1e-4)


@pytest.mark.parametrize(("features", "classes", "exact"), [(128, 32, True), (128, 33, False)])
@pytest.mark.parametrize("name", ["cdan", "cdan_e"])
def test_the_map_is_random_above_4096_entries(name, features, classes, exact):
    term = getattr(methods, name)(features, classes, 10, hidden=4).terms["adversarial"]
    on = term.on if name == "cdan" else term.loss.on
    assert isinstance(on, RandomizedMultilinear) is not exact
    assert exact or on.feature_map.shape == (128, 1024)


def test_pada_multiplies_row_and_class_weights():
    loss = methods.pada(6, 3, 4, hidden=4).terms["classification"]
    loss.class_weights.weights.copy_(torch.tensor([2.0, 1.0, 0.5]))
    rows = plain(4)
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5])
    each = nn.functional.cross_entropy(rows.logits, rows.labels, reduction="none")
    expected = (torch.tensor([2.0, 1.0, 0.5, 2.0]) * weights * each).mean()
    weighted = Outputs(rows.features, rows.logits, rows.labels, weights, head=HEAD)
    torch.testing.assert_close(loss(weighted, plain(2)), expected)
