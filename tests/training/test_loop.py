import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from dalib import Batch, Losses, pair_batches, train
from dalib.training import as_batch


def test_loaders_of_unequal_length_go_on_without_end_and_target_labels_are_dropped():
    source = DataLoader(TensorDataset(torch.arange(4.0), torch.arange(4)), batch_size=2)
    target = DataLoader(TensorDataset(torch.arange(3.0), torch.arange(3)), batch_size=1)
    pairs = pair_batches(source, target)
    seen = [next(pairs) for _ in range(5)]
    assert [first.inputs.tolist() for first, _ in seen] == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]
    assert [second.inputs.tolist() for _, second in seen] == [[0], [1], [2], [0], [1]]
    assert all(first.labels is not None and second.labels is None for first, second in seen)


def test_what_a_loader_may_yield():
    x, y, w = torch.zeros(2, 3), torch.tensor([0, 1]), torch.ones(2)
    assert as_batch(x).labels is None
    assert as_batch([x, y]).labels is y
    assert as_batch((x, y, w)).weights is w
    assert as_batch({"inputs": x, "labels": y}).inputs is x
    text = as_batch({"input_ids": x, "attention_mask": w, "labels": y, "weights": w})
    assert text.inputs.keys() == {"input_ids", "attention_mask"}
    assert text.weights is w
    with pytest.raises(TypeError, match=r"a loader must yield Batch, inputs, .* got tuple of length 4"):
        as_batch((x, y, w, w))


def test_a_generator_that_is_used_up_is_named():
    pairs = pair_batches((batch for batch in [torch.zeros(1)]), [torch.zeros(1)])
    next(pairs)
    with pytest.raises(ValueError, match="source must yield at least one batch each time it is iterated"):
        next(pairs)


def test_train_averages_and_goes_on_with_the_same_iterator():
    def step(source, target):
        return Losses(source.inputs.mean(), {"mean": source.inputs.mean()})

    pairs = ((Batch(torch.full((1,), float(i))), Batch(torch.zeros(1))) for i in range(6))
    assert train(step, pairs, steps=4).total == pytest.approx(1.5)
    assert train(step, pairs, steps=2).terms["mean"] == pytest.approx(4.5)
    with pytest.raises(ValueError, match="pairs must last for 1 steps, got 0"):
        train(step, pairs, steps=1)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        train(step, pairs, steps=0)
