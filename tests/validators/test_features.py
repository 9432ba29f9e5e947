"""Scores of the target features: against scikit-learn, by hand, and where there is nothing to see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.metrics import silhouette_score as sklearn_silhouette

from dalib.validators import (
    class_ami_score,
    nearest_source_score,
    proxy_a_distance,
    rankme_score,
    silhouette_score,
)
from dalib.validators._clusters import clusters
from tests.validators.evaluations import blobs, certain, evaluation, numbers


@st.composite
def grouped(draw):
    """Features and predicted classes of a few rows, at least two classes and one with two rows."""
    rows = draw(st.integers(3, 9))
    labels = draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    row = st.lists(numbers, min_size=2, max_size=2)
    features = torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=torch.float64)
    return features, labels


@given(grouped())
def test_silhouette_is_that_of_scikit_learn(drawn):
    features, labels = drawn
    score = silhouette_score(evaluation(certain(labels, 3), features))
    if len(set(labels)) == 1:
        assert score == -math.inf
    elif len(set(labels)) < len(labels):
        expected = sklearn_silhouette(features.numpy(), labels)
        assert score == pytest.approx(expected, abs=1e-5)
        assert -1 <= score <= 1
    else:
        assert score == 0.0


def test_silhouette_keeps_its_digits_far_from_zero():
    rows = torch.randn(60, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = [i % 3 for i in range(60)]
    far = (rows + 1e6) - 1e6  # what is left of the rows after the way there
    expected = sklearn_silhouette(far.numpy(), labels)
    assert silhouette_score(evaluation(certain(labels, 3), far + 1e6)) == pytest.approx(expected, abs=1e-12)


def test_silhouette_of_equal_rows_is_zero():
    assert silhouette_score(evaluation(certain([0, 1, 0, 1], 2), torch.ones(4, 3))) == 0.0


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 99), st.sampled_from([1e-200, 1.0, 1e150]))
def test_rankme_is_its_definition(rows, width, seed, scale):
    features = scale * torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sizes = np.linalg.svd(features.numpy(), compute_uv=False)
    shares = sizes / sizes.sum()
    expected = math.exp(-sum(p * math.log(p) for p in shares if p > 0))
    score = rankme_score(evaluation(torch.zeros(rows, 2), features))
    assert score == pytest.approx(expected, rel=1e-6)
    assert 1 - 1e-9 <= score <= min(rows, width) + 1e-9


def test_rankme_by_hand():
    found = [
        rankme_score(evaluation(torch.zeros(6, 2), rows))
        for rows in (torch.eye(6), torch.arange(6.0)[:, None] * torch.ones(1, 5), torch.zeros(6, 4))
    ]
    assert found == [pytest.approx(6), pytest.approx(1, abs=1e-5), 0.0]
    assert rankme_score(evaluation(torch.zeros(6, 2), 1e-20 * torch.eye(6).double())) == pytest.approx(6)


def test_class_ami_finds_that_predictions_are_the_clusters_and_that_they_are_not():
    found = blobs(rows=90)
    labels = found.target.logits.argmax(dim=1)
    assert class_ami_score(found) == pytest.approx(1.0)
    random = torch.randint(3, (90,), generator=torch.Generator().manual_seed(3))
    score = class_ami_score(evaluation(certain(random, 3), found.target.features))
    assert score == pytest.approx(adjusted_mutual_info_score(random.numpy(), labels.numpy()), abs=1e-9)
    assert abs(score) < 0.05
    merged = class_ami_score(evaluation(certain(labels.clamp_max(1), 3), found.target.features))
    assert score < merged < 1


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_in_the_cluster_whose_mean_is_nearest(seed):
    rows = torch.rand(80, 2, generator=torch.Generator().manual_seed(seed))  # no clusters to start in by luck
    found = clusters(rows, 4)
    means = torch.stack([rows[found == cluster].mean(dim=0) for cluster in range(4)])
    assert torch.equal(torch.cdist(rows, means).argmin(dim=1), found)
    assert len(clusters(torch.ones(5, 2), 3).unique()) == 1


def test_class_ami_does_not_reward_collapse():
    features = blobs().target.features
    assert class_ami_score(evaluation(certain([1] * 60, 3), features)) == 0.0
    for features in (torch.zeros(60, 4), torch.ones(60, 4)):
        assert class_ami_score(evaluation(certain([1] * 60, 3), features)) == 0.0
        assert class_ami_score(evaluation(certain([0, 1] * 30, 3), features)) == 0.0


def test_class_ami_does_not_see_the_length_of_a_row():
    found = blobs(shift=0.0)
    longer = found.target.features * torch.linspace(1, 9, 60)[:, None]
    assert class_ami_score(evaluation(found.target.logits, longer)) == pytest.approx(1.0)


def test_nearest_source_counts_agreement_and_shares_ties():
    source = (torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    features = torch.tensor([[5.0, 0.1], [0.1, 0.2], [0.3, 0.1]])
    score = nearest_source_score(evaluation(certain([0, 2, 2], 3), features, source=source))
    assert score == pytest.approx((1 / 2 + 1 + 0) / 3)
    nothing = evaluation(certain([0, 2, 2], 3), torch.zeros(3, 2), source=source)
    assert nearest_source_score(nothing) == pytest.approx(1 / 3)


@given(st.integers(0, 999))
def test_nearest_source_is_its_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (6, 5))
    labels, predicted = (torch.randint(3, (n,), generator=generator).tolist() for n in (6, 5))
    right = 0
    for row, guess in zip(target.tolist(), predicted, strict=True):
        cosines = [sum(a * b for a, b in zip(row, s, strict=True)) / math.hypot(*s) for s in source.tolist()]
        right += labels[cosines.index(max(cosines))] == guess
    found = evaluation(certain(predicted, 3), target, source=(source, torch.zeros(6, 3).double(), torch.tensor(labels)))
    assert nearest_source_score(found) == pytest.approx(right / 5)


def test_domains_far_apart_have_proxy_distance_two_and_equal_ones_zero():
    same, far = blobs(shift=0.0), blobs(shift=9.0)
    assert proxy_a_distance(far) == 2.0
    assert abs(proxy_a_distance(same)) < 0.6
    rows = same.source
    equal = evaluation(rows.logits, rows.features, source=(rows.features, rows.logits, rows.labels))
    assert proxy_a_distance(equal) == pytest.approx(0.0, abs=1e-12)


def domains_apart(source, target):
    rows = len(source), len(target)
    parts = (source, torch.zeros(rows[0], 2), torch.zeros(rows[0], dtype=int))
    return proxy_a_distance(evaluation(torch.zeros(rows[1], 2), target, source=parts))


def test_proxy_distance_is_that_of_a_discriminant_trained_without_the_fold():
    generator = torch.Generator().manual_seed(2)
    correlated = torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.3, 0.8], [0.0, 0.0, 0.2]], dtype=torch.float64)
    source, target = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64) @ correlated + by for n, by in ((23, 0), (12, 0.4))
    )
    folds = []
    for rows in (source, target):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        folds.append(np.array_split(rows.numpy()[order.numpy()], 5))
    errors = [0.0, 0.0]
    for fold in range(5):
        kept = [np.concatenate(parts[:fold] + parts[fold + 1 :]) for parts in folds]
        within = sum(np.cov(rows.T, ddof=0) for rows in kept) / 2
        gap = kept[0].mean(0) - kept[1].mean(0)
        normal = np.linalg.solve(within + 1e-3 * np.diag(np.diag(within) + gap**2), gap)
        offset = normal @ (kept[0].mean(0) + kept[1].mean(0)) / 2
        errors[0] += sum(r @ normal < offset for r in folds[0][fold]) / len(source)
        errors[1] += sum(r @ normal > offset for r in folds[1][fold]) / len(target)
    assert domains_apart(source, target) == pytest.approx(2 * (1 - sum(errors)), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_proxy_distance_of_equal_domains_is_near_zero_in_any_order_of_the_classes(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(300) % 5  # every fifth row is of one class
    centres = 3 * torch.randn(5, 10, generator=generator)
    source, target = (centres[labels] + torch.randn(300, 10, generator=generator) for _ in range(2))
    mixed = target[torch.randperm(300, generator=generator)]
    by_class = labels.sort(stable=True).indices
    for rows in (source, source[by_class]):
        assert abs(domains_apart(rows, mixed)) < 0.3
    assert abs(domains_apart(source, target)) < 0.3


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-200, 1e120])
def test_proxy_distance_does_not_see_the_scale_of_a_feature(scale):
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randn(100, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    scales = torch.tensor([scale, 1.0], dtype=torch.float64)
    assert domains_apart(source * scales, target * scales) == domains_apart(source, target)
    target[:, 1] += 10
    assert domains_apart(source * scales, target * scales) == 2.0


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, -1e12])
def test_proxy_distance_does_not_see_a_constant_feature(constant):
    generator = torch.Generator().manual_seed(1)
    source, target = (1e-5 * torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (57, 31))
    source[:, 0] = target[:, 0] = constant
    assert domains_apart(source, target) == domains_apart(source[:, 1:], target[:, 1:])
    assert domains_apart(source[:, :1], target[:, :1]) == 0.0
    target[:, 1] += 1e-3
    assert domains_apart(source, target) == 2.0


def test_features_that_are_constant_in_each_domain_tell_them_apart():
    rows = torch.zeros(9, 2)
    assert domains_apart(rows, rows + torch.tensor([0.0, 1e-3])) == 2.0


def test_unequal_numbers_of_rows_do_not_move_the_proxy_distance_from_chance():
    generator = torch.Generator().manual_seed(4)
    source, target = torch.randn(500, 2, generator=generator), torch.randn(25, 2, generator=generator)
    found = evaluation(torch.zeros(25, 2), target, source=(source, torch.zeros(500, 2), torch.zeros(500, dtype=int)))
    assert (
        abs(proxy_a_distance(found)) < 0.6
    )  # a classifier that calls everything source would err on 5 % of the rows: 1.8


@pytest.mark.parametrize("rows", [torch.zeros(7, 3), torch.ones(7, 3), 1e6 * torch.ones(7, 3)])
def test_equal_rows_have_no_proxy_distance(rows):
    found = evaluation(torch.zeros(7, 2), rows, source=(rows, torch.zeros(7, 2), torch.zeros(7, dtype=int)))
    assert proxy_a_distance(found) == 0.0
    one = evaluation(torch.zeros(1, 2), rows[:1], source=(rows, torch.zeros(7, 2), torch.zeros(7, dtype=int)))
    assert proxy_a_distance(one) == 0.0
