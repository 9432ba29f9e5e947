"""DANN + MMD + importance weights on a transformers backbone: fifteen lines."""

import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import ResNetConfig, ResNetModel

import dalib
from dalib import (
    Align,
    DomainAdversarialLoss,
    DomainDiscriminator,
    MMDLoss,
    Objective,
    sigmoid_ramp,
    source_cross_entropy,
)
from dalib.weights import DomainClassifierWeights

torch.manual_seed(0)
source, labels, target = torch.randn(96, 3, 32, 32), torch.randint(5, (96,)), torch.randn(64, 3, 32, 32) * 0.5
backbone = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"))
STEPS = 10

# ----- the fifteen lines
weights = DomainClassifierWeights().fit(source.mean(dim=(2, 3)).numpy(), target.mean(dim=(2, 3)).numpy()).weights_
model = dalib.FeatureClassifier(backbone, classes=5, bottleneck=32, example=source[:2])
adversary = DomainAdversarialLoss(DomainDiscriminator(model.width, hidden=64), strength=sigmoid_ramp(STEPS))
objective = Objective(classification=source_cross_entropy, dann=Align(adversary), mmd=Align(MMDLoss(), weight=0.5))
groups = [*model.parameter_groups(0.01), {"params": objective.parameters()}]
optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
weighted = dalib.with_weights(TensorDataset(source, labels), weights)
pairs = dalib.pair_batches(
    DataLoader(weighted, batch_size=16, shuffle=True, drop_last=True),
    DataLoader(TensorDataset(target), batch_size=16, shuffle=True, drop_last=True),
)
step = dalib.gradient_step(model, objective, optimizer, forward=dalib.separate_forward, clip_norm=10.0)
losses = dalib.train(step, pairs, steps=STEPS)
# -----
