"""float32 islands: what they promote, and whose autocast they leave."""

from typing import NamedTuple

import pytest
import torch

from dalib._precision import float32_island


@float32_island
def kinds(source, target, *, weights=None):
    parts = [*(source if isinstance(source, tuple | list) else (source,)), target]
    return torch.tensor([part.dtype.itemsize for part in parts] + ([] if weights is None else [weights.dtype.itemsize]))


def test_half_precision_is_promoted_within_tuples_lists_and_options_and_the_rest_is_left_as_it_is():
    half, single, double = (torch.zeros(2, dtype=dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64))
    assert kinds((half, half), half, weights=half).tolist() == [4, 4, 4, 4]
    assert kinds([half, half], half).tolist() == [4, 4, 4]
    assert kinds(single, single, weights=half).tolist() == [4, 4, 4]
    assert kinds(double, double).tolist() == [8, 8]


def test_two_dtypes_reach_the_function_which_refuses_them():
    half, single = torch.zeros(2, dtype=torch.float16), torch.zeros(2)
    assert kinds(half, single).tolist() == [2, 4]
    assert kinds(source=half, target=single).tolist() == [2, 4]


def test_two_dtypes_in_one_layer_reach_the_function_and_two_layers_may_differ():
    layers = float32_island(lambda source, target: torch.tensor([x.dtype.itemsize for x in (*source, *target)]))
    half, single = torch.zeros(2, dtype=torch.float16), torch.zeros(2)
    assert layers((half,), (single,)).tolist() == [2, 4]
    assert layers((half, single), (half, single)).tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("nested", [False, True])
def test_the_autocast_of_the_samples_own_device_is_left(nested, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: True)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: asked.append(device))
    sample = torch.zeros(2, device="meta")
    layers_or_rows = ((sample, sample), sample) if nested else (sample, sample)
    kinds(*layers_or_rows)
    assert asked == ["meta"]


@pytest.mark.parametrize("kind", [list, tuple])
def test_layers_are_promoted_and_leave_autocast_where_no_tensor_stands_outside_of_them(kind):
    squared = float32_island(lambda layers: layers[0] @ layers[0])
    layers = kind([torch.ones(2, 2, dtype=torch.bfloat16)])
    assert squared(layers).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert squared(layers).dtype == torch.float32


def test_half_precision_is_promoted_within_named_tuples():
    class Layers(NamedTuple):
        first: torch.Tensor
        second: torch.Tensor

    half = torch.zeros(2, dtype=torch.bfloat16)
    assert kinds(Layers(half, half), half).tolist() == [4, 4, 4]
