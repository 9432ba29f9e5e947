"""The adapter from a recipe: reproducible, resumable, fair, and with the weights that it was given."""

import copy
import math
import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch

from dalib.benchmark import Backbone, Protocol, scenarios, trained
from dalib.benchmark.identity import describe
from dalib.benchmark.trained import _Training
from dalib.data import arrays
from dalib.losses import CORALLoss
from dalib.methods import RECIPES, dan, dann, importance_weighted, source_only
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.training import Phase, PhasedObjective, joint_forward
from dalib.training.backbones import small_cnn
from dalib.training.phases import below_head
from dalib.weights import DomainClassifierWeights

SMALL = Protocol(bottleneck=8, steps=12, batch_size=16, checkpoints=3, dropout=0.2)


def task_of(scenario, seed=0):
    return scenario.task(scenario.split(seed))


def logits(method, task, seed, state=None):
    return [(c.step, c.predict(task.target).logits, copy.deepcopy(c.state)) for c in method(task, seed)]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_function_of_task_and_seed(scenario, name):
    method = trained(RECIPES[name], SMALL)
    task = task_of(scenario)
    first, again, other = (logits(method, task, seed) for seed in (0, 0, 1))
    assert [step for step, *_ in first] == [4, 8, 12]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[-1][1], other[-1][1])
    assert not torch.equal(first[0][1], first[-1][1])


@pytest.mark.parametrize("name", ["dann", "cdan", "dan"])
def test_a_checkpoint_is_resumed_to_the_bit(scenario, name):
    method, task = trained(RECIPES[name], SMALL), task_of(scenario)
    whole = logits(method, task, 3)
    torch.manual_seed(99)  # what the caller draws in between is of no concern
    rest = [(c.step, c.predict(task.target).logits) for c in method(task, 3, copy.deepcopy(whole[0][2]))]
    assert [step for step, _ in rest] == [8, 12]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(whole[1:], rest, strict=True))


def test_the_callers_generators_are_left_alone_and_do_not_matter(scenario):
    method, task = trained(dann, SMALL), task_of(scenario)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    expected = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    steps = method(task, 0)
    first = next(steps).predict(task.target).logits.clone()
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])  # noqa: NPY002
    assert random.random() == expected[2]
    assert torch.equal(first, logits(method, task, 0)[0][1])


def test_evaluating_changes_nothing(scenario):
    method, task = trained(dann, SMALL), task_of(scenario)
    quiet = list(method(task, 0))[-1].predict(task.target).logits
    asked = None
    for checkpoint in method(task, 0):
        asked = [checkpoint.predict(task.source), checkpoint.predict(task.target)][1]
    assert asked is not None
    assert torch.equal(quiet, asked.logits)
    assert asked.labels is None
    assert not asked.logits.requires_grad


def test_evaluation_batches_do_not_matter(scenario):
    task = task_of(scenario)
    outputs = [
        list(trained(dan, Protocol(bottleneck=8, steps=3, evaluation_batch_size=size))(task, 0))[-1].predict(
            task.target
        )
        for size in (7, 256)
    ]
    assert torch.allclose(outputs[0].logits, outputs[1].logits, atol=1e-5)


def test_every_parameter_learns_and_the_discriminator_at_the_full_rate(scenario):
    backbone = Backbone("linear", partial(torch.nn.Linear, 6, 6))
    protocol = Protocol(backbone=backbone, bottleneck=8, steps=5, backbone_factor=0.1)
    training = _Training(trained(dann, protocol), task_of(scenario), 0)
    rates = {id(p): group["initial_lr"] for group in training.optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in training.objective.parameters()} == {0.01}
    assert {rates[id(p)] for p in training.model.backbone.parameters()} == {0.001}
    before = copy.deepcopy([*training.model.parameters(), *training.objective.parameters()])
    training.advance_to(5)
    after = [*training.model.parameters(), *training.objective.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert training.optimizer.param_groups[-1]["lr"] == pytest.approx(0.01 * 1.005**-0.75)


def test_row_weights_reach_the_loss_in_the_right_rows(domain_set):
    scenario = scenarios(domain_set, [("A", "W")])[0]
    method = trained(importance_weighted, SMALL, weights=DomainClassifierWeights())
    training = _Training(method, task_of(scenario), 0)
    source = scenario.source.inputs.tensor.double().numpy()
    split = scenario.split(0)
    target = scenario.target.inputs.tensor.double().numpy()[split.target]
    expected = DomainClassifierWeights().fit(source, target).weights_
    for batch in training.batches[0]:
        assert batch.weights.numpy() == pytest.approx(expected[batch.index.numpy()], rel=1e-5)
    assert training.notes["effective_rows"] == pytest.approx(expected.sum() ** 2 / (expected**2).sum())
    plain = logits(trained(source_only, SMALL), task_of(scenario), 0)[-1][1]
    assert not torch.equal(plain, logits(method, task_of(scenario), 0)[-1][1])


def test_training_learns_and_adaptation_lowers_the_distance_it_minimises(scenario):
    from dalib.benchmark import run

    protocol = Protocol(bottleneck=16, steps=150, checkpoints=2, forward=joint_forward)
    done = {name: run(trained(RECIPES[name], protocol), name, scenario, 0) for name in ("control", "dan")}
    last = {name: entry.checkpoints[-1] for name, entry in done.items()}
    assert last["control"]["scores"]["source_accuracy"] > 0.8
    assert last["dan"]["descriptions"]["mmd"] < 0.7 * last["control"]["descriptions"]["mmd"]


def my_recipe(features, classes, steps, *, weight=1.0):
    return Objective(classification=source_cross_entropy, coral=Align(CORALLoss(), weight=weight))


def test_methods_travel_to_other_processes_and_tell_their_options_apart():
    method = trained(my_recipe, SMALL, weight=2.0)
    assert pickle.loads(pickle.dumps(method)) == method
    assert describe(method) != describe(trained(my_recipe, SMALL, weight=3.0))
    assert describe(method) != describe(trained(my_recipe, Protocol(), weight=2.0))
    assert describe(method)["protocol"]["backbone"]["name"] == "identity"


def test_the_mode_is_that_of_the_protocol_unless_the_target_is_not_seen():
    assert trained(dan, Protocol(forward=joint_forward)).mode == "joint"
    assert trained(dan).mode == "separate"
    assert trained(source_only).mode == "source"
    joint, separate = (trained(source_only, Protocol(forward=f)) for f in (joint_forward, Protocol().forward))
    assert describe(joint) == describe(separate)  # so one record serves both


def test_wrong_arguments():
    with pytest.raises(TypeError, match="unexpected keyword argument 'wieght'"):
        trained(dan, SMALL, wieght=2.0)
    with pytest.raises(TypeError, match="recipe must be a function"):
        trained("dan", SMALL)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="recipe must return a dalib Objective, got NoneType"):
        trained(lambda features, classes, steps: None, SMALL)
    with pytest.raises(TypeError, match=r"protocol must be a dalib\.benchmark\.Protocol, got dict"):
        trained(dan, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"weights must be an estimator with fit\(source, target\), got list"):
        trained(dan, SMALL, weights=[1.0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an integer, got float"),
        ({"batch_size": 1}, ValueError, "batch_size must be at least 2, got 1"),
        ({"rate": -1.0}, ValueError, "rate must be positive and finite, got -1"),
        ({"rate": math.inf}, ValueError, "rate must be positive and finite, got inf"),
        ({"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\), got 1"),
        ({"momentum": 0}, ValueError, "momentum must be positive, got 0"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be finite and not negative, got -1"),
        ({"gamma": "fast"}, TypeError, "gamma must be a number, got str"),
        ({"forward": "joint"}, TypeError, "forward must be joint_forward or separate_forward, got str"),
        ({"backbone": "timm:resnet50"}, TypeError, "backbone must be a Backbone, got str"),
        ({"device": "gpu"}, ValueError, "device must be a torch device such as 'cpu' or 'cuda', got 'gpu'"),
        ({"autocast": torch.int8}, ValueError, "autocast must be None, torch.bfloat16 or torch.float16"),
    ],
)
def test_a_protocol_refuses_wrong_values(options, error, message):
    with pytest.raises(error, match=message):
        Protocol(**options)


class Widening(PhasedObjective):
    """A phase that moves the features alone, then one of the whole model."""

    def phases(self, model, forward):
        def classified(source, target):
            return source_cross_entropy(forward(model, source, target)[0])

        return [Phase("features", classified, below_head(model)), Phase("all", classified, model.parameters())]


def test_phases_may_begin_to_move_parameters_one_after_the_other(scenario):
    method = trained(lambda features, classes, steps: Widening(), SMALL)
    steps = list(method(task_of(scenario), 0))
    assert [checkpoint.step for checkpoint in steps] == [4, 8, 12]
    assert steps[-1].losses["all"] < steps[0].losses["all"]


def test_a_protocol_takes_numbers_of_numpy():
    assert Protocol(dropout=np.float32(0.5), steps=np.int64(3), rate=np.float32(0.25)) == Protocol(
        dropout=0.5, steps=3, rate=0.25
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="got cuda without a CUDA device; use cpu"):
        Protocol(device="cuda")


def test_the_rate_falls_as_the_field_has_it_and_checkpoints_are_even():
    protocol = Protocol(steps=7, checkpoints=3)
    assert protocol.rate_at(0) == 0.01
    assert protocol.rate_at(9000) == pytest.approx(0.01 * 10**-0.75)
    assert protocol.checkpoint_steps == (2, 5, 7)
    assert Protocol(steps=2, checkpoints=5).checkpoint_steps == (1, 2)


def test_autocast_trains(scenario):
    protocol = Protocol(bottleneck=8, steps=4, autocast=torch.bfloat16)
    checkpoint = list(trained(dann, protocol)(task_of(scenario), 0))[-1]
    outputs = checkpoint.predict(task_of(scenario).target)
    assert outputs.logits.dtype == torch.float32
    assert torch.isfinite(outputs.logits).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
def test_training_on_cuda(scenario, autocast):
    protocol = Protocol(bottleneck=8, steps=8, checkpoints=2, device="cuda", autocast=autocast)
    task = task_of(scenario)
    for checkpoint in trained(dann, protocol)(task, 0):
        assert checkpoint.predict(task.target).logits.device.type == "cpu"
        assert all(math.isfinite(value) for value in checkpoint.losses.values())


def test_layout_and_compilation_change_no_result_beyond_rounding():
    draw = np.random.default_rng(0)
    rows = {name: (draw.normal(size=(24, 3, 16, 16)), np.arange(24) % 3) for name in "AB"}
    pair = scenarios(arrays(rows))[0]
    task = pair.task(pair.split(seed=0))
    found = []
    for speed in ({}, {"channels_last": True}, {"compile": "aot_eager"}):
        protocol = Protocol(
            backbone=Backbone("small_cnn", small_cnn), bottleneck=8, steps=3, batch_size=8, checkpoints=1, **speed
        )
        (last,) = trained(dan, protocol)(task, 0)
        found.append(last.predict(task.target).logits)
        assert set(protocol.describe()) - set(Protocol().describe()) == set(speed)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"channels_last": "yes"}, TypeError, "channels_last must be True or False, got 'yes'"),
        ({"compile": "inducter"}, ValueError, "compile must be None or one of .*inductor.*, got 'inducter'"),
    ],
)
def test_wrong_speed_options(option, error, message):
    with pytest.raises(error, match=message):
        Protocol(**option)
