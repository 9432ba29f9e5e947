"""One discrepancy loss in a loop of your own: two lines."""

import torch

import dalib

torch.manual_seed(0)
source, labels, target = torch.randn(200, 8), torch.randint(3, (200,)), torch.randn(150, 8) + 1
backbone, head = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU()), torch.nn.Linear(16, 3)
optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.1)
mmd = dalib.MMDLoss()  # the first line

for _ in range(100):
    source_features, target_features = backbone(source), backbone(target)
    loss = torch.nn.functional.cross_entropy(head(source_features), labels)
    loss = loss + 5 * mmd(source_features, target_features)  # the second line
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
