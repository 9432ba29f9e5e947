"""Statistics of records: which method gains on which, and which validator picks well. Nothing here trains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dalib.benchmark.group import Group
from dalib.benchmark.ranks import DIGITS, comparable, mean_ranks, weighted_spearman
from dalib.benchmark.record import Run
from dalib.benchmark.select import ORACLE, rules, select

LEAST_PAIRS = 10
"""Average ranks of methods are tested on at least so many pairs: with fewer, hardly any difference could be seen."""


@dataclass(frozen=True)
class Comparison:
    """A method against another one, over pairs of domains: for each pair, the mean over the seeds that both ran.

    Args:
        row: ``(method, mode)`` that is compared.
        against: ``(method, mode)`` that it is compared with.
        pairs: Pairs that both ran with a common seed.
        differences: For each pair, accuracy of ``row`` minus that of ``against``, in percentage points.
        seeds: Number of common seeds, the smallest over the pairs.
    """

    row: tuple[str, str]
    against: tuple[str, str]
    pairs: tuple[str, ...]
    differences: tuple[float, ...]
    seeds: int

    @property
    def mean(self) -> float:
        """Mean difference over the pairs, in percentage points."""
        return statistics.fmean(self.differences)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean difference by Student's t over the pairs; ``None`` for one pair.

        It takes the differences as draws of a normal distribution: a description of their spread, and for a handful
        of pairs that share domains no more than that.
        """
        count = len(self.differences)
        if count < 2:
            return None
        from scipy.stats import t

        half = float(t.ppf(0.975, count - 1)) * statistics.stdev(self.differences) / math.sqrt(count)
        return self.mean - half, self.mean + half

    @property
    def p(self) -> float:
        """Two-sided p of the exact Wilcoxon signed-rank test over the pairs; see :func:`signed_rank_p`."""
        return signed_rank_p(self.differences)

    @property
    def smallest_p(self) -> float:
        """The smallest p that so many differences can give, :math:`2^{1-n}` of ``n`` that are not zero."""
        return 0.5 ** max(0, self.wins + self.losses - 1)

    @property
    def wins(self) -> int:
        """Pairs on which ``row`` is better."""
        return sum(round(difference, DIGITS) > 0 for difference in self.differences)

    @property
    def losses(self) -> int:
        """Pairs on which ``row`` is worse."""
        return sum(round(difference, DIGITS) < 0 for difference in self.differences)


def signed_rank_p(differences: Sequence[float]) -> float:
    r"""Two-sided p of the Wilcoxon signed-rank test, exact also with ties [1]_.

    .. math:: p = \min(1, 2 \min(P(W \le w), P(W \ge w))), \quad w = \sum_{i: d_i > 0} r_i

    where :math:`r_i` are the ranks of :math:`|d_i|`, mean ranks for ties, zeros left out, and :math:`W` sums the ranks of
    a random half: every sign is a fair coin. The distribution is computed, not approximated.

    Args:
        differences: Paired differences, shape ``(n,)``, in percentage points: sizes that agree to 1e-9 are tied, and
            what is smaller is zero.

    Returns:
        In ``(0, 1]``; 1 if no difference is left.

    Raises:
        ValueError: If a difference is not finite.

    References:
        .. [1] Wilcoxon. Individual Comparisons by Ranking Methods. Biometrics Bulletin 1, 1945.

    Example:
        >>> signed_rank_p([1, 2, 3, 4, 5, 6])  # all of six agree: 2 / 2**6
        0.03125

    Note:
        ``scipy.stats.wilcoxon(method="exact")`` gives the same number where nothing is tied; with ties it uses the
        distribution for distinct ranks.
    """
    values = np.round(np.asarray(differences, dtype=float), DIGITS)
    if not np.isfinite(values).all():
        raise ValueError(f"differences must be finite, got {values.tolist()}")
    values = values[values != 0]
    if not len(values):
        return 1.0
    doubled = np.rint(2 * mean_ranks(np.abs(values))).astype(int)  # twice the ranks are whole numbers
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] = (ways[rank:] + ways[:-rank]) / 2
        ways[:rank] /= 2
    positive = int(doubled[values > 0].sum())
    return float(min(1.0, 2 * min(ways[: positive + 1].sum(), ways[positive:].sum())))


def comparisons(group: Group) -> list[Comparison]:
    """Every method against ``source_only`` and against the control of its own forward mode, at the last checkpoint.

    Args:
        group: Records of one table; see :func:`groups`.

    Returns:
        One for each method and reference that share a pair and a seed. Methods trained on target labels are left out,
        as they are scored on other rows; where there is no ``source_only`` or control there is no comparison with it.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, groups, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import control, source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> methods = {f.__name__: trained(f, Protocol(steps=30)) for f in (source_only, control)}
        >>> (group,) = groups(benchmark(methods, pair, seeds=1))
        >>> [(c.row[0], c.against[0], c.mean, c.p) for c in comparisons(group)]
        [('control', 'source_only', 0.0, 1.0)]
    """
    accuracies: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for run in group.runs:
        if not run.supervised:
            last = 100 * float(run.checkpoints[-1][run.headline])
            accuracies.setdefault((run.method, run.mode), {})[run.scenario, run.seed] = last
    found = []
    for row in (row for row in group.rows if row in accuracies):
        sources = [other for other in accuracies if other[0] == "source_only"]
        references = [*sources, *(other for other in accuracies if other == ("control", row[1]))]
        made = [_compared(row, other, accuracies[row], accuracies[other]) for other in references if other != row]
        found += [comparison for comparison in made if comparison.pairs]
    return found


def _compared(
    row: tuple[str, str],
    against: tuple[str, str],
    values: dict[tuple[str, int], float],
    others: dict[tuple[str, int], float],
) -> Comparison:
    by_pair: dict[str, list[float]] = {}
    for pair, seed in sorted(values.keys() & others.keys()):
        by_pair.setdefault(pair, []).append(values[pair, seed] - others[pair, seed])
    differences = tuple(statistics.fmean(entries) for entries in by_pair.values())
    return Comparison(row, against, tuple(by_pair), differences, min(map(len, by_pair.values()), default=0))


@dataclass(frozen=True)
class ValidatorQuality:
    """How well a rule picks checkpoints.

    Args:
        rule: ``"last"`` or the name of a validator.
        regret: Oracle's accuracy minus that of the picked checkpoint, mean over runs, in percentage points; the latest
            of equal scores is picked.
        worst: The largest regret of a run.
        overall_regret: The same where one checkpoint is picked among those of all methods and seeds of a pair, mean over
            pairs. Among equal scores any is as likely as another: the mean of their accuracies counts. ``None`` for
            ``"last"``, which cannot compare runs.
        correlation: Weighted Spearman correlation of score and accuracy over all checkpoints of a pair, mean over pairs;
            ``None`` where it is defined for no pair. See :func:`weighted_spearman`.
        correlations: The same by pair, pairs without one left out.
        runs: Number of runs.
    """

    rule: str
    regret: float
    worst: float
    overall_regret: float | None
    correlation: float | None
    correlations: dict[str, float]
    runs: int


def validator_quality(group: Group, row: tuple[str, str] | None = None) -> list[ValidatorQuality]:
    """Regret and weighted Spearman correlation of the last checkpoint and of every validator that all records hold.

    Accuracies on the target are read here to judge validators, after the fact: nothing is picked by them.

    Args:
        group: Records of one table; see :func:`groups`.
        row: ``(method, mode)`` whose runs alone are looked at. Default: all but those trained on target labels.

    Returns:
        One for each rule; empty if there are no such runs.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, groups, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> (group,) = groups(benchmark({"source_only": trained(source_only, Protocol(steps=30))}, pair, seeds=1))
        >>> [(q.rule, q.regret) for q in validator_quality(group)][:2]
        [('last', 0.0), ('source_accuracy', 0.0)]
    """
    runs = [run for run in group.runs if not run.supervised and row in (None, (run.method, run.mode))]
    return [_quality(rule, runs) for rule in rules(runs) if rule != ORACLE] if runs else []


def _quality(rule: str, runs: Sequence[Run]) -> ValidatorQuality:
    regrets = [100 * float(select(run, ORACLE)[run.headline] - select(run, rule)[run.headline]) for run in runs]
    overall: list[float] = []
    correlations: dict[str, float] = {}
    for pair in sorted({run.scenario for run in runs}):
        found = [(run.headline, checkpoint) for run in runs if run.scenario == pair for checkpoint in run.checkpoints]
        checkpoints = [checkpoint for _, checkpoint in found]
        accuracies = [100 * float(checkpoint[headline]) for headline, checkpoint in found]
        scores = [checkpoint["scores"].get(rule) for checkpoint in checkpoints]
        by_score: dict[float, list[float]] = {}
        for score, accuracy in zip(scores, accuracies, strict=True):
            if score is not None:
                by_score.setdefault(comparable(score), []).append(accuracy)
        if by_score:
            overall.append(max(accuracies) - statistics.fmean(by_score[max(by_score)]))  # no luck by order
        correlation = weighted_spearman(scores, accuracies)
        if correlation is not None:
            correlations[pair] = correlation
    return ValidatorQuality(
        rule,
        statistics.fmean(regrets),
        max(regrets),
        statistics.fmean(overall) if overall else None,
        statistics.fmean(correlations.values()) if correlations else None,
        correlations,
        len(runs),
    )


@dataclass(frozen=True)
class Ranking:
    """Average ranks of methods over pairs, and by how much two must differ.

    Args:
        ranks: Average rank of each row, 1 for the best of all pairs; in order of rank.
        critical_difference: Ranks that are closer than this do not differ at the 5 % level by the Nemenyi test.
        p: Of the Friedman test that all rows rank alike.
        pairs: Number of pairs.
    """

    ranks: dict[tuple[str, str], float]
    critical_difference: float
    p: float
    pairs: int


def ranking(group: Group) -> Ranking | None:
    r"""Average ranks, Friedman test and Nemenyi's critical difference [1]_, where there are pairs enough.

    .. math:: CD = q_{0.05} \sqrt{\frac{k (k + 1)}{6 N}}

    for :math:`k` methods on :math:`N` pairs, :math:`q` of the studentized range over :math:`\sqrt 2`; a pair's accuracy is
    the mean over its seeds at the last checkpoint.

    Args:
        group: Records of one table; see :func:`groups`.

    Returns:
        Of the rows that ran on all pairs, those trained on target labels left out; ``None`` for fewer than ten pairs or
        three rows.

    References:
        .. [1] Demsar. Statistical Comparisons of Classifiers over Multiple Data Sets. JMLR 7, 2006.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, groups, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> (group,) = groups(benchmark({"source_only": trained(source_only, Protocol(steps=3))}, pair, seeds=1))
        >>> ranking(group) is None  # two pairs and one method: too few
        True
    """
    pairs = group.pairs
    rows = [row for row in group.rows if not group.supervised(row)]
    rows = [row for row in rows if all(group.cell(row, pair).values for pair in pairs)]
    if len(pairs) < LEAST_PAIRS or len(rows) < 3:
        return None
    from scipy.stats import friedmanchisquare, studentized_range

    accuracies = np.round([[group.cell(row, pair).mean for row in rows] for pair in pairs], DIGITS)
    average = np.mean([mean_ranks(-line) for line in accuracies], axis=0)
    count = len(rows)
    critical = float(studentized_range.ppf(0.95, count, np.inf)) / math.sqrt(2)
    order = np.argsort(average, kind="stable")
    alike = bool((accuracies == accuracies[:, :1]).all())
    return Ranking(
        {rows[place]: float(average[place]) for place in order},
        critical * math.sqrt(count * (count + 1) / (6 * len(pairs))),
        1.0 if alike else float(friedmanchisquare(*accuracies.T).pvalue),
        len(pairs),
    )
