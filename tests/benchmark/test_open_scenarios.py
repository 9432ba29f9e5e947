"""Partial, open-set and universal scenarios: their classes, what a method sees of them, and how they are measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dalib.benchmark import (
    PUBLISHED_SPLITS,
    Checkpoint,
    ClassSplit,
    Protocol,
    Run,
    Scenario,
    benchmark,
    groups,
    open_set_scenarios,
    partial_scenarios,
    published_scenarios,
    run,
    scenarios,
    select,
    table,
    target_supervised,
    trained,
    universal_scenarios,
)
from dalib.benchmark.judge import SWEEP, Judge
from dalib.benchmark.run import run_key
from dalib.benchmark.statistics import comparisons, validator_quality
from dalib.data import Domain, DomainSet, TensorInputs, arrays
from dalib.data.known_sets import OFFICE31_CLASSES
from dalib.methods import OPEN_RECIPES, osbp, source_only, uan
from dalib.metrics import open_set_accuracy
from dalib.outputs import Outputs
from tests.benchmark.records import made_record
from tests.benchmark.test_scenario import Files, reachable

CLASSES = ("class 0", "class 1", "class 2", "class 3")
WITH_CALTECH = (
    ["back_pack", "bike", "calculator", "headphones", "keyboard", "laptop_computer", "monitor", "mouse", "mug", "projector"]
)  # fmt: skip


@pytest.fixture
def universal(domain_set):
    roles = {"shared": ["class 2", "class 0"], "source_private": ["class 3"], "unknown": ["class 1"]}
    return universal_scenarios(domain_set, **roles, pairs=[("A", "W")])[0]


@pytest.fixture(scope="module")
def office():
    """Two domains with Office-31's classes and two rows of each."""
    names = np.repeat(OFFICE31_CLASSES, 2)
    rows = np.random.default_rng(0).standard_normal((62, 3))
    return arrays({"amazon": (rows, names), "webcam": (rows + 1, names)}, name="office31")


def test_published_splits_of_office31():
    splits = PUBLISHED_SPLITS["office31"]
    others = [name for name in OFFICE31_CLASSES if name not in WITH_CALTECH]
    for split in splits.values():
        assert list(split.shared) == WITH_CALTECH
    assert sorted(splits["partial"].source_private) == others
    assert splits["partial"].unknown == ()
    assert splits["open"].source_private == ()
    assert list(splits["open"].unknown) == others[10:]
    assert list(splits["universal"].source_private) == others[:10]
    assert list(splits["universal"].unknown) == others[10:]
    assert others[10] == "pen"  # the last eleven, as papers list them
    assert len(others[10:]) == 11


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [("closed", 31, 31), ("partial", 31, 10), ("open", 10, 21), ("universal", 20, 21)],
)
def test_the_rows_are_those_of_the_classes(office, kind, source, target):
    (pair, _) = published_scenarios(office, kind)
    assert pair.kind == kind
    assert len(pair.source) == 2 * source
    assert len(pair.target) == 2 * target
    assert len(pair.source.classes) == source
    split = pair.split(0)
    task, labels = pair.task(split), pair.target_labels(split)
    assert len(task.classes) == source
    # every row is one of the original rows of the class that its label names
    original = office.domains["webcam"]
    for row, label in zip(task.target.load(np.arange(len(labels))), labels, strict=True):
        (place,) = np.flatnonzero((original.inputs.tensor == row).all(dim=1).numpy())
        assert original.classes[original.labels[place]] == pair.target.classes[label]
        assert (label >= source) == (pair.target.classes[label] in pair.unknown)


def test_a_task_shows_the_source_classes_and_nothing_else(domain_set, universal):
    assert universal.shared == ("class 0", "class 2")
    assert universal.source.classes == ("class 0", "class 2", "class 3")
    assert universal.target.classes == (*universal.source.classes, "class 1")
    task = universal.task(universal.split(0))
    values = reachable(task)
    assert not [value for value in values if isinstance(value, str) and "class 1" in value]
    assert not [value for value in values if isinstance(value, tuple) and value == universal.shared]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    hidden = domain_set.domains["amazon"]
    unknown_rows = hidden.inputs.tensor[torch.from_numpy(hidden.labels == 1)]
    for tensor in tensors:  # no source row of an unknown class either
        if tensor.ndim == 2 and tensor.shape[1] == 6:
            assert not (torch.cdist(unknown_rows, tensor) == 0).any()


def test_files_of_other_classes_are_out_of_reach():
    labels = np.repeat([0, 1, 2], 5)
    names = ("mug", "pen", "ruler")
    both = {name: Domain(name, Files(labels), labels, names) for name in ("amazon", "webcam")}
    first, second = open_set_scenarios(DomainSet("files", both), shared=["mug", "pen"])
    for task in (first.task(first.split(0)), second.task(second.split(0, holdout=0.4))):
        values = reachable(task)
        assert not [value for value in values if isinstance(value, Files)]
        assert not [value for value in values if isinstance(value, str) and (".jpg" in value or "ruler" in value)]
        assert task.source.load([0]).shape == (1, 1)


def made_checkpoint(**options):
    return Checkpoint(1, lambda inputs: None, **options)


def test_the_judge_agrees_with_the_metrics():
    logits = torch.tensor([[9.0, 0], [0.1, 0], [0, 9.0], [0, 9.0], [9.0, 0], [0.1, 0]])
    labels = np.array([0, 0, 0, 1, 2, 4])
    outputs = Outputs(torch.zeros(6, 1), logits)
    rejected = torch.tensor([False, True, False, False, False, True])
    judge = Judge(labels, 2, "open")
    numbers, details = judge.accuracies(made_checkpoint(unknown=lambda outputs: rejected), outputs)
    predicted = [0, 2, 1, 1, 0, 2]
    assert numbers["harmonic"] == open_set_accuracy(predicted, labels, known=2).harmonic
    assert (numbers["known"], numbers["unknown"]) == (pytest.approx((1 / 3 + 1) / 2), 0.5)
    assert numbers["accuracy"] == 3 / 6
    assert numbers["class_accuracy"] == pytest.approx(numbers["overall"])
    assert details == {"per_class": [pytest.approx(1 / 3, abs=1e-6), 1.0, 0.5]}
    # where every row is of a source class nothing is rejected
    closed, details = Judge(np.minimum(labels, 1), 2, "partial").accuracies(made_checkpoint(), outputs)
    assert closed == {"accuracy": 3 / 6, "class_accuracy": pytest.approx((2 / 3 + 1 / 3) / 2)}
    assert details == {"per_class": [pytest.approx(2 / 3, abs=1e-6), pytest.approx(1 / 3, abs=1e-6)]}


def test_a_method_without_a_rule_is_judged_by_one_half_and_by_the_whole_sweep():
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(240) % 6
    known = torch.from_numpy(np.eye(6)[labels][:, :4]).float()
    logits = 1.5 * torch.randn(240, 4, generator=generator) + 2 * known
    outputs = Outputs(torch.zeros(240, 1), logits)
    numbers, details = Judge(labels, 4, "universal").accuracies(made_checkpoint(), outputs)
    assert list(details["sweep"]) == [f"{threshold:.2f}" for threshold in SWEEP]
    assert len(SWEEP) == 19
    assert (SWEEP[0], SWEEP[-1]) == (0.05, 0.95)
    largest, predicted = torch.softmax(logits, dim=1).max(dim=1)
    for threshold, harmonic in zip(SWEEP, details["sweep"].values(), strict=True):
        verdict = [4 if p < threshold else int(k) for p, k in zip(largest.tolist(), predicted, strict=True)]
        assert harmonic == pytest.approx(open_set_accuracy(verdict, labels, known=4).harmonic)
    assert details["sweep"]["0.50"] == numbers["harmonic"]
    assert len(set(details["sweep"].values())) > 10


def test_outputs_beyond_the_classes_reject_and_are_never_predicted_where_all_is_known():
    logits = torch.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    outputs = Outputs(torch.zeros(2, 1), logits)
    closed, _ = Judge(np.array([0, 1]), 2, "closed").accuracies(made_checkpoint(extra_outputs=1), outputs)
    assert closed["accuracy"] == 1.0
    numbers, _ = Judge(np.array([2, 1]), 2, "open").accuracies(
        made_checkpoint(extra_outputs=1, unknown=lambda outputs: outputs.logits.argmax(1) == 2), outputs
    )
    assert numbers["harmonic"] == 1.0


@pytest.mark.parametrize("verdict", [torch.zeros(3), torch.zeros(2, dtype=torch.bool), [True] * 3])
def test_a_verdict_of_another_kind_is_refused(verdict):
    outputs = Outputs(torch.zeros(3, 1), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"unknown of a checkpoint must return booleans of shape \(3,\), got"):
        Judge(np.array([0, 1, 2]), 2, "open").accuracies(made_checkpoint(unknown=lambda outputs: verdict), outputs)


@pytest.mark.parametrize("name", OPEN_RECIPES)
def test_every_open_recipe_gives_its_own_verdict(universal, name):
    method = trained(OPEN_RECIPES[name], Protocol(steps=4, batch_size=8, bottleneck=8, checkpoints=2))
    task = universal.task(universal.split(0))
    (first, last) = method(task, 0)
    outputs = last.predict(task.target)
    assert outputs.logits.shape == (len(task.target), 3 + (name == "osbp"))
    assert first.extra_outputs == (name == "osbp")
    verdict = last.unknown(outputs)
    assert verdict.dtype == torch.bool
    assert torch.equal(verdict, last.unknown(outputs))  # nothing is drawn
    done = run(method, name, universal, 0)
    known = open_set_accuracy(
        np.where(verdict, 3, outputs.logits[:, :3].argmax(1)), universal.target_labels(universal.split(0)), known=3
    )
    assert done.checkpoints[-1]["harmonic"] == known.harmonic
    assert "sweep" not in done.checkpoints[-1]


def test_a_model_with_one_more_output_learns_to_use_it(domain_set):
    (pair,) = open_set_scenarios(domain_set, shared=CLASSES[:3], pairs=[("A", "D")])
    done = run(trained(osbp, Protocol(steps=150, bottleneck=16)), "osbp", pair, 0, scores={})
    assert done.checkpoints[-1]["unknown"] > 0.2
    assert done.checkpoints[-1]["known"] > 0.5


def test_the_record_says_which_classes_and_the_last_checkpoint_has_each_class(universal, tmp_path):
    done = run(trained(source_only, Protocol(steps=4, checkpoints=2)), "source_only", universal, 0, out=tmp_path)
    assert Run.load(tmp_path / f"{done.stem}.json") == done
    assert (done.kind, done.headline) == ("universal", "harmonic")
    assert done.data["class_names"] == ["class 0", "class 2", "class 3"]
    assert done.roles == (("class 0", "class 2"), ("class 3",), ("class 1",))
    first, last = done.checkpoints
    assert "per_class" not in first
    assert "sweep" not in first
    assert len(last["per_class"]) == 4
    assert last["per_class"][2] is None  # private to the source
    assert last["per_class"][3] == pytest.approx(last["unknown"], abs=1e-6)
    assert {"known", "unknown", "overall", "harmonic"} <= set(first)


def test_closed_records_have_each_class_and_no_roles(scenario):
    done = run(trained(source_only, Protocol(steps=2, checkpoints=1)), "source_only", scenario, 0)
    assert (done.kind, done.headline, done.roles) == ("closed", "accuracy", ((), (), ()))
    assert done.data["class_names"] == list(CLASSES)
    assert len(done.checkpoints[-1]["per_class"]) == 4
    assert "harmonic" not in done.checkpoints[-1]
    assert made_record().kind == "closed"  # records made before there were kinds


def test_the_key_changes_with_the_split(domain_set):
    def key(**roles):
        (pair,) = universal_scenarios(domain_set, **roles, pairs=[("A", "W")])
        return run_key(source_only, "source_only", pair, 0)

    first = key(shared=["class 0"], source_private=["class 1"], unknown=["class 2"])
    assert first == key(shared=["class 0"], source_private=["class 1"], unknown=["class 2"])
    assert first != key(shared=["class 0"], source_private=["class 1"], unknown=["class 3"])
    assert first != key(shared=["class 1"], source_private=["class 0"], unknown=["class 2"])
    # the same rows and labels under another role
    (partial,) = partial_scenarios(domain_set, shared=["class 0"], pairs=[("A", "W")])
    closed = Scenario(partial.source, partial.target, partial.name, dataset=partial.dataset)
    assert run_key(source_only, "m", partial, 0) != run_key(source_only, "m", closed, 0)


def open_record(method="osbp", numbers=((0.2, 0.9), (0.6, 0.5), (0.4, 0.1)), sweep=None, kind="open", **options):
    made = made_record(method, accuracies=[accuracy for _, accuracy in numbers], **options)
    for checkpoint, (harmonic, _) in zip(made.checkpoints, numbers, strict=True):
        checkpoint |= {"known": harmonic, "unknown": harmonic / 2, "overall": 0.0, "harmonic": harmonic}
    if sweep is not None:
        made.checkpoints[-1]["sweep"] = sweep
    roles = {"shared": ["a", "b"], "source_private": ["c"] if kind == "universal" else [], "unknown": ["d"]}
    return replace(made, data={"kind": kind, **roles})


def test_the_oracle_and_all_statistics_go_by_the_harmonic_mean():
    done, plain = open_record(), open_record("source_only", ((0.3, 0.1), (0.3, 0.1), (0.3, 0.9)))
    assert select(done, "oracle")["harmonic"] == 0.6
    (group,) = groups([done, plain])
    assert group.cell(("osbp", "joint"), "A-W").values == (40.0,)
    assert group.average(("osbp", "joint"), number="unknown").values == (20.0,)
    (compared,) = [found for found in comparisons(group) if found.row[0] == "osbp"]
    assert compared.mean == pytest.approx(10.0)
    (last, *_) = validator_quality(group, ("osbp", "joint"))
    assert last.regret == pytest.approx(20.0)


def test_kinds_and_choices_of_classes_are_tables_of_their_own():
    other = replace(open_record(), data={**open_record().data, "unknown": ["e"]})
    found = groups([open_record(kind="universal"), other, made_record(), open_record()])
    assert [group.kind for group in found] == ["closed", "open", "open", "universal"]


@pytest.mark.parametrize("kind", ["partial", "open", "universal"])
def test_the_pairs_of_a_kind_stand_in_one_table_also_where_a_domain_has_other_classes_on_each_side(kind):
    names = np.repeat(CLASSES, 8)
    rows = np.random.default_rng(0).standard_normal((32, 3))
    domains = {name: (rows + shift, names) for shift, name in enumerate(("amazon", "dslr", "webcam"))}
    shared = CLASSES[:2]

    def made(domains):
        domain_set = arrays(domains, name="of three")
        if kind == "universal":
            found = universal_scenarios(domain_set, shared=shared, source_private=CLASSES[2:3])
        else:
            found = {"partial": partial_scenarios, "open": open_set_scenarios}[kind](domain_set, shared=shared)
        return benchmark({"source_only": trained(source_only, Protocol(steps=1))}, found, seeds=1)

    runs = made(domains)
    for order in (runs, runs[::-1], runs[1::2] + runs[::2]):
        (group,) = groups([replace(run, finished=f"{place:02d}") for place, run in enumerate(order)])
        assert group.pairs == ["A-D", "A-W", "D-A", "D-W", "W-A", "W-D"]
        assert group.told == ()
    changed = made({**domains, "dslr": (rows - 5, names)})
    found = groups([*runs, *changed])
    assert len(found) == 2
    for group in found:  # and nothing of the pairs, which differ because their domains do
        assert {words.split(" as ")[0] for words in group.told} == {"content of dslr"}


def test_the_tables_show_hos_both_its_parts_and_the_sweep():
    sweep = {f"{threshold:.2f}": threshold / 2 for threshold in SWEEP}
    shown = table([open_record(), open_record("source_only", sweep=sweep)], parts=("accuracy", "sweep"))
    lines = shown.splitlines()
    assert "open-set" in lines[0]
    assert "HOS in percent" in lines[0]
    assert lines[2].split() == ["method", "A-W", "Avg", "OS*", "UNK"]
    (row,) = [line.split() for line in lines if line.startswith("osbp") and "–" not in line]
    assert row == ["osbp", "40.0", "40.0", "40.0", "20.0"]
    (swept,) = [line.split() for line in lines if line.startswith("source_only") and "–" in line]
    assert swept == ["source_only", "–", *(f"{5.0 * n:.1f}" for n in range(1, 10)), "47.5"]
    assert (
        "source_only: rows whose largest probability is below 0.5 are rejected; osbp: by the method's own rule" in shown
    )
    closed = table([made_record()])
    assert "HOS" not in closed
    assert "threshold" not in closed


def test_the_upper_bound_is_refused_where_rows_would_be_unknown(domain_set, universal):
    bound = {"target_supervised": target_supervised(trained(source_only, Protocol(steps=2)))}
    with pytest.raises(
        ValueError, match="target_supervised must run on closed or partial scenarios, got the universal"
    ):
        benchmark(bound, [universal], seeds=1)
    (partial,) = partial_scenarios(domain_set, shared=["class 0", "class 1"], pairs=[("A", "W")])
    (done,) = benchmark(bound, [partial], seeds=1)
    assert done.kind == "partial"
    assert done.supervised


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: partial_scenarios(s, shared=[]), ValueError, "shared must name at least one class"),
        (lambda s: partial_scenarios(s, shared=CLASSES), ValueError, "shared must leave out a class of the source"),
        (lambda s: partial_scenarios(s, shared="class 0"), TypeError, "shared must be a sequence of class names, got str"),
        (lambda s: partial_scenarios(s, shared=[0]), TypeError, "shared must hold names of classes, got int"),
        (lambda s: partial_scenarios(s, shared=["mug"]), ValueError, "must be classes of gaussians, got 'mug'; there are"),
        (lambda s: open_set_scenarios(s, shared=CLASSES), ValueError, "unknown must name at least one class"),
        (lambda s: open_set_scenarios(s, shared=CLASSES[:2], unknown=CLASSES[1:]), ValueError, "overlap, got class 1 twice"),
        (lambda s: open_set_scenarios(s, shared=["class 0"] * 2), ValueError, "every class once, got class 0 again"),
        (lambda s: open_set_scenarios(s, shared=["class 0"]), ValueError, "at least two classes, got class 0 alone"),
        (lambda s: universal_scenarios(s, shared=["class 0"], source_private=[]), ValueError, "are open-set ones"),
        (
            lambda s: universal_scenarios(s, shared=["class 0"], source_private=["class 1"], unknown=["pen"]),
            ValueError,
            "got 'pen'; there are: class 0, class 1",
        ),
        (lambda s: published_scenarios(s, "open"), ValueError, r"no split is published; .*open_set_scenarios\(domain_set"),
        (lambda s: published_scenarios(s, "half"), ValueError, "kind must be one of closed, partial, open, universal"),
        (lambda s: ClassSplit(("a",), ("b",), ("b",)), ValueError, "must not overlap, got b twice"),
    ],
)  # fmt: skip
def test_wrong_classes(domain_set, make, error, message):
    with pytest.raises(error, match=message):
        make(domain_set)


@pytest.mark.parametrize(
    ("labels", "roles", "message"),
    [
        ([0, 1, 2], {}, "source and target must have the same classes"),
        (
            [0, 1, 2],
            {"unknown": ("ruler",), "source_private": ("pen",)},
            "classes without target rows, got rows of pen",
        ),
        ([0, 1, 1], {"unknown": ("ruler",)}, "unknown must be classes with target rows, got none of ruler"),
        ([2, 2, 2], {"unknown": ("ruler",)}, "target must have rows of a class that both domains share"),
        ([0, 0, 2], {"unknown": ("ruler",), "source_private": ("cup",)}, "must be classes of the source, got cup"),
        ([0, 1, 2], {"unknown": ("cup",)}, "the classes of the source and then the unknown ones, got mug, pen, ruler"),
    ],
)
def test_roles_that_the_rows_deny(labels, roles, message):
    rows = TensorInputs(torch.zeros(3, 1))
    source = Domain("amazon", rows, np.array([0, 1, 1]), ("mug", "pen"))
    target = Domain("webcam", rows, np.array(labels), ("mug", "pen", "ruler"))
    with pytest.raises(ValueError, match=message):
        Scenario(source, target, **roles)


def test_a_domain_without_rows_of_the_classes(domain_set):
    names = np.array(["mug", "pen", "ruler"])
    rows = np.random.default_rng(0).standard_normal((3, 2))
    lacking = arrays({"amazon": (rows, names), "webcam": (rows[:2], names[:2])}, classes=tuple(names))
    with pytest.raises(ValueError, match="unknown must be classes with target rows, got none of ruler"):
        open_set_scenarios(lacking, shared=["mug", "pen"])


def test_uan_weighs_in_evaluation_mode(universal):
    task = universal.task(universal.split(0))
    (last,) = trained(uan, Protocol(steps=2, checkpoints=1, bottleneck=8))(task, 0)
    outputs = last.predict(task.target)
    assert all(torch.equal(last.unknown(outputs), last.unknown(outputs)) for _ in range(3))  # no dropout


def test_closed_scenarios_are_as_before(domain_set):
    first, again = scenarios(domain_set)[0], published_scenarios(domain_set, "closed")[0]
    assert first.fingerprint() == again.fingerprint()
    assert (first.kind, first.shared, first.unknown) == ("closed", CLASSES, ())


def test_pictures_are_given_the_verdicts(domain_set, universal, tmp_path):
    for kind, pair, classes in (("closed", scenarios(domain_set)[0], 4), ("universal", universal, 4)):
        out = tmp_path / kind
        (done,) = benchmark({"osbp": trained(osbp, Protocol(steps=20, bottleneck=8))}, [pair], seeds=1, out=out)
        stored = np.load(out / "features" / f"{done.stem}.npz")
        assert len(stored["classes"]) == classes
        assert stored["predictions"].max() < classes  # on a closed scenario the last output is never predicted
        assert (stored["predictions"] == stored["labels"]).mean() == pytest.approx(done.checkpoints[-1]["accuracy"])
    assert stored["classes"][-1] == "unknown"
    assert (stored["predictions"] == 3).any()


def test_test_rows_without_a_known_or_an_unknown_one_are_refused_before_anything_runs(universal, tmp_path):
    """The harmonic mean would be NaN, which no record can hold."""
    methods = {"uan": trained(uan, Protocol(steps=2))}
    with pytest.raises(
        ValueError, match=r"target_test must leave known and unknown rows to measure on, got [01] unknown"
    ):
        benchmark(methods, [universal], seeds=1, out=tmp_path, target_test=1 / len(universal.target))
    assert not list(tmp_path.iterdir())
