from collections import UserDict, namedtuple

import pytest
import torch

from dalib import Batch, Outputs


def test_probs_are_the_softmax_in_float32_at_least():
    rows = Outputs(torch.zeros(2, 3), torch.randn(2, 4).half())
    assert rows.probs.dtype == torch.float32
    torch.testing.assert_close(rows.probs.sum(dim=1), torch.ones(2))


def test_detach_and_cpu_keep_what_is_known_of_the_rows():
    labels, weights = torch.tensor([0, 1]), torch.tensor([1.0, 2.0])
    rows = Outputs(torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 4, requires_grad=True), labels, weights)
    for copied in (rows.detach(), rows.cpu()):
        assert not copied.features.requires_grad
        assert not copied.logits.requires_grad
        assert torch.equal(copied.labels, labels)
        assert torch.equal(copied.weights, weights)
        assert copied.index is None


def test_batch_moves_dictionaries_too():
    batch = Batch({"pixels": torch.zeros(2, 3)}, labels=torch.tensor([0, 1])).to("meta")
    assert batch.inputs["pixels"].device.type == batch.labels.device.type == "meta"
    assert batch.weights is None


def test_batch_moves_what_tokenizers_and_named_tuples_hold():
    encoding = UserDict(input_ids=torch.zeros(2, 3))  # what a tokenizer returns is one, and no dict
    assert Batch(encoding).to("meta").inputs["input_ids"].device.type == "meta"
    views = namedtuple("Views", "weak strong")(torch.zeros(2), torch.ones(2))
    moved = Batch(views).to("meta").inputs
    assert type(moved) is type(views)
    assert moved.weak.device.type == moved.strong.device.type == "meta"


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((torch.zeros(2), torch.zeros(2, 1)), ValueError, r"features must have shape \(rows, width\)"),
        ((torch.zeros(2, 3), torch.zeros(3, 4)), ValueError, "logits must have one row for each of the 2 rows"),
        ((torch.zeros(2, 3), torch.zeros(2, 4), torch.tensor([0])), ValueError, "labels must have one row"),
        ((torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.int64)), TypeError, "logits must have a floating-point"),
        (([[0.0]], torch.zeros(1, 4)), TypeError, "features must be a torch.Tensor, got list"),
    ],
)
def test_errors_name_the_part(parts, error, message):
    with pytest.raises(error, match=message):
        Outputs(*parts)
