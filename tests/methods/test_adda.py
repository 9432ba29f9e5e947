import copy

import pytest
import torch
from torch import nn

from dalib import Batch, FeatureClassifier, domain_adversarial_loss, gradient_step, separate_forward
from dalib.methods import adda


def parts(pretraining=1):
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=5, width=6)
    objective = adda(5, 3, 10, pretraining=pretraining, hidden=8)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    return model, objective, optimizer


def batches():
    return Batch(torch.randn(7, 4), torch.arange(7) % 3), Batch(torch.randn(5, 4))


def test_the_first_stage_learns_the_source_alone():
    model, objective, optimizer = parts(pretraining=2)
    discriminator = copy.deepcopy(objective.parts["discriminator"].state_dict())
    step = gradient_step(model, objective, optimizer)
    for _ in range(2):
        losses = step(batches()[0], Batch(None))  # the target is not looked at
        assert list(losses.terms) == ["classify"]
    for name, value in objective.parts["discriminator"].state_dict().items():
        assert torch.equal(value, discriminator[name])


def test_the_second_stage_as_published():
    model, objective, optimizer = parts()
    step = gradient_step(model, objective, optimizer)
    step(*batches())
    source_model, twin = copy.deepcopy(model).eval(), copy.deepcopy(model)
    discriminator = copy.deepcopy(objective.parts["discriminator"])
    source, target = batches()
    losses = step(source, target)

    twin(target.inputs)  # the discriminator's forward, for the running statistics
    features = twin(target.inputs)[0].detach()
    logits = discriminator(torch.cat([source_model(source.inputs)[0].detach(), features]))
    loss = domain_adversarial_loss(logits[:7], logits[7:])
    for p, gradient in zip(
        discriminator.parameters(), torch.autograd.grad(loss, [*discriminator.parameters()]), strict=True
    ):
        p.data -= 0.1 * gradient
    exchanged = nn.functional.softplus(-discriminator(twin(target.inputs)[0])).mean()  # -log D: called source
    encoder = [*twin.backbone.parameters(), *twin.bottleneck.parameters()]
    for p, gradient in zip(encoder, torch.autograd.grad(exchanged, encoder), strict=True):
        p.data -= 0.1 * gradient
    torch.testing.assert_close(losses.terms["discriminate"], loss.detach())
    torch.testing.assert_close(losses.terms["deceive"], exchanged.detach())
    for p, q in zip(
        [*model.parameters(), *objective.parameters()], [*twin.parameters(), *discriminator.parameters()], strict=True
    ):
        torch.testing.assert_close(p, q)


def test_source_encoder_and_classifier_stay_for_ever():
    model, objective, optimizer = parts()
    step = gradient_step(model, objective, optimizer)
    step(*batches())
    step(*batches())
    source_encoder, head = objective._source_model[0], copy.deepcopy(model.head.state_dict())
    before = copy.deepcopy(source_encoder.state_dict())
    encoder = model.backbone.weight.detach().clone()
    objective.train()
    for _ in range(3):
        step(*batches())
    for name, value in source_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name  # batch norm's statistics too
    assert all(torch.equal(value, head[name]) for name, value in model.head.state_dict().items())
    assert not torch.equal(model.backbone.weight, encoder)


def test_a_discriminator_cannot_tell_equal_encoders_of_equal_rows_apart():
    model, objective, optimizer = parts(pretraining=0)
    model.eval()
    source, _ = batches()
    discriminate = objective.phases(model, None)[0]
    discriminator = objective.parts["discriminator"]
    loss = discriminate.loss(source, source)
    gradients = torch.autograd.grad(loss, [*discriminator.parameters()])
    assert loss.item() >= torch.tensor(2.0).log().item() - 1e-6
    assert optimizer is not None
    assert all(torch.isfinite(g).all() for g in gradients)


def test_repairs_a_translation():
    """Each class of the target is moved by less than half the gap: the encoder learns to move it back."""
    torch.manual_seed(1)
    labels = torch.arange(400) % 2
    rows = torch.stack([4.0 * labels - 2, torch.zeros(400)], dim=1) + 0.3 * torch.randn(400, 2)
    moved = rows.roll(2, 0) + torch.tensor([2.2, 0.0])
    model = FeatureClassifier(nn.Linear(2, 2), 2, bottleneck=None, width=2)
    objective = adda(2, 2, 600, pretraining=100, hidden=32)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.02)
    step = gradient_step(model, objective, optimizer)
    accuracies = []
    for number in range(600):
        index, other = torch.randint(400, (64,)), torch.randint(400, (64,))
        step(Batch(rows[index], labels[index]), Batch(moved[other]))
        if number in (99, 599):
            with torch.no_grad():
                accuracies.append((model(moved)[1].argmax(1) == labels).float().mean().item())
    assert accuracies[0] < 0.8
    assert accuracies[1] > 0.9


def test_row_weights_of_either_domain_equal_repetition():
    model, objective, _ = parts(pretraining=0)
    model.double().eval(), objective.double()
    source, target = (batch._replace(inputs=batch.inputs.double()) for batch in batches())
    times = torch.tensor([1, 3, 1, 2, 1, 1, 4]), torch.tensor([2, 1, 1, 4, 1])
    discriminate, deceive = objective.phases(model, separate_forward)

    def weighted(batch, counts):
        return batch._replace(weights=counts.double())

    def repeated(batch, counts):
        labels = None if batch.labels is None else batch.labels.repeat_interleave(counts)
        return Batch(batch.inputs.repeat_interleave(counts, 0), labels)

    plain = discriminate.loss(source, target)
    for value, expected in (
        (discriminate.loss(weighted(source, times[0]), target), discriminate.loss(repeated(source, times[0]), target)),
        (discriminate.loss(source, weighted(target, times[1])), discriminate.loss(source, repeated(target, times[1]))),
    ):
        torch.testing.assert_close(value, expected)
        assert not torch.isclose(value, plain, rtol=1e-6)
    value = deceive.loss(source, weighted(target, times[1]))
    torch.testing.assert_close(value, deceive.loss(source, repeated(target, times[1])))
    assert not torch.isclose(value, deceive.loss(source, target), rtol=1e-6)


def test_the_source_encoder_is_kept_from_save_to_save_and_taken_over_by_a_used_objective():
    model, objective, optimizer = parts()
    step = gradient_step(model, objective, optimizer)
    for _ in range(3):
        step(*batches())
    state = copy.deepcopy(objective.state_dict())
    resumed = parts()[1]
    resumed.load_state_dict(state)  # saved again before a step has built the encoder
    saved = [x.get_extra_state()["source_model"] for x in (objective, resumed)]
    assert saved[0].keys() == saved[1].keys()
    assert all(torch.equal(saved[1][name], value) for name, value in saved[0].items())

    used = parts()
    step = gradient_step(*used)
    for _ in range(2):
        step(*batches())
    with torch.no_grad():  # what it has built is another encoder
        used[1]._source_model[0].backbone.weight.add_(1.0)
    used[1].load_state_dict(state)
    used[1].phases(used[0], separate_forward)
    for name, value in used[1]._source_model[0].state_dict().items():
        assert torch.equal(value, saved[0][name]), name


def test_half_of_the_steps_are_the_first_stage_unless_told_otherwise():
    assert adda(4, 3, 11).pretraining == 5
    with pytest.raises(ValueError, match="pretraining must be at least 0, got -1"):
        adda(4, 3, 11, pretraining=-1)
