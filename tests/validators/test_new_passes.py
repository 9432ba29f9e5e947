"""Scores that train or predict anew: circular validation and MixVal."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from dalib.data import TensorInputs, arrays
from dalib.evaluation import Evaluation
from dalib.outputs import Outputs
from dalib.validators import circular_score, mixval_score
from dalib.validators.mixval import _between, _within
from tests.validators.evaluations import blobs, certain, evaluation


def test_circular_validation_finds_right_exchanged_and_random_predictions():
    found = blobs(rows=90)
    right = found.target.logits.argmax(dim=1)
    source = (found.source.features, found.source.logits, found.source.labels)

    def score(predicted, **options):
        return circular_score(evaluation(certain(predicted, 3), found.target.features, source=source), **options)

    assert score(right) == pytest.approx(1.0)
    assert score((right + 1) % 3) == 0.0
    assert score(torch.where(right == 2, 1, right)) == pytest.approx(2 / 3, abs=0.02)
    assert score(right, classifier=KNeighborsClassifier(1)) == pytest.approx(1.0)
    assert score(torch.full((90,), 1)) == pytest.approx(1 / 3)  # one class: its share among the source rows


def test_circular_validation_is_judged_on_held_out_rows():
    found = blobs()
    held_out = found.source_held_out
    renamed = evaluation(
        found.target.logits,
        found.target.features,
        source=(found.source.features, found.source.logits, found.source.labels),
        held_out=(held_out.features, held_out.logits, (held_out.labels + 1) % 3),
    )
    assert circular_score(found) > 0.95
    assert circular_score(renamed) < 0.05


def linear(inputs):
    x = inputs.load(np.arange(len(inputs)))
    return Outputs(x, torch.cat([-x, x], dim=1))


def mixed(rows, **options):
    inputs = TensorInputs(torch.tensor(rows)[:, None])
    outputs = linear(inputs)
    return Evaluation(
        source=Outputs(outputs.features, outputs.logits, labels=torch.zeros(len(rows), dtype=int)),
        target=outputs,
        predict=linear,
        target_inputs=inputs,
        **options,
    )


def test_mixval_by_hand():
    # classes 0: -1, -9 and 1: 1, 3. Within: always right. Between: .55 of the first and .45 of the other,
    # in the order -1, -9, 1, 3 shifted by two: (-1, 1) and (1, -1) right, (-9, 3) right, (3, -9) wrong
    found = mixed([-1.0, 1.0, -9.0, 3.0])
    assert mixval_score(found, pairs="within") == 1.0
    assert mixval_score(found, pairs="between") == 0.75
    assert mixval_score(found) == 0.875
    assert mixval_score(found, share=0.9, pairs="between") == 1.0


def test_mixval_does_not_reward_collapse():
    found = mixed([1.0, 2.0, 3.0])
    assert mixval_score(found) == 0.5
    assert mixval_score(found, pairs="between") == 0.0
    one = mixed([1.0])
    assert mixval_score(one) == 0.0


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_pairs_are_of_one_class_or_of_two_and_use_every_row_they_can(labels):
    predicted = torch.tensor(labels)
    counts = torch.bincount(predicted)
    for (first, second), same in ((_within(predicted), True), (_between(predicted), False)):
        assert ((predicted[first] == predicted[second]) == same).all()
        assert (first != second).all()
        assert len(first.unique()) == len(first)
    assert len(_within(predicted)[0]) == sum(n for n in counts.tolist() if n > 1)
    if 2 * int(counts.max()) <= len(labels):
        assert len(_between(predicted)[0]) == len(labels)


def test_mixval_mixes_what_the_transform_made():
    class Images:
        """Inputs that are transformed when they are loaded."""

        def __init__(self, rows, transform=None):
            self.rows, self.transform = rows, transform

        def __len__(self):
            return len(self.rows)

        def with_transform(self, transform):
            return Images(self.rows, transform)

        def load(self, index, *, training=False, generator=None):
            assert not training
            return self.transform(self.rows[torch.as_tensor(index)])

        def fingerprint(self):
            return "images"

    def predict(inputs):
        return linear(inputs.with_transform(torch.neg))

    rows = torch.tensor([[-1.0], [1.0], [-9.0], [3.0]])
    outputs = predict(Images(rows))
    labels = torch.zeros(4, dtype=int)
    found = Evaluation(
        source=Outputs(outputs.features, outputs.logits, labels=labels),
        target=outputs,
        predict=predict,
        target_inputs=Images(rows),
    )
    assert mixval_score(found) == 0.875  # as above, mirrored


def test_mixval_says_what_it_lacks():
    found = mixed([-1.0, 1.0])
    without = Evaluation(source=found.source, target=found.target, predict=linear)
    with pytest.raises(ValueError, match="evaluation must have target_inputs, got None"):
        mixval_score(without)
    with pytest.raises(ValueError, match="evaluation must have predict, got None"):
        mixval_score(Evaluation(source=found.source, target=found.target))
    with pytest.raises(ValueError, match=r"share must lie between 0\.5 and 1, got 0\.5"):
        mixval_score(found, share=0.5)
    with pytest.raises(ValueError, match="pairs must be 'both', 'within' or 'between', got 'all'"):
        mixval_score(found, pairs="all")
    with pytest.raises(TypeError, match="share must be a number, got str"):
        mixval_score(found, share="0.6")
    other = dataclasses.replace(found, target_inputs=TensorInputs(torch.zeros(3, 1)))
    with pytest.raises(ValueError, match="target_inputs must be the 2 rows of target, got 3"):
        mixval_score(other)


def test_mixval_refuses_inputs_that_are_no_numbers():
    class Words:
        def __len__(self):
            return 2

        def load(self, index, *, training=False):
            return torch.zeros(len(index), 3, dtype=torch.int64)

    found = mixed([1.0, 2.0])
    words = Evaluation(source=found.source, target=found.target, predict=linear, target_inputs=Words())
    with pytest.raises(TypeError, match="target_inputs must load floating-point tensors"):
        mixval_score(words)


def test_the_inputs_of_an_evaluation_have_no_labels():
    domain = arrays({"a": (np.eye(2), [0, 1]), "b": (np.eye(2), [0, 1])}).domains["a"]
    found = mixed([-1.0, 1.0])
    with pytest.raises(ValueError, match="target_inputs must not carry labels, got some"):
        Evaluation(source=found.source, target=found.target, predict=linear, target_inputs=domain)
