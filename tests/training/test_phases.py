import pytest
import torch
from torch import nn

from dalib import (
    Batch,
    FeatureClassifier,
    Outputs,
    gradient_step,
    joint_forward,
    linear_ramp,
    outputs_of,
    separate_forward,
)
from dalib.schedules import Scheduled
from dalib.training import Phase, PhasedObjective
from dalib.training.phases import below_head, head_of


def classifier():
    torch.manual_seed(0)
    return FeatureClassifier(nn.Linear(4, 5), 3, bottleneck=None, width=5)


def batches():
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(6, 4, generator=generator), torch.arange(6) % 3), Batch(
        torch.randn(5, 4, generator=generator)
    )


class Alternate(PhasedObjective):
    """The head descends the mean target logit, then the backbone ascends it twice."""

    def phases(self, model, forward):
        return [
            Phase("down", lambda s, t: forward(model, s, t)[1].logits.mean(), head_of(model).parameters()),
            Phase("up", lambda s, t: -forward(model, s, t)[1].logits.mean(), below_head(model), times=2),
        ]


def test_each_phase_moves_its_parameters_alone_as_often_as_it_says():
    model, twin = classifier(), classifier()
    source, target = batches()
    losses = gradient_step(model, Alternate(), torch.optim.SGD(model.parameters(), lr=0.1))(source, target)
    for sign, parameters, times in ((1, [*twin.head.parameters()], 1), (-1, [*twin.backbone.parameters()], 2)):
        for _ in range(times):
            loss = sign * twin(target.inputs)[1].mean()
            for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.data -= 0.1 * gradient
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    assert list(losses.terms) == ["down", "up"]
    torch.testing.assert_close(losses.terms["up"], loss.detach())
    torch.testing.assert_close(losses.total, losses.terms["down"] + losses.terms["up"])


def test_momentum_of_the_others_rests():
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = gradient_step(model, Alternate(), optimizer)
    step(*batches())
    buffer = optimizer.state[model.head.weight]["momentum_buffer"].clone()
    head = model.head.weight.detach().clone()

    class HeadRests(Alternate):
        def phases(self, model, forward):
            return super().phases(model, forward)[1:]

    gradient_step(model, HeadRests(), optimizer)(*batches())
    assert torch.equal(optimizer.state[model.head.weight]["momentum_buffer"], buffer)
    assert torch.equal(model.head.weight, head)


def test_scheduler_moves_once_a_call():
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    gradient_step(model, Alternate(), optimizer, scheduler=scheduler)(*batches())
    assert scheduler.last_epoch == 1


class LastOverflows(PhasedObjective):
    """The head steps, then a gradient that no scale saves."""

    def __init__(self):
        super().__init__()
        self.weight = Scheduled(linear_ramp(10))

    def phases(self, model, forward):
        return [
            Phase("finite", lambda s, t: forward(model, s, t)[1].logits.mean(), head_of(model).parameters()),
            Phase("overflow", lambda s, t: Steep.apply(forward(model, s, t)[1].features).sum(), below_head(model)),
        ]


class Steep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


def test_a_step_counts_if_any_phase_moved():
    model, objective = classifier(), LastOverflows()
    backbone, head = model.backbone.weight.detach().clone(), model.head.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = gradient_step(model, objective, optimizer, scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    step(*batches())
    assert torch.equal(model.backbone.weight, backbone)
    assert not torch.equal(model.head.weight, head)
    assert objective.weight.step == 1


@pytest.mark.parametrize("forward", [separate_forward, joint_forward])
def test_outputs_know_the_head(forward):
    model = classifier()
    for outputs in (*forward(model, *batches()), outputs_of(nn.Module.__new__(Wrapped).over(model), batches()[0])):
        torch.testing.assert_close(outputs.head(outputs.features), outputs.logits)
    assert outputs.cpu().head is None
    assert outputs.detach().head is model.head


class Wrapped(nn.Module):
    """What DistributedDataParallel looks like from outside."""

    def over(self, module):
        nn.Module.__init__(self)
        self.module = module
        return self

    def forward(self, inputs):
        return self.module(inputs)


def test_a_model_without_head_has_none_to_know():
    class Plain(nn.Module):
        def forward(self, x):
            return x, x

    assert outputs_of(Plain(), Batch(torch.zeros(2, 3))).head is None
    with pytest.raises(TypeError, match="model must have a module head from features to logits, got Plain without"):
        head_of(Plain())


def test_errors_name_what_is_wrong():
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = Outputs(torch.zeros(2, 5), torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"Alternate must be trained by gradient_step\(model, objective, optimizer\)"):
        Alternate()(rows, rows)
    with pytest.raises(ValueError, match="accumulate must be 1 for an objective with phases, got 2"):
        gradient_step(model, Alternate(), optimizer, accumulate=2)
    with pytest.raises(TypeError, match=r"PhasedObjective must override phases\(model, forward\)"):
        gradient_step(model, PhasedObjective(), optimizer)(*batches())
    with pytest.raises(TypeError, match=r"part 'head' must be a torch.nn.Module, got int"):
        PhasedObjective(head=3)
    with pytest.raises(ValueError, match=r"got one without parts.second.weight"):
        gradient_step(model, Alternate(second=nn.Linear(2, 2)), optimizer)
    with pytest.raises(FloatingPointError, match="the loss must be finite, got down = nan"):
        gradient_step(model, Alternate(), optimizer)(batches()[0], Batch(torch.full((2, 4), float("nan"))))
    model.backbone.requires_grad_(False)
    with pytest.raises(ValueError, match="phase 'up' must move a trainable parameter, got none; unfreeze"):
        gradient_step(model, Alternate(), optimizer)(*batches())
