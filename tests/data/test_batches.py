import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.data import TensorInputs, row_batches


class Noisy:
    """Rows that are not in memory: training adds noise from the generator, after a wait that varies."""

    def __init__(self, rows, wait=0.0):
        self.rows, self.wait = rows, wait

    def __len__(self):
        return self.rows

    def load(self, index, *, training=False, generator=None):
        time.sleep(self.wait * (int(index[0]) % 3))
        noise = torch.rand(len(index), 1, generator=generator) if training else 0.0
        return torch.as_tensor(index, dtype=torch.float32)[:, None] + noise

    def fingerprint(self):
        return "noisy"


def numbered(rows):
    return TensorInputs(torch.arange(float(rows))[:, None])


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
def test_an_epoch_holds_every_row_at_most_once_in_full_batches(rows, size, seed):
    batches = row_batches(numbered(rows), batch_size=size, seed=seed)
    seen = [batch.index.tolist() for batch in batches]
    assert len(seen) == len(batches) == max(1, rows // size)
    assert all(len(index) == min(size, rows) for index in seen)
    flat = list(itertools.chain(*seen))
    assert len(set(flat)) == len(flat)
    assert set(flat) <= set(range(rows))


def test_inputs_labels_weights_and_index_belong_together():
    labels, weights = np.arange(10) * 3, np.linspace(1, 2, 10)
    for batch in row_batches(numbered(10), labels=labels, weights=weights, batch_size=4):
        assert batch.inputs[:, 0].tolist() == batch.index.tolist()
        assert batch.labels.tolist() == labels[batch.index].tolist()
        assert torch.allclose(batch.weights, torch.tensor(weights, dtype=torch.float32)[batch.index])
    assert next(iter(row_batches(numbered(10)))).labels is None


def test_labels_and_weights_are_copies_in_any_order_of_bytes():
    labels, weights = np.arange(4, dtype=">i4"), np.arange(1, 5, dtype=np.float32)
    batches = row_batches(numbered(4), labels=labels, weights=weights, batch_size=4, training=False)
    labels[:], weights[:] = 0, 9
    batch = next(iter(batches))
    assert batch.labels.tolist() == [0, 1, 2, 3]
    assert batch.weights.tolist() == [1, 2, 3, 4]
    swapped = np.array([1, 2], ">f8")
    assert next(iter(row_batches(numbered(2), weights=swapped, training=False))).weights.tolist() == [1, 2]


def test_without_training_all_rows_come_in_order():
    batches = row_batches(numbered(5), batch_size=2, training=False)
    assert [batch.index.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert len(batches) == 3


def test_the_order_is_a_function_of_seed_and_epoch():
    def epochs(seed):
        batches = row_batches(numbered(50), batch_size=50, seed=seed)
        return [next(iter(batches)).index.tolist() for _ in range(3)]

    assert epochs(0) == epochs(0)
    assert len({tuple(order) for seed in (0, 1) for order in epochs(seed)}) == 6


def test_rows_loaded_by_threads_do_not_depend_on_their_timing():
    calm = [batch.inputs for batch in row_batches(Noisy(40), batch_size=4)]
    hasty = [batch.inputs for batch in row_batches(Noisy(40, wait=0.003), batch_size=4)]
    assert all(map(torch.equal, calm, hasty))
    noise = torch.cat(calm) % 1
    assert len(noise.unique()) == 40  # every batch has draws of its own


@pytest.mark.parametrize("inputs", [numbered(20), Noisy(20)])
@pytest.mark.parametrize("done", [0, 3, 5, 7, 10])
def test_a_state_goes_on_exactly_where_it_was_saved(inputs, done):
    def endless(batches):
        while True:
            yield from batches

    whole = [batch.inputs for batch in itertools.islice(endless(row_batches(inputs, batch_size=4)), 14)]
    first = row_batches(inputs, batch_size=4)
    _ = list(itertools.islice(endless(first), done))
    second = row_batches(inputs, batch_size=4)
    second.load_state_dict(first.state_dict())
    rest = [batch.inputs for batch in itertools.islice(endless(second), 14 - done)]
    assert all(map(torch.equal, whole[done:], rest))


def test_an_epoch_left_early_is_over():
    batches = row_batches(numbered(20), batch_size=4)
    left = next(iter(batches)).index
    assert batches.state_dict() == {"epoch": 0, "position": 1}
    assert len([*batches]) == 5
    assert batches.state_dict() == {"epoch": 2, "position": 0}
    assert not torch.equal(left, next(iter(batches)).index)


def test_an_error_in_a_thread_reaches_the_caller():
    class Broken(Noisy):
        def load(self, index, **options):
            raise ValueError("row 3 is broken")

    with pytest.raises(ValueError, match="row 3 is broken"):
        list(row_batches(Broken(9), batch_size=2))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inputs": torch.zeros(3, 2)}, TypeError, "inputs must have the methods"),
        ({"inputs": Noisy(0)}, ValueError, "at least one row"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"labels": [0, 1]}, ValueError, r"labels must have shape \(4,\)"),
        ({"labels": [0.0] * 4}, TypeError, "labels must be integers"),
        ({"labels": list("abcd")}, TypeError, "labels must be integers, got <U1"),
        ({"weights": list("abcd")}, TypeError, "weights must be numbers, got dtype <U1"),
        ({"weights": [1.0, -1, 1, 1]}, ValueError, "weights must not be negative"),
        ({"weights": [1.0]}, ValueError, r"weights must have shape \(4,\)"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        row_batches(**({"inputs": numbered(4)} | options))


def test_a_state_of_other_batches_is_refused():
    batches = row_batches(numbered(4), batch_size=2)
    with pytest.raises(ValueError, match="below the 2 batches of an epoch, got 2"):
        batches.load_state_dict({"epoch": 0, "position": 2})
    with pytest.raises(ValueError, match="keys epoch and position"):
        batches.load_state_dict({"epoch": 0})


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("inputs", [numbered(20), Noisy(20)])
def test_batches_on_cuda_are_those_of_the_cpu(inputs):
    pairs = zip(row_batches(inputs, batch_size=8, device="cuda"), row_batches(inputs, batch_size=8), strict=True)
    for there, here in pairs:
        assert there.inputs.is_cuda
        assert there.index.is_cuda
        assert torch.equal(there.inputs.cpu(), here.inputs)
