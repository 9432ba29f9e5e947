"""Statistics of records: closed forms, loops over every sign, and records with a known answer."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dalib.benchmark import groups
from dalib.benchmark.ranks import weighted_spearman
from dalib.benchmark.statistics import comparisons, ranking, signed_rank_p, validator_quality
from tests.benchmark.records import made_record


def last(method, pair, seed, accuracy, mode="joint"):
    return made_record(method, pair, seed, (accuracy,), (0.5,), mode)


def group_of(runs):
    (group,) = groups(runs)
    return group


def only(found, method, against):
    (chosen,) = [c for c in found if c.row[0] == method and c.against[0] == against]
    return chosen


# The signed-rank test


@pytest.mark.parametrize("count", range(1, 8))
def test_agreement_of_all_pairs_gives_the_smallest_p(count):
    assert signed_rank_p(range(1, count + 1)) == 2.0 ** (1 - count)
    assert signed_rank_p([-d for d in range(1, count + 1)]) == 2.0 ** (1 - count)


def test_six_pairs_of_which_the_smallest_disagrees():
    assert signed_rank_p([-1, 2, 3, 4, 5, 6]) == 4 / 64  # rank sums 0 and 1, on both sides


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_p_is_that_of_all_signs(differences):
    values = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(values)) if values else np.array([])
    observed = sum(rank for rank, d in zip(ranks, values, strict=True) if d > 0)
    sums = [float(np.dot(ranks, signs)) for signs in itertools.product((0, 1), repeat=len(values))]
    low, high = (np.mean([f(s) for s in sums]) for f in (lambda s: s <= observed, lambda s: s >= observed))
    assert signed_rank_p(differences) == pytest.approx(min(1.0, 2 * min(low, high)), abs=1e-12)


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=20, unique_by=lambda d: round(d, 6)), st.randoms())
def test_p_is_that_of_scipy_without_ties(sizes, random):
    differences = [size * random.choice((-1, 1)) for size in sizes]
    assert signed_rank_p(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, abs=1e-12)


def test_rounding_makes_no_difference_and_no_tie():
    assert signed_rank_p([0.1 + 0.2 - 0.3, 1.0]) == 1.0  # one difference is left
    assert signed_rank_p([0.1 + 0.2, -0.3]) == 1.0
    assert signed_rank_p([0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="differences must be finite, got"):
        signed_rank_p([math.nan])


# Comparisons


def six_pairs(gains, seeds=2):
    """source_only at 50, the control at 52, dann at 50 + gain; the second seed is a point better everywhere."""
    pairs = [f"P{number}" for number in range(len(gains))]
    runs = []
    for (pair, gain), seed in itertools.product(zip(pairs, gains, strict=True), range(seeds)):
        runs += [
            last("source_only", pair, seed, 0.5 + 0.01 * seed, "source"),
            last("control", pair, seed, 0.52 + 0.01 * seed),
        ]
        runs.append(last("dann", pair, seed, 0.5 + 0.01 * seed + gain / 100))
    return runs


def test_a_method_against_source_only_and_its_control():
    found = comparisons(group_of(six_pairs([1, 2, 3, 4, 5, 9])))
    against_source, against_control = only(found, "dann", "source_only"), only(found, "dann", "control")
    assert against_source.differences == pytest.approx([1, 2, 3, 4, 5, 9])
    assert against_source.mean == pytest.approx(4)
    spread = math.sqrt(8) * 2.5705818 / math.sqrt(6)  # squares 9+4+1+0+1+25 over 5; t of 5 degrees of freedom
    assert against_source.interval == pytest.approx((4 - spread, 4 + spread), abs=1e-6)
    assert (against_source.p, against_source.smallest_p) == (0.03125, 0.03125)
    assert (against_source.wins, against_source.losses, against_source.seeds) == (6, 0, 2)
    assert against_control.differences == pytest.approx([-1, 0, 1, 2, 3, 7])
    assert (against_control.wins, against_control.losses) == (4, 1)
    assert against_control.smallest_p == 2 / 2**5  # a difference of zero says nothing
    assert against_control.p == 4 / 32 + 2 / 32  # ranks 1.5 1.5 3 4 5: sums up to 1.5 are 0, 1.5, 1.5
    assert len(found) == 3  # and the control against source_only


def test_interval_is_that_of_scipy():
    comparison = only(comparisons(group_of(six_pairs([1, -2, 3, 0.5]))), "dann", "source_only")
    known = stats.ttest_1samp(comparison.differences, 0).confidence_interval(0.95)
    assert comparison.interval == pytest.approx((known.low, known.high))


def test_one_pair_and_one_seed():
    comparison = only(comparisons(group_of(six_pairs([3], seeds=1))), "dann", "source_only")
    assert comparison.mean == pytest.approx(3)
    assert (comparison.interval, comparison.p, comparison.smallest_p, comparison.seeds) == (None, 1.0, 1.0, 1)


def test_the_seeds_that_both_ran_are_compared():
    runs = [last("source_only", "A-W", seed, accuracy, "source") for seed, accuracy in ((0, 0.5), (1, 0.7))]
    runs += [last("dann", "A-W", 1, 0.8), last("dann", "A-W", 2, 0.1), last("dann", "W-A", 0, 0.9)]
    comparison = only(comparisons(group_of(runs)), "dann", "source_only")
    assert comparison.pairs == ("A-W",)  # source_only never ran on the other
    assert comparison.differences == pytest.approx([10])  # seed 1 alone
    assert comparison.seeds == 1


def test_a_control_of_the_other_mode_or_none_is_no_reference():
    runs = [last("dann", "A-W", 0, 0.5), last("control", "A-W", 0, 0.4, "separate")]
    assert comparisons(group_of(runs)) == []
    runs += [last("control", "A-W", 0, 0.45)]
    assert [(c.row, c.against, round(c.mean, 6)) for c in comparisons(group_of(runs))] == [
        (("dann", "joint"), ("control", "joint"), 5.0)
    ]


def test_no_seed_in_common_is_no_comparison():
    assert comparisons(group_of([last("dann", "A-W", 0, 0.5), last("source_only", "A-W", 1, 0.4, "source")])) == []


def test_methods_that_saw_target_labels_are_left_out():
    runs = [last("source_only", "A-W", 0, 0.5, "source"), last("target_supervised", "A-W", 0, 0.9, "source")]
    assert comparisons(group_of(runs)) == []


# Validators


def spearman_in_loops(scores, accuracies):
    """The definition, entry by entry."""
    count = len(scores)

    def dense(values):
        return [sorted(set(values)).index(v) + 1 for v in values]

    d, e = dense(scores), dense(accuracies)
    weights = [max(d[i] / max(d), e[i] / max(e)) ** 2 for i in range(count)]

    def ranks(values):
        found = []
        for i in range(count):
            below = sum(weights[j] for j in range(count) if values[j] < values[i])
            tied = [weights[j] for j in range(count) if values[j] == values[i]]
            found.append(below + (len(tied) + 1) / 2 * sum(tied) / len(tied))
        return found

    def mean(values):
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    r, t = ranks(scores), ranks(accuracies)
    r, t = [x - mean(r) for x in r], [x - mean(t) for x in t]
    both = sum(w * x * y for w, x, y in zip(weights, r, t, strict=True))
    first, second = (sum(w * x * x for w, x in zip(weights, v, strict=True)) for v in (r, t))
    return both / math.sqrt(first * second)


drawn_scores = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@given(drawn_scores)
def test_weighted_spearman_is_its_definition(entries):
    scores, accuracies = [float(s) for s, _ in entries], [float(a) for _, a in entries]
    if len(set(scores)) < 2 or len(set(accuracies)) < 2:
        assert weighted_spearman(scores, accuracies) is None
        return
    value = weighted_spearman(scores, accuracies)
    assert value == pytest.approx(spearman_in_loops(scores, accuracies), abs=1e-9)
    assert -1 <= value <= 1
    assert weighted_spearman([math.exp(s) for s in scores], accuracies) == pytest.approx(value, abs=1e-9)
    order = np.random.default_rng(0).permutation(len(scores))
    shuffled = weighted_spearman([scores[i] for i in order], [accuracies[i] for i in order])
    assert shuffled == pytest.approx(value, abs=1e-9)


def test_weighted_spearman_by_hand():
    # weights 1, 1: ranks 1 and 2 against 2 and 1
    assert weighted_spearman([1, 2], [60, 50]) == -1
    assert weighted_spearman([5, 6, 7, 8], [1, 2, 3, 4]) == 1
    # a mistake at the top costs more than one at the bottom; the plain coefficient is 0.8 for both
    top, bottom = weighted_spearman([1, 2, 4, 3], [1, 2, 3, 4]), weighted_spearman([2, 1, 3, 4], [1, 2, 3, 4])
    assert top < bottom
    assert top == pytest.approx(spearman_in_loops([1, 2, 4, 3], [1, 2, 3, 4]))


def test_scores_that_are_no_numbers_rank_below_every_number():
    for accuracies in ([10, 20, 30], [30, 20, 10]):
        rejected = weighted_spearman([None, 0.1, 0.5], accuracies)
        assert rejected == weighted_spearman([-9.0, 0.1, 0.5], accuracies)
        assert rejected != weighted_spearman([0.1, 0.1, 0.5], accuracies)
    assert weighted_spearman([None, 0.1, 0.1], [10, 20, 20]) == 1  # all that says something is the rejection
    assert weighted_spearman([None, None], [10, 20]) is None
    assert weighted_spearman([math.nan, 0.1], [10, 20]) == 1
    with pytest.raises(ValueError, match="accuracies must be numbers, got NaN in 1 entries"):
        weighted_spearman([0.2, 0.1], [math.nan, 20])
    with pytest.raises(ValueError, match="scores and accuracies must be of one length, got 1 and 2"):
        weighted_spearman([1.0], [1.0, 2.0])


def test_regret_within_runs_and_over_the_runs_of_a_pair():
    runs = [
        made_record("dann", "A-W", 0, (0.5, 0.7, 0.6), (0.3, 0.9, 0.1)),  # picks the best: 0; last 10
        made_record("dann", "A-W", 1, (0.5, 0.8, 0.6), (0.95, 0.2, 0.1)),  # picks 50 of 80: 30; last 20
        made_record("mcc", "W-A", 0, (0.2, 0.4), (0.1, 0.2)),  # 0; 0
    ]
    runs.append(made_record("target_supervised", "A-W", 0, (0.9, 1.0), (0.9, 0.1)))
    last_rule, confidence = validator_quality(group_of(runs))
    assert (last_rule.rule, last_rule.regret, last_rule.worst) == ("last", pytest.approx(10), pytest.approx(20))
    assert (last_rule.overall_regret, last_rule.correlation, last_rule.runs) == (None, None, 3)
    assert (confidence.rule, confidence.regret, confidence.worst) == (
        "confidence",
        pytest.approx(10),
        pytest.approx(30),
    )
    assert confidence.overall_regret == pytest.approx((30 + 0) / 2)  # A-W: 0.95 picks 50 where 80 was there
    assert confidence.correlations == {
        "A-W": pytest.approx(spearman_in_loops([0.3, 0.9, 0.1, 0.95, 0.2, 0.1], [50, 70, 60, 50, 80, 60])),
        "W-A": 1.0,
    }
    assert confidence.correlation == pytest.approx(np.mean(list(confidence.correlations.values())))


def test_scores_that_differ_by_rounding_alone_are_equal():
    above, one = 1 + 2**-52, 1.0
    assert weighted_spearman([above, one, 0.5], [10, 20, 5]) == weighted_spearman([one, one, 0.5], [10, 20, 5])
    runs = [
        made_record("dann", accuracies=(0.5, 0.7), scores=(above, one)),
        made_record("mcc", "A-W", 0, (0.9,), (one,)),
    ]
    (_, confidence) = validator_quality(group_of(runs))
    assert confidence.worst == 0  # dann: the later of two that are equal
    assert confidence.overall_regret == pytest.approx(90 - (50 + 70 + 90) / 3)
    assert confidence.correlations == {}


def test_quality_of_one_method_alone():
    runs = [
        made_record("dann", accuracies=(0.5, 0.7), scores=(2, 1)),
        made_record("mcc", accuracies=(0.5, 0.7), scores=(1, 2)),
    ]
    group = group_of(runs)
    assert validator_quality(group, ("dann", "joint"))[1].regret == pytest.approx(20)
    assert validator_quality(group, ("mcc", "joint"))[1].regret == 0
    assert validator_quality(group, ("cdan", "joint")) == []


def test_among_equal_scores_over_runs_the_mean_counts():
    runs = [made_record("dann", accuracies=(0.9,), scores=(1,)), made_record("mcc", accuracies=(0.3,), scores=(1,))]
    assert validator_quality(group_of(runs))[1].overall_regret == pytest.approx(30)
    assert validator_quality(group_of(runs))[1].correlation is None  # one score for all


# Ranks


def test_ranks_need_ten_pairs_and_three_rows():
    runs = [last(name, f"P{p}", 0, 0.5) for name in ("a", "b", "c") for p in range(9)]
    assert ranking(group_of(runs)) is None
    runs = [last(name, f"P{p}", 0, 0.5) for name in ("a", "b") for p in range(10)]
    assert ranking(group_of(runs)) is None
    runs += [last("c", f"P{p}", 0, 0.5) for p in range(9)]  # c lacks a pair
    assert ranking(group_of(runs)) is None


def test_average_ranks_and_the_critical_difference():
    accuracies = {"a": [0.6] * 12, "b": [0.5] * 11 + [0.7], "c": [0.4] * 12}
    runs = [last(name, f"P{p}", 0, value) for name, values in accuracies.items() for p, value in enumerate(values)]
    runs.append(last("target_supervised", "P0", 0, 0.9))
    found = ranking(group_of(runs))
    assert {row[0]: rank for row, rank in found.ranks.items()} == pytest.approx({"a": 13 / 12, "b": 23 / 12, "c": 3.0})
    assert [row[0] for row in found.ranks] == ["a", "b", "c"]
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 12)), abs=1e-3)  # Demsar, table 5
    assert found.p == pytest.approx(stats.friedmanchisquare(*accuracies.values()).pvalue)
    assert found.pairs == 12


def test_equal_methods_share_the_rank():
    runs = [last(name, f"P{p}", 0, 0.5) for name in ("a", "b", "c") for p in range(10)]
    found = ranking(group_of(runs))
    assert set(found.ranks.values()) == {2.0}
    assert found.p == 1.0
