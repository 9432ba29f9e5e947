"""Two classes whose target rows are moved across the source's boundary: source-only fails, alignment repairs."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dalib import FeatureClassifier, gradient_step, pair_batches, separate_forward, train

STEPS = 300


def rows(seed, count=240):
    """Two classes in the first two of six columns; the other four are noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    centres = torch.stack([4.0 * labels - 2, 3.0 * labels - 1.5], dim=1)
    signal = centres + 0.5 * torch.randn(count, 2, generator=generator)
    return torch.cat([signal, torch.randn(count, 4, generator=generator)], dim=1), labels


def problem(seed):
    """Source inputs and labels, target inputs and labels."""
    inputs, labels = rows(seed + 100)
    return *rows(seed), inputs + torch.tensor([2.8, 0, 1, -1, 0, 0]), labels


def target_accuracy(recipe, seed, **options):
    """Train a small network without batch norm by ``recipe``; accuracy on the target rows after the last step."""
    torch.manual_seed(seed)
    source, source_labels, target, target_labels = problem(seed)
    backbone = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16))
    model = FeatureClassifier(backbone, 2, bottleneck=None, width=16)
    objective = recipe(16, 2, STEPS, **options)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.02, momentum=0.9, nesterov=True)
    before = {name: p.clone() for name, p in [*model.named_parameters(), *objective.named_parameters()]}
    generator = torch.Generator().manual_seed(seed)
    pairs = pair_batches(
        *(
            DataLoader(TensorDataset(*tensors), batch_size=32, shuffle=True, drop_last=True, generator=generator)
            for tensors in ((source, source_labels), (target,))
        )
    )
    train(gradient_step(model, objective, optimizer, forward=separate_forward), pairs, steps=STEPS)
    for name, p in [*model.named_parameters(), *objective.named_parameters()]:
        before_norm = name.endswith(("discriminator.0.bias", "discriminator.3.bias"))  # batch norm takes them out again
        assert before_norm or not torch.equal(p, before[name]), f"{name} did not move"
    with torch.no_grad():
        return (model.eval()(target)[1].argmax(dim=1) == target_labels).float().mean().item()
