import numpy as np
import pytest
import torch
from torch import nn

from dalib import DomainAdversarialLoss, DomainDiscriminator


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_the_default_is_the_networks_of_the_literature():
    assert kinds(DomainDiscriminator(3, hidden=4)) == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]


def test_options():
    plain = DomainDiscriminator(3, hidden=4, batch_norm=False, dropout=np.float32(0.5))
    assert kinds(plain) == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert plain(torch.zeros(1, 3)).shape == (1, 1)


def test_spectral_norm_bounds_the_slope():
    torch.manual_seed(1)
    discriminator = DomainDiscriminator(3, hidden=8, batch_norm=False, spectral_norm=True)
    with torch.no_grad():
        for layer in discriminator:
            if isinstance(layer, nn.Linear):
                layer.parametrizations.weight.original.mul_(50)
    for _ in range(50):
        discriminator(torch.zeros(1, 3))  # each training forward refines the singular vectors
    rows = torch.randn(200, 3)
    slopes = (discriminator(rows[:100]) - discriminator(rows[100:])).abs()[:, 0] / (rows[:100] - rows[100:]).norm(dim=1)
    assert slopes.max() <= 1.001
    loss = DomainAdversarialLoss(discriminator)(rows[:100], rows[100:])
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in discriminator.parameters())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"hidden": 0}, ValueError, "hidden must be at least 1"),
        ({"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\), got 1"),
        ({"dropout": "half"}, TypeError, "dropout must be a number, got str"),
        ({"batch_norm": 3}, TypeError, "batch_norm must be True or False, got 3"),
        ({"spectral_norm": None}, TypeError, "spectral_norm must be True or False, got None"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        DomainDiscriminator(3, **options)
