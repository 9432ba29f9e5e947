"""Scenarios, splits and tasks: reproducible, stratified, and closed to anyone who wants the target labels."""

import types

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from dalib.benchmark import Checkpoint, Scenario, benchmark, scenarios
from dalib.benchmark.scenario import stratified
from dalib.data import Domain, TensorInputs, arrays, datasets
from dalib.outputs import Outputs


class Files:
    """Inputs whose paths spell the labels, as image folders have them."""

    def __init__(self, labels):
        self.paths = [f"webcam/class_{label}/{row}.jpg" for row, label in enumerate(labels)]
        self.labels = labels

    def __len__(self):
        return len(self.paths)

    def load(self, index, *, training=False, generator=None):
        return torch.as_tensor(np.asarray(index), dtype=torch.float32)[:, None]

    def fingerprint(self):
        return "files"

    def with_transform(self, transform):
        other = Files(self.labels)
        other.load = lambda index, *, training=False, generator=None: transform(self.load(index))
        return other


@pytest.fixture
def files_scenario():
    labels = np.repeat([0, 1, 2], 5)
    names = ("mug", "pen", "ruler")
    source = Domain("amazon", TensorInputs(torch.zeros(15, 1)), labels, names)
    return Scenario(source, Domain("webcam", Files(labels), labels, names))


def reachable(root, depth=6):
    """Everything that attributes, items and slots lead to from an object; functions and classes are not entered."""
    found, seen, waiting = [], set(), [(root, 0)]
    while waiting:
        value, level = waiting.pop()
        if id(value) in seen or level > depth or isinstance(value, types.FunctionType | type | types.ModuleType):
            continue
        seen.add(id(value))
        found.append(value)
        inside = list(vars(value).values()) if hasattr(value, "__dict__") else []
        inside += [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
        inside += list(value.values()) if isinstance(value, dict) else []
        inside += list(value) if isinstance(value, list | tuple) else []
        inside += [value.__self__] if isinstance(value, types.MethodType) else []
        waiting += [(part, level + 1) for part in inside]
    return found


def test_nothing_in_a_task_leads_to_target_labels_or_paths(files_scenario):
    split = files_scenario.split(0)
    task = files_scenario.task(split)
    values = reachable(task)
    assert not [value for value in values if isinstance(value, str) and ".jpg" in value]
    assert not [value for value in values if isinstance(value, Files)]
    labels = files_scenario.target_labels(split)
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    assert not [array for array in arrays if array is not task.source_labels and np.array_equal(array, labels)]
    assert reachable(files_scenario)  # the search does find them where they are
    assert [value for value in reachable(files_scenario) if isinstance(value, str) and ".jpg" in value]


def test_the_order_of_target_rows_does_not_spell_the_labels(files_scenario):
    split = files_scenario.split(0)
    labels = files_scenario.target_labels(split)
    assert not np.array_equal(labels, np.sort(labels))
    assert not np.array_equal(files_scenario.split(1).target, split.target)
    rows = files_scenario.task(split).target.load(np.arange(15))[:, 0].numpy().astype(int)
    assert np.array_equal(rows, split.target)  # and the harness's labels are those of the rows
    assert np.array_equal(files_scenario.target.labels[rows], labels)


def test_hidden_files_pass_through_a_transform(files_scenario):
    task = files_scenario.task(files_scenario.split(0))
    doubled = task.target.with_transform(lambda rows: 2 * rows)
    assert torch.equal(doubled.load([3, 4]), 2 * task.target.load([3, 4]))
    assert len(doubled) == 15
    assert doubled.fingerprint() == task.target.fingerprint()


def test_a_split_is_a_function_of_seed_and_holdout(scenario):
    first, again, other = scenario.split(0, 0.3), scenario.split(0, 0.3), scenario.split(1, 0.3)
    assert first == again
    assert hash(first) == hash(again)
    assert {first: "kept"}[again] == "kept"
    assert first != other
    assert first != scenario.split(0)
    assert scenario.split(0, np.float32(0.5)) == scenario.split(0, 0.5)
    with pytest.raises(ValueError, match="read-only"):
        first.source[0] = 3


@pytest.mark.parametrize("holdout", [0.0, 0.2, 0.5, 0.99])
def test_source_rows_are_trained_on_or_held_out_and_every_class_stays(scenario, holdout):
    split = scenario.split(3, holdout)
    assert sorted([*split.source, *split.source_held_out]) == list(range(len(scenario.source)))
    assert set(scenario.source.labels[split.source]) == set(scenario.source.labels)
    counts = np.bincount(scenario.source.labels)
    expected = sum(min(round(holdout * count), count - 1) for count in counts)
    assert len(split.source_held_out) == expected
    task = scenario.task(split)
    assert (task.source_held_out is None) == (holdout == 0)
    assert np.array_equal(task.source.load(np.arange(4)), scenario.source.inputs.load(split.source[:4].copy()))
    assert np.array_equal(task.source_labels, scenario.source.labels[split.source])
    if holdout:
        assert np.array_equal(task.source_held_out_labels, scenario.source.labels[split.source_held_out])


def test_stratified_draws_differ_by_generator():
    labels = np.repeat([0, 1], 50)
    draws = [tuple(stratified(labels, 0.2, np.random.default_rng(seed))) for seed in range(3)]
    assert len(set(draws)) == 3


def test_all_ordered_pairs_or_those_named_by_long_or_short_names(domain_set):
    assert [s.name for s in scenarios(domain_set)] == ["A-D", "A-W", "D-A", "D-W", "W-A", "W-D"]
    chosen = scenarios(domain_set, [("amazon", "W"), ("d", "A")])
    assert [(s.name, s.source.name, s.target.name) for s in chosen] == [
        ("A-W", "amazon", "webcam"),
        ("D-A", "dslr", "amazon"),
    ]
    assert chosen[0].dataset == "gaussians"


def test_wrong_pairs_and_domains(domain_set):
    for pair in (("A",), "AW", ("A", "W", "D")):
        with pytest.raises(ValueError, match="pairs must hold pairs"):
            scenarios(domain_set, [pair])
    with pytest.raises(
        ValueError, match=r"pairs must name domains of gaussians, got 'X'; known: amazon \(A\), dslr \(D\)"
    ):
        scenarios(domain_set, [("A", "X")])
    with pytest.raises(ValueError, match="pairs must have two different domains, got amazon twice"):
        scenarios(domain_set, [("A", "amazon")])
    amazon = domain_set.domains["amazon"]
    other = Domain("other", amazon.inputs, amazon.labels, ("class 0", "class 1", "class 2", "class 9"))
    with pytest.raises(
        ValueError,
        match=r"same classes, got some in one domain alone \(only in amazon: class 3; only in other: class 9\)",
    ):
        Scenario(amazon, other)
    turned = Domain("turned", amazon.inputs, amazon.labels, amazon.classes[::-1])
    with pytest.raises(ValueError, match="must list their classes in one order"):
        Scenario(amazon, turned)
    with pytest.raises(TypeError, match=r"target must be a dalib\.data\.Domain, got str"):
        Scenario(amazon, "webcam")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"holdout must be in \[0, 1\), got 1"):
        Scenario(amazon, amazon, "A-A").split(0, 1.0)


def test_a_fingerprint_changes_with_any_label_or_input(domain_set, scenario):
    amazon, webcam = domain_set.domains["amazon"], domain_set.domains["webcam"]
    labels = webcam.labels.copy()
    labels[0] = 1 - labels[0]
    relabelled = Scenario(amazon, Domain("webcam", webcam.inputs, labels, webcam.classes), "A-W")
    assert scenario.fingerprint() == Scenario(amazon, webcam).fingerprint()
    assert len({scenario.fingerprint(), relabelled.fingerprint(), Scenario(webcam, amazon).fingerprint()}) == 3


def test_domains_of_different_widths_are_refused():
    from dalib.data import arrays

    labels = ["mug", "mug", "pen", "pen"]
    uneven = arrays({"amazon": (np.zeros((4, 4)), labels), "webcam": (np.zeros((4, 5)), labels)})
    with pytest.raises(ValueError, match=r"rows of one shape, got \(4,\) and \(5,\)"):
        scenarios(uneven)


def test_the_inductive_split_hides_target_rows_without_looking_at_labels(scenario):
    split = scenario.split(seed=3, target_test=0.25)
    rows = len(scenario.target)
    assert sorted([*split.target, *split.target_test]) == list(range(rows))
    assert len(split.target_test) == round(0.25 * rows)
    assert np.array_equal(split.measured, split.target_test)
    assert np.array_equal(scenario.target_labels(split), scenario.target.labels[split.target_test])
    task, test = scenario.task(split), scenario.target_test(split)
    assert len(task.target) == len(split.target)
    assert test is not None
    expected = scenario.target.inputs.load(split.target_test)
    assert torch.equal(test.load(np.arange(len(test))), expected)
    assert split.describe()["protocol"] == "inductive"
    usual = scenario.split(seed=3)
    assert usual.describe()["protocol"] == "transductive"
    assert scenario.target_test(usual) is None
    assert usual != split
    relabelled = Domain("t", scenario.target.inputs, scenario.target.labels[::-1].copy(), scenario.target.classes)
    other = Scenario(scenario.source, relabelled)
    assert np.array_equal(other.split(seed=3, target_test=0.25).target_test, split.target_test)


@pytest.mark.parametrize(
    ("share", "message"),
    [(1.0, r"target_test must be in \[0, 1\), got 1"), (1e-9, "target_test must leave rows on both sides")],
)
def test_wrong_shares_of_unseen_rows(share, message, scenario):
    with pytest.raises(ValueError, match=message):
        scenario.split(seed=0, target_test=share)


def one_storage():
    """Domains that are parts of one table of rows with their labels beside them, three times over."""
    labels = torch.arange(40) % 4
    labels = labels[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    table = torch.cat([torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), labels[:, None].float()], 1)
    halves = {"amazon": slice(0, 20), "webcam": slice(20, 40)}
    rows = TensorDataset(table[:, :3], labels)
    return {
        "tensors": arrays({name: (table[part, :3], labels[part]) for name, part in halves.items()}),
        "numpy": arrays({name: (table.numpy()[part, :3], labels.numpy()[part]) for name, part in halves.items()}),
        "data sets": datasets({name: Subset(rows, range(40)[part]) for name, part in halves.items()}),
    }


@pytest.mark.parametrize("kind", ["tensors", "numpy", "data sets"])
@pytest.mark.parametrize("holdout", [0.0, 0.2])
def test_the_source_does_not_lead_to_a_storage_that_both_domains_share(kind, holdout):
    pair = scenarios(one_storage()[kind])[0]
    task = pair.task(pair.split(0, holdout))
    for inputs in (task.source, task.target, task.source_held_out):
        if isinstance(inputs, TensorInputs):
            assert inputs.tensor._base is None
            assert inputs.tensor.untyped_storage().nbytes() == 4 * inputs.tensor.numel()
    values = reachable(task)
    assert not [value for value in values if isinstance(value, TensorDataset | Subset)]
    labels = [task.source_labels, task.source_held_out_labels]
    assert all(array.base is None for array in labels if array is not None)


def test_image_files_of_the_source_are_hidden_and_not_read(files_scenario):
    class Unread(Files):
        def load(self, index, *, training=False, generator=None):
            raise AssertionError("rows must be loaded when they are asked for")

    turned = Scenario(
        Domain("webcam", Unread(files_scenario.target.labels), files_scenario.target.labels, ("mug", "pen", "ruler")),
        files_scenario.source,
    )
    task = turned.task(turned.split(0))
    assert not [value for value in reachable(task) if isinstance(value, str) and ".jpg" in value]
    assert len(task.source) == 15


def test_what_a_method_writes_into_its_task_changes_no_other_run(domain_set):
    def rude(task, seed):
        for inputs in (task.source, task.target):
            rows = inputs.tensor.numpy()
            rows -= 100.0
        task.source_labels[:] = 0
        yield Checkpoint(1, predict)

    def predict(inputs):
        rows = inputs.load(np.arange(len(inputs)))
        return Outputs(rows, rows[:, :4])

    def polite(task, seed):
        rows, labels = task.source.load(np.arange(len(task.source))), torch.from_numpy(task.source_labels.copy())
        centres = torch.stack([rows[labels == label].mean(0) for label in range(4)])

        def near(inputs):
            content = inputs.load(np.arange(len(inputs)))
            return Outputs(content, -torch.cdist(content, centres))

        yield Checkpoint(1, near)

    pairs = scenarios(domain_set, [("A", "W"), ("W", "A")])
    before = [pair.source.inputs.tensor.clone() for pair in pairs]
    alone = benchmark({"polite": polite}, pairs, seeds=1)
    beside = [done for done in benchmark({"rude": rude, "polite": polite}, pairs, seeds=1) if done.method == "polite"]
    assert [done.checkpoints for done in alone] == [done.checkpoints for done in beside]
    assert all(torch.equal(rows, pair.source.inputs.tensor) for rows, pair in zip(before, pairs, strict=True))


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_the_labels_that_scores_are_told_cannot_be_written_by_a_method(domain_set, holdout):
    """A method that always says class 0 and makes all labels 0 is right on no more source rows than those of class 0."""

    def liar(task, seed):
        task.source_labels[:] = 0
        if task.source_held_out_labels is not None:
            task.source_held_out_labels[:] = 0
        yield Checkpoint(
            1, lambda inputs: Outputs(torch.zeros(len(inputs), 2), torch.eye(4)[[0] * len(inputs)].clone())
        )

    pair = scenarios(domain_set, [("A", "W")])[0]
    (done,) = benchmark({"liar": liar}, [pair], seeds=1, holdout=holdout)
    split = pair.split(0, holdout)
    told = pair.source.labels[split.source_held_out if holdout else split.source]
    assert done.checkpoints[0]["scores"]["source_accuracy"] == pytest.approx((told == 0).mean())
    assert done.checkpoints[0]["accuracy"] == pytest.approx((pair.target.labels == 0).mean())
