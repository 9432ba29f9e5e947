import pickle

import numpy as np
import pytest
import torch

from dalib.data import Domain, DomainSet, ImageFiles, TensorInputs, arrays, datasets, select_rows


def domain(name="desk", rows=3, classes=("mug", "pen")):
    inputs = TensorInputs(torch.arange(2.0 * rows).reshape(rows, 2))
    return Domain(name, inputs, np.arange(rows) % len(classes), classes)


def test_load_takes_rows_in_the_order_asked_and_repeats_them():
    inputs = TensorInputs(torch.arange(6.0).reshape(3, 2))
    assert inputs.load(np.array([2, 0, 2])).tolist() == [[4, 5], [0, 1], [4, 5]]


def test_fingerprint_depends_on_values_shape_and_order_and_on_nothing_else():
    x = torch.arange(6.0).reshape(3, 2)
    same = TensorInputs(x.T.contiguous().T)  # other strides, same values
    assert TensorInputs(x).fingerprint() == same.fingerprint()
    others = [x.reshape(2, 3), x.flip(0), x + 1, x.double()]
    assert len({TensorInputs(y).fingerprint() for y in [x, *others]}) == 5


def test_domain_and_set_fingerprints_see_labels_classes_and_names():
    first = domain()
    relabelled = Domain("desk", first.inputs, np.array([1, 0, 1]), first.classes)
    renamed = Domain("desk", first.inputs, first.labels, ("mug", "pencil"))
    sets = [DomainSet("s", {"desk": d}) for d in (first, relabelled, renamed)]
    sets.append(DomainSet("s", {"lab": domain("lab")}))
    assert len({s.fingerprint() for s in sets}) == 4
    assert sets[0].fingerprint() == DomainSet("other name", {"desk": domain()}).fingerprint()


def test_labels_are_copied_and_cannot_be_written():
    labels = np.array([0, 1, 0])
    made = Domain("desk", domain().inputs, labels, ("mug", "pen"))
    labels[:] = 1
    assert made.labels.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="read-only"):
        made.labels[0] = 1


def test_a_set_survives_pickling():
    both = arrays({"a": (np.eye(2), [0, 1]), "b": (np.eye(2), [1, 0])})
    assert pickle.loads(pickle.dumps(both)).fingerprint() == both.fingerprint()


def test_select_rows_is_the_same_for_rows_in_memory_and_for_others():
    class Lazy:
        def __len__(self):
            return 4

        def load(self, index, *, training=False, generator=None):
            return torch.arange(8.0).reshape(4, 2)[torch.as_tensor(index)]

        def fingerprint(self):
            return "lazy"

    rows = np.array([3, 1])
    stored = select_rows(TensorInputs(torch.arange(8.0).reshape(4, 2)), rows)
    lazy = select_rows(Lazy(), rows)
    assert isinstance(stored, TensorInputs)
    assert not isinstance(lazy, TensorInputs)
    index = torch.tensor([1, 0, 1])
    assert torch.equal(stored.load(index), lazy.load(index))
    assert stored.load(np.array([0])).tolist() == [[6, 7]]
    assert lazy.fingerprint() != select_rows(Lazy(), rows[::-1].copy()).fingerprint()


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["amazon", "dslr", "webcam"], ["A", "D", "W"]),
        (["art", "amazon", "product"], ["Ar", "Am", "P"]),
        (["a", "ab"], ["A", "Ab"]),
        (["c1", "c2", "x"], ["C1", "C2", "X"]),
        (["new", "new york", "real_world", "real"], ["New", "New y", "Real_w", "Real"]),
    ],
)
def test_short_names_are_the_shortest_different_prefixes(names, short):
    made = DomainSet("s", {name: domain(name) for name in names})
    assert list(made.short_names.values()) == short


def test_names_that_differ_in_case_alone_are_refused():
    with pytest.raises(ValueError, match="names that differ in more than case, got 'Real' and 'real'"):
        DomainSet("s", {name: domain(name) for name in ("Real", "art", "real")})


def test_pairs_are_all_ordered_pairs():
    made = DomainSet("s", {name: domain(name) for name in "abc"})
    assert made.pairs() == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TensorInputs([1.0]), TypeError, "tensor must be a torch.Tensor, got list"),
        (lambda: TensorInputs(torch.zeros(2, 2).int()), TypeError, "floating-point"),
        (lambda: TensorInputs(torch.zeros(0, 2)), ValueError, r"at least one row, got \(0, 2\)"),
        (lambda: TensorInputs(torch.tensor([[float("nan")]])), ValueError, "tensor must be finite"),
        (lambda: Domain("", domain().inputs, np.zeros(3, int), ("a",)), TypeError, "name must be"),
        (
            lambda: Domain("d ", domain().inputs, np.zeros(3, int), ("a",)),
            ValueError,
            "not begin or end with blanks, got 'd '",
        ),
        (lambda: Domain("d", torch.zeros(3, 2), np.zeros(3, int), ("a",)), TypeError, "wrap a tensor in TensorInputs"),
        (lambda: Domain("d", domain().inputs, np.zeros(3), ("a",)), TypeError, "must be integers, got float64"),
        (
            lambda: Domain("d", domain().inputs, np.zeros(2, int), ("a",)),
            ValueError,
            r"shape \(3,\), one a row, got \(2,",
        ),
        (
            lambda: Domain("d", domain().inputs, np.array([0, 1, 2]), ("a", "b")),
            ValueError,
            r"0\.\.1, got values in 0\.\.2",
        ),
        (lambda: Domain("d", domain().inputs, np.array([0, -1, 0]), ("a", "b")), ValueError, r"got values in -1\.\.0"),
        (lambda: Domain("d", domain().inputs, np.zeros(3, int), ("a", "a")), ValueError, "got twice: a"),
        (lambda: Domain("d", domain().inputs, np.zeros(3, int), "ab"), TypeError, "sequence of names, got str"),
        (lambda: DomainSet("s", {}), ValueError, "at least one domain, got none"),
        (lambda: DomainSet("s", [domain()]), TypeError, "must be a mapping"),
        (lambda: DomainSet("s", {"x": domain("y")}), ValueError, "got key 'x' for domain 'y'"),
        (lambda: select_rows(domain().inputs, np.array([3])), ValueError, r"0\.\.2, got values in 3\.\.3"),
        (lambda: select_rows(domain().inputs, np.array([], int)), ValueError, "at least one position"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_domains_with_different_classes_are_told_apart_by_name():
    two = {"a": domain("a", classes=("mug", "pen")), "b": domain("b", classes=("mug", "ruler"))}
    with pytest.raises(ValueError, match="a lacks ruler; b lacks pen"):
        DomainSet("s", two)
    order = {"a": domain("a", classes=("mug", "pen")), "b": domain("b", classes=("pen", "mug"))}
    with pytest.raises(ValueError, match="different orders in a and b"):
        DomainSet("s", order)


def test_a_mask_is_no_list_of_positions(tmp_path):
    lazy = datasets({"a": [(torch.tensor([float(k)]), 0) for k in range(3)]}).domains["a"].inputs
    image = pytest.importorskip("PIL.Image", reason="needs Pillow").new("RGB", (4, 4))
    for number in range(3):
        image.save(tmp_path / f"{number}.png")
    pictures = ImageFiles([f"{number}.png" for number in range(3)], root=tmp_path)
    stored = TensorInputs(torch.zeros(3, 1))
    for inputs in (stored, lazy, pictures, select_rows(lazy, np.array([2, 1, 0]))):
        for mask in (np.array([True, False, True]), torch.tensor([True, False, True])):
            with pytest.raises(TypeError, match=r"index must hold integers, got bool; np\.flatnonzero makes positions"):
                inputs.load(mask)
            with pytest.raises(TypeError, match="rows must hold integers, got bool"):
                select_rows(inputs, mask)
        for wrong in ([-1], [0, 3]):
            with pytest.raises(ValueError, match=r"index must lie in 0\.\.2, got values in"):
                inputs.load(wrong)
        with pytest.raises(ValueError, match=r"index must be a vector of positions, got shape \(\)"):
            inputs.load(1)
        with pytest.raises(TypeError, match="index must hold integers, got float64"):
            inputs.load([0.5])
    assert stored.load([]).shape == (0, 1)
