import math

import pytest
import torch
from torch import nn

from dalib import (
    Align,
    Batch,
    DomainAdversarialLoss,
    FeatureClassifier,
    MMDLoss,
    Objective,
    SourceObjective,
    gradient_step,
    joint_forward,
    linear_ramp,
    outputs_of,
    separate_forward,
    source_cross_entropy,
    train,
)


def batches(n=6, m=5, weights=None):
    generator = torch.Generator().manual_seed(1)
    source = Batch(torch.randn(n, 4, generator=generator), torch.arange(n) % 3, weights)
    return source, Batch(torch.randn(m, 4, generator=generator))


def classifier():
    torch.manual_seed(0)
    return FeatureClassifier(nn.Linear(4, 5), 3, bottleneck=6, width=5)


def test_separate_forward_is_each_domain_by_itself():
    model, (source, target) = classifier(), batches(weights=torch.ones(6))
    first, second = separate_forward(model, source, target)
    torch.testing.assert_close(first.logits, model(source.inputs)[1])
    torch.testing.assert_close(second.logits, model(target.inputs)[1])
    assert first.weights is source.weights


def test_joint_forward_is_one_batch():
    model, (source, target) = classifier(), batches(weights=torch.ones(6))
    first, second = joint_forward(model, source, target)
    both = model(torch.cat([source.inputs, target.inputs]))[1]
    torch.testing.assert_close(torch.cat([first.logits, second.logits]), both)
    assert first.labels is source.labels
    assert first.weights is source.weights
    assert second.labels is None
    model.eval()
    for joint, separate in zip(
        joint_forward(model, source, target), separate_forward(model, source, target), strict=True
    ):
        torch.testing.assert_close(joint.logits, separate.logits)


def test_joint_forward_of_dictionaries():
    class Net(nn.Module):
        def forward(self, x):
            return x["a"], x["a"] + x["b"]

    source = Batch({"a": torch.zeros(2, 3), "b": torch.ones(2, 3)})
    target = Batch({"a": torch.ones(1, 3), "b": torch.ones(1, 3)})
    assert joint_forward(Net(), source, target)[1].logits.tolist() == [[2, 2, 2]]


def adversarial_objective():
    return Objective(
        classification=source_cross_entropy,
        adversarial=Align(DomainAdversarialLoss(nn.Linear(6, 1), strength=linear_ramp(10, low=0.5))),
        mmd=Align(MMDLoss(), weight=linear_ramp(10)),
    )


def test_every_part_moves_and_the_losses_are_detached():
    model, objective = classifier(), adversarial_objective()
    before = {name: p.clone() for name, p in [*model.named_parameters(), *objective.named_parameters()]}
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    losses = gradient_step(model, objective, optimizer)(*batches())
    assert not losses.total.requires_grad
    for name, p in [*model.named_parameters(), *objective.named_parameters()]:
        # a bias before batch norm has no gradient; everything else has to move
        assert not torch.equal(p, before[name]) or name in ("bottleneck.0.bias", "backbone.bias"), name


def test_one_step_is_plain_gradient_descent():
    model, twin = classifier(), classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    source, target = batches()
    gradient_step(model, Objective(classification=source_cross_entropy), optimizer)(source, target)
    twin(target.inputs)
    loss = nn.functional.cross_entropy(twin(source.inputs)[1], source.labels)
    loss.backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.1 * q.grad)


def test_an_optimizer_without_the_adversary_is_refused_with_the_mend():
    model, objective = classifier(), adversarial_objective()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    message = (
        r"optimizer must hold the parameters of the objective, got one without terms.adversarial.loss.discriminator"
    )
    with pytest.raises(ValueError, match=message) as caught:
        gradient_step(model, objective, optimizer)
    assert "[*model.parameters(), *objective.parameters()]" in str(caught.value)
    objective.requires_grad_(False)
    gradient_step(model, objective, optimizer)  # frozen on purpose: allowed
    with pytest.raises(ValueError, match="optimizer must hold parameters of the model, got one without any"):
        gradient_step(model, objective, torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1))


def test_accumulation_equals_the_mean_of_the_batches():
    objective = Objective(classification=source_cross_entropy, mmd=Align(MMDLoss(), weight=linear_ramp(4)))
    source, target = batches()
    twice, once = classifier().eval(), classifier().eval()
    optimizer = torch.optim.SGD(twice.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    step = gradient_step(twice, objective, optimizer, accumulate=2, scheduler=scheduler)
    step(source, target)
    assert scheduler.last_epoch == 0
    assert objective.terms["mmd"].weight() == 0
    step(source, target)
    assert scheduler.last_epoch == 1
    assert objective.terms["mmd"].weight() == 0.25
    fresh = Objective(classification=source_cross_entropy, mmd=Align(MMDLoss(), weight=linear_ramp(4)))
    gradient_step(once, fresh, torch.optim.SGD(once.parameters(), lr=0.1))(source, target)
    for p, q in zip(twice.parameters(), once.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_clipping_bounds_the_update():
    model = classifier()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    gradient_step(model, Objective(classification=source_cross_entropy), optimizer, clip_norm=1e-3)(*batches())
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert 0 < moved.norm() <= 1e-3 * 1.001


def test_autocast_runs_the_model_in_bfloat16_and_the_loss_in_float32():
    seen = []

    def spy(source, target):
        seen.append(source.logits.dtype)
        return source_cross_entropy(source, target)

    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = gradient_step(model, Objective(classification=spy, mmd=Align(MMDLoss())), optimizer, autocast=torch.bfloat16)
    losses = step(*batches())
    assert seen == [torch.bfloat16]
    assert losses.terms["mmd"].dtype == torch.float32
    assert torch.isfinite(losses.total)


def test_a_source_objective_never_forwards_the_target():
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    source, _ = batches()
    step = gradient_step(model, SourceObjective(classification=source_cross_entropy), optimizer)
    assert torch.isfinite(step(source, Batch(None)).total)


def test_errors_name_what_is_wrong():
    model, (source, target) = classifier(), batches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    objective = Objective(classification=source_cross_entropy)
    with pytest.raises(TypeError, match="objective must be a dalib Objective, got function"):
        gradient_step(model, source_cross_entropy, optimizer)
    with pytest.raises(ValueError, match="accumulate must be at least 1"):
        gradient_step(model, objective, optimizer, accumulate=0)
    with pytest.raises(ValueError, match="clip_norm must be positive"):
        gradient_step(model, objective, optimizer, clip_norm=0.0)
    with pytest.raises(TypeError, match=r"model must return a pair \(features, logits\), got Tensor; wrap"):
        outputs_of(nn.Linear(4, 3), source)
    with pytest.raises(ValueError, match=r"one shape a row for a joint forward, got \(4,\) and \(2,\)"):
        joint_forward(model, source, Batch(torch.zeros(2, 2)))
    with pytest.raises(
        FloatingPointError, match="the loss must be finite, got classification = nan; lower the learning"
    ):
        gradient_step(model, objective, optimizer)(source._replace(inputs=source.inputs * math.nan), target)


def test_a_step_that_the_scaler_skips_moves_no_schedule():
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    objective = Objective(classification=source_cross_entropy, mmd=Align(MMDLoss(), weight=linear_ramp(10)))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)  # the first gradients overflow
    step = gradient_step(model, objective, optimizer, scheduler=scheduler, scaler=scaler)
    before = [parameter.clone() for parameter in model.parameters()]
    overflowing = Batch(batches()[0].inputs * 100, batches()[0].labels)
    step(overflowing, batches()[1])
    assert all(torch.equal(new, old) for new, old in zip(model.parameters(), before, strict=True))
    assert objective.terms["mmd"].weight.step == 0
    assert optimizer.param_groups[0]["lr"] == 0.1
    scaler.update(1.0)
    step(*batches())
    assert objective.terms["mmd"].weight.step == 1
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_clipping_sees_gradients_without_the_scale():
    model = classifier().double()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    objective = Objective(classification=source_cross_entropy)
    step = gradient_step(model, objective, optimizer, clip_norm=1e-3, scaler=scaler)
    step(*(batch._replace(inputs=batch.inputs.double()) for batch in batches()))
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)  # a clipped scaled gradient moves a 1024th of that


def test_gradients_that_were_there_before_do_not_enter():
    losses, parameters = [], []
    for stale in (False, True):
        model = classifier()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = gradient_step(model, Objective(classification=source_cross_entropy), optimizer)
        if stale:
            model(batches()[0].inputs)[1].sum().backward()
        losses.append(step(*batches()).total)
        parameters.append(list(model.parameters()))
    for first, second in zip(*parameters, strict=True):
        assert torch.equal(first, second)


def test_clipping_counts_only_what_the_optimizer_holds():
    model = classifier()
    held = list(model.head.parameters())
    optimizer = torch.optim.SGD(held, lr=1.0)
    step = gradient_step(model, Objective(classification=source_cross_entropy), optimizer, clip_norm=1e-3)
    for _ in range(3):  # gradients of the parts that are left out add up in the meantime
        before = [parameter.clone() for parameter in held]
        step(*batches())
        moved = torch.cat([(new - old).flatten() for new, old in zip(held, before, strict=True)])
        torch.testing.assert_close(moved.norm(), torch.tensor(1e-3), rtol=1e-3, atol=0.0)


def test_a_frozen_model_is_refused():
    model = classifier().requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = gradient_step(model, Objective(classification=source_cross_entropy), optimizer)
    with pytest.raises(ValueError, match=r"objective must depend on a trainable parameter .* unfreeze"):
        step(*batches())


def test_a_model_without_parameters_runs_under_autocast():
    class Plain(nn.Module):
        def forward(self, x):
            return x, x

    objective = Objective(dann=Align(DomainAdversarialLoss(nn.Linear(4, 1))))
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    step = gradient_step(Plain(), objective, optimizer, autocast=torch.bfloat16)
    assert torch.isfinite(step(*batches()).total)


def try_out(source=None, **options):
    model = classifier().eval()
    options = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)} | options
    step = gradient_step(model, Objective(classification=source_cross_entropy), **options)
    return step(batches()[0] if source is None else source, batches()[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: gradient_step(lambda x: (x, x), Objective(c=source_cross_entropy), None),
            TypeError,
            "model must be a torch.nn.Module, got function",
        ),
        *(
            (lambda options=options: try_out(**options), TypeError, message)
            for options, message in (
                ({"optimizer": None}, "optimizer must be a torch.optim.Optimizer, got NoneType"),
                (
                    {"forward": "joint"},
                    "forward must be separate_forward, joint_forward or a function like them, got 'jo",
                ),
                ({"scheduler": "cosine"}, "scheduler must be a learning-rate scheduler or None, got str"),
                (
                    {"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.ones(1)]))},
                    "scheduler must step without a score, got ReduceLROnPlateau; step it yourself after validation",
                ),
                (
                    {"autocast": "bf16"},
                    "autocast must be a floating-point dtype such as torch.bfloat16, or None, got 'bf",
                ),
                ({"autocast": torch.int8}, "autocast must be a floating-point dtype .*, got torch.int8"),
                ({"scaler": True}, "scaler must be a torch.amp.GradScaler or None, got bool"),
                ({"source": (torch.zeros(2, 4), torch.tensor([0, 1]))}, "source must be a Batch, got tuple; try Batch"),
            )
        ),
        (
            lambda: try_out(source=Batch(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))),
            ValueError,
            "source must have at least 1 row, got 0",
        ),
        (
            lambda: joint_forward(classifier(), Batch([1.0]), Batch([2.0])),
            TypeError,
            "must be tensors, or dictionaries of tensors, for a joint forward, got list and list; use separate_forward",
        ),
        (
            lambda: outputs_of(classifier(), Batch(torch.zeros(2, 4), labels=[0, 1])),
            TypeError,
            r"labels must be a torch.Tensor, got list",
        ),
        (
            lambda: FeatureClassifier(nn.Linear(4, 5), 3, width=7)(torch.zeros(2, 4)),
            ValueError,
            r"pooled output of the backbone must have shape \(rows, 7\), got shape \(2, 5\); give example=",
        ),
        (
            lambda: train(lambda source, target: None, [batches()], steps=1),
            TypeError,
            r"pairs must be an iterator of pairs of batches, got list; build it by pair_batches",
        ),
    ],
)
def test_wrong_kinds_are_told_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_joint_forward_refuses_dictionaries_of_other_names():
    source, target = Batch({"x": torch.zeros(2, 1)}), Batch({"x": torch.zeros(2, 1), "mask": torch.zeros(2, 1)})
    with pytest.raises(ValueError, match=r"names of the source's, \['x'\], got \['mask', 'x'\]"):
        joint_forward(classifier(), source, target)
