"""Readers of published features: SURF, digits, reviews, WISDM; on the real files, and on damaged and foreign ones."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from sklearn.neighbors import KNeighborsClassifier

from dalib.data import MANIFESTS, amazon_reviews, digits, digits_jda, office_caltech_surf, wisdm
from dalib.data._matlab import matlab_arrays
from dalib.data._scaling import z_scores

DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not in {DATA}; set DALIB_DATA")


def nearest_neighbour_accuracy(read):
    found = {}
    for names in read.pairs():
        source, target = (read.domains[name] for name in names)
        one = KNeighborsClassifier(1, algorithm="brute").fit(source.inputs.tensor.numpy(), source.labels)
        pair = "".join(read.short_names[name] for name in names)
        found[pair] = round(100 * float(one.score(target.inputs.tensor.numpy(), target.labels)), 2)
    return found


# --- the real files ---------------------------------------------------------------------------------------------------


@pytest.mark.data
@needs_data
def test_office_caltech_gives_the_twelve_published_numbers():
    published = {
        "CA": 23.70, "CW": 25.76, "CD": 25.48, "AC": 26.00, "AW": 29.83, "AD": 25.48,
        "WC": 19.86, "WA": 22.96, "WD": 59.24, "DC": 26.27, "DA": 28.50, "DW": 63.39,
    }  # fmt: skip
    read = office_caltech_surf(DATA / "office_caltech10_surf")
    assert nearest_neighbour_accuracy(read) == pytest.approx(published, abs=0.01)
    assert "z-scored" in read.description
    raw = office_caltech_surf(DATA / "office_caltech10_surf", normalize=False)
    assert raw.domains["dslr"].inputs.tensor.sum() == raw.domains["dslr"].inputs.tensor.long().sum()
    assert raw.fingerprint() != read.fingerprint()


@pytest.mark.data
@needs_data
def test_the_digits_of_the_jda_paper_give_its_numbers():
    assert nearest_neighbour_accuracy(digits_jda(DATA / "digits_jda")) == {"UM": 44.70, "MU": 65.94}
    raw = digits_jda(DATA / "digits_jda" / "USPS_vs_MNIST.mat", normalize=False)
    assert float(raw.domains["mnist"].inputs.tensor.max()) == pytest.approx(255 / 256)


@pytest.mark.data
@needs_data
def test_real_reviews():
    read = amazon_reviews(DATA / "amazon_reviews_400")
    assert {name: len(domain) for name, domain in read.domains.items()} == MANIFESTS["amazon_reviews"].totals()
    books = read.domains["books"].inputs.tensor
    assert float(books.mean(0).abs().max()) < 1e-6
    assert float(amazon_reviews(DATA / "amazon_reviews_400", normalize=False).domains["dvd"].inputs.tensor.min()) == 0


@pytest.mark.data
@needs_data
def test_real_digits_are_upright_and_labelled():
    pytest.importorskip("h5py", reason="reading usps.h5 needs h5py")
    read = digits(DATA, size=16)
    assert read.description == "usps train and test; mnist test; 16 x 16 pixels"
    usps, mnist = read.domains["usps"], read.domains["mnist"]
    assert (len(usps), len(mnist)) == (9298, 10000)
    assert mnist.inputs.load(np.array([0])).shape == (1, 1, 16, 16)
    # the mean of a class, less the mean of all, looks most like the same class of the other set: the labels mean the
    # same digits, and both sets stand upright (7 of 10 agree; after a transposition 1, mirrored 2)
    means = [
        np.stack([d.inputs.tensor[d.labels == k].mean(0).flatten().numpy() for k in range(10)]) for d in (mnist, usps)
    ]
    likeness = np.corrcoef(*[own - own.mean(0) for own in means])[:10, 10:]
    assert (likeness.argmax(1) == np.arange(10)).sum() >= 7


@pytest.mark.data
@needs_data
def test_real_wisdm_people_and_groups():
    read = wisdm(DATA / "wisdm_v11")
    assert (len(read.domains), sum(map(len, read.domains.values()))) == (36, 5418)
    assert np.unique(read.domains["user09"].labels).tolist() == [5]  # nine walked, and nothing else
    two = wisdm(DATA / "wisdm_v11", groups={"first": range(1, 19), "second": (20, 19)}, normalize=False)
    assert (list(two.domains), len(two.domains["second"])) == (["first", "second"], 229 + 273)
    assert sum(np.bincount(two.domains["first"].labels)) == len(two.domains["first"])


# --- foreign and damaged files ----------------------------------------------------------------------------------------


def surf_files(folder, change=None):
    """The four files of Office-Caltech10 with the right sizes; ``change`` alters the content of amazon's."""
    generator = np.random.default_rng(0)
    for name, stem in (("caltech", "Caltech10"), ("amazon", "amazon"), ("webcam", "webcam"), ("dslr", "dslr")):
        rows = MANIFESTS["office_caltech_surf"].rows[name]
        content = {
            "fts": generator.integers(0, 9, (sum(rows), 3)),
            "labels": np.repeat(np.arange(1, 11), rows)[:, None],
        }
        if name == "amazon" and change:
            content |= change(content)
        scipy.io.savemat(folder / f"{stem}_SURF_L10.mat", content)
    return folder


def test_rows_are_shares_and_columns_are_z_scored_in_each_domain(tmp_path):
    read = office_caltech_surf(surf_files(tmp_path))
    raw = office_caltech_surf(tmp_path, normalize=False)
    for name, domain in read.domains.items():
        counts = raw.domains[name].inputs.tensor.double().numpy()
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        expected = (shares - shares.mean(0)) / shares.std(0)
        assert np.allclose(domain.inputs.tensor.numpy(), expected, atol=1e-6)


def test_a_constant_column_becomes_zero_whatever_its_rounding():
    x = np.column_stack([np.full(7, 0.1), np.arange(7.0)])
    assert z_scores(x)[:, 0].tolist() == [0] * 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"labels": c["labels"] - 1}, r"labels in .*amazon_SURF.* must lie in 1\.\.10, got values in 0\.\.9"),
        (lambda c: {"labels": c["labels"] + 0.5}, "must be whole numbers"),
        (lambda c: {"labels": c["labels"][:-1]}, "labels of domain 'amazon' must have shape"),
        (lambda c: {"labels": np.repeat(c["labels"], 2, axis=1)}, "one row or column of numbers"),
        (lambda c: {"labels": 11 - c["labels"]}, r"not usable: .*98 rows of amazon/back_pack instead of 92"),
        (lambda c: {"fts": c["fts"][:, 0]}, "not usable|must have shape|must be a matrix"),
        (lambda c: {"fts": np.where(c["fts"] == 3, np.nan, c["fts"])}, r"fts in .*NaN or infinity in \d+ of 958 rows"),
        (
            lambda c: {"fts": np.array([{"a": 1}], dtype=object)},
            r"amazon_SURF_L10\.mat: fts in it must be numbers or texts, got a MATLAB",
        ),
        (
            lambda c: {"fts": np.array([["word"] * 3] * 958)},
            "fts in it must be numbers or texts, got texts in 3 dimensions",
        ),
        (lambda c: {"fts": np.array(["word"] * 958)}, "must be a matrix of numbers"),
    ],
)
def test_errors_of_matlab_files_name_file_and_variable(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        office_caltech_surf(surf_files(tmp_path, change))


def test_missing_and_damaged_matlab_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold Caltech10_SURF_L10.mat, got no such file"):
        office_caltech_surf(tmp_path)
    surf_files(tmp_path)
    path = tmp_path / "amazon_SURF_L10.mat"
    whole = path.read_bytes()
    for broken in (b"", b"no matrix", whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"amazon_SURF_L10\.mat"):
            office_caltech_surf(tmp_path)
    scipy.io.savemat(path, {"features": np.eye(2)})
    with pytest.raises(ValueError, match="must hold fts, labels, got no fts, labels"):
        office_caltech_surf(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_variables_are_what_scipy_reads(tmp_path, packed):
    generator = np.random.default_rng(0)
    content = {
        f"v{number}": generator.integers(0, 2, (3, number % 4 + 1)).astype(kind)
        for number, kind in enumerate(("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "bool"))
    }
    content |= {"cube": generator.random((2, 3, 4)), "none": np.zeros((0, 2)), "large": np.array([[2.0**60, -1e-300]])}
    content |= {"words": np.array(["mug", "Stift"]), "cell": np.array(["é", "pen"], dtype=object)}
    path = tmp_path / "all.mat"
    scipy.io.savemat(path, content | {"other": {"a": 1}}, do_compression=packed)
    read = matlab_arrays(path, content.__contains__)  # the structure is not wanted, so it does no harm
    expected = scipy.io.loadmat(path)
    assert list(read) == list(content)
    assert read.pop("cell").tolist() == ["é", "pen"]
    for name, values in read.items():
        assert np.array_equal(values, expected[name])
        assert values.dtype == expected[name].dtype


def test_a_complex_or_sparse_matrix_is_refused(tmp_path):
    for value, message in [
        (1j * np.eye(2), "x in it must be numbers or texts, got a MATLAB complex matrix"),
        (scipy.sparse.eye(2), r"got a MATLAB sparse matrix: save full\(x\)"),
    ]:
        scipy.io.savemat(tmp_path / "x.mat", {"x": value})
        with pytest.raises(ValueError, match=message):
            matlab_arrays(tmp_path / "x.mat", lambda name: True)


@pytest.mark.parametrize("packed", [False, True])
def test_any_damage_to_a_matlab_file_is_one_named_error(tmp_path, packed):
    """Files like these end the process inside scipy's reader."""
    content = {"x": np.eye(9), "y": np.arange(9), "words": np.array(list("abc"))}
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, content, do_compression=packed)
    whole, generator, messages = path.read_bytes(), np.random.default_rng(0), []
    for trial in range(300):
        broken = bytearray(whole)
        for place in generator.integers(126, len(whole), 1 + trial % 4):
            broken[place] = generator.integers(0, 256)
        path.write_bytes(broken[: generator.integers(0, len(whole))] if trial % 3 == 0 else broken)
        try:
            matlab_arrays(path, lambda name: True)  # a changed value may go unnoticed
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("x.mat" in message for message in messages)


def test_a_matlab_file_of_version_73(tmp_path):
    h5py = pytest.importorskip("h5py", reason="version 7.3 needs h5py")
    surf_files(tmp_path)
    expected = office_caltech_surf(tmp_path).fingerprint()
    content = scipy.io.loadmat(tmp_path / "amazon_SURF_L10.mat")
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        for name in ("fts", "labels"):
            file[name] = content[name].T
    (tmp_path / "new.mat").rename(tmp_path / "amazon_SURF_L10.mat")
    assert office_caltech_surf(tmp_path).fingerprint() == expected


def test_reviews_of_wrong_size(tmp_path):
    for name, rows in (("books", 2000), ("dvd", 1999), ("elec", 1997), ("kitchen", 1999)):
        labels = (np.arange(rows) >= 1000).astype(float)
        scipy.io.savemat(tmp_path / f"{name}_400.mat", {"fts": np.ones((rows, 2)), "labels": labels[:, None]})
    with pytest.raises(ValueError, match="997 rows of electronics/1 instead of 998"):
        amazon_reviews(tmp_path)


def idx(path, values):
    values = np.asarray(values, dtype=np.uint8)
    head = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, dtype=">u4").tobytes()
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(head + values.tobytes())


def digit_files(folder):
    h5py = pytest.importorskip("h5py", reason="reading usps.h5 needs h5py")
    generator = np.random.default_rng(0)
    with h5py.File(folder / "usps.h5", "w") as file:
        for part, rows in (("train", 7291), ("test", 2007)):
            file[f"{part}/data"] = generator.random((rows, 256), dtype=np.float32)
            file[f"{part}/target"] = np.arange(rows) % 10
    (folder / "MNIST" / "raw").mkdir(parents=True)
    idx(folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte", np.full((10000, 28, 28), 51))
    idx(folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz", np.arange(10000) % 10)
    return folder


def test_digits_of_any_size_and_their_errors(tmp_path):
    h5py = pytest.importorskip("h5py", reason="reading usps.h5 needs h5py")
    read = digits(digit_files(tmp_path), size=8, channels=3)
    assert np.allclose(read.domains["mnist"].inputs.load(np.array([3])), 51 / 255)
    assert read.domains["usps"].inputs.tensor.shape == (9298, 3, 8, 8)
    assert read.domains["usps"].labels[7291] == 0  # the test part follows
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        digits(tmp_path, size=0)
    labels = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    for broken, message in [
        (gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 9))), r"must hold \(9,\) values, got 0 bytes"),
        (gzip.compress(b"\x00\x00\x0d\x01"), "in MNIST's format with 1 dimensions"),
        (labels.read_bytes()[:-9], "must be a whole gzip file"),
    ]:
        labels.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            digits(tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="must hold both files of MNIST's test part"):
        digits(tmp_path)
    idx(labels, np.arange(10000) % 11)
    with pytest.raises(ValueError, match=r"labels of test of MNIST .* must lie in 0\.\.9, got values in 0\.\.10"):
        digits(tmp_path)
    idx(labels, np.arange(9999) % 10)
    with pytest.raises(ValueError, match="one integer label a row"):
        digits(tmp_path)
    idx(labels, np.arange(10000) % 10)
    with h5py.File(tmp_path / "usps.h5", "a") as file:
        file["test/data"][4, 7] = np.nan
    with pytest.raises(ValueError, match=r"test in .*usps.h5 must be finite, .* the first is row 4"):
        digits(tmp_path)
    with h5py.File(tmp_path / "usps.h5", "a") as file:
        file["test/data"][4, 7] = 255
    with pytest.raises(ValueError, match=r"must have grey values in \[0, 1\]"):
        digits(tmp_path)
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"usps.h5 must be a file of HDF5 with train and test"):
        digits(tmp_path)
    (tmp_path / "usps.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"usps.h5 must be a file of HDF5"):
        digits(tmp_path)


def arff(path, rows=5418, change=None):
    cells = [[str(k), str(k % 36 + 1), *["0.5"] * 42, str(k), "Walking"] for k in range(rows)]
    if change:
        change(cells)
    text = '@relation r\n@attribute "user" numeric\n@data\n' + "\n".join(",".join(row) for row in cells)
    path.write_text(text)
    return path


def test_unknown_values_become_the_mean_of_the_column_in_the_domain(tmp_path):
    def unknown(cells):
        cells[0][2] = cells[36][3] = "?"  # windows 0, 36, 72, ... are of user 1
        for row in cells[1::36]:
            row[2] = "?"

    read = wisdm(arff(tmp_path / "a.arff", change=unknown), normalize=False)
    first, second = (read.domains[name].inputs.tensor for name in ("user01", "user02"))
    assert first[0, 0] == first[1, 1] == 0.5
    assert second[:, 0].unique().tolist() == [0]
    assert first[:3, 42].tolist() == [0, 36, 72]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells.pop(), "must hold 5418 windows, got 5417"),
        (lambda cells: cells[1].pop(), "line 5 must have 46 values, got 45"),
        (lambda cells: cells[1].__setitem__(1, "37"), "must name a person from 1 to 36, got '37'"),
        (lambda cells: cells[1].__setitem__(5, "nan"), r"must hold numbers or '\?', got 'nan'"),
        (lambda cells: cells[1].__setitem__(5, "x"), r"must hold numbers or '\?', got 'x'"),
        (lambda cells: cells[1].__setitem__(-1, "Flying"), "must end in one of Downstairs, .*, got 'Flying'"),
    ],
)
def test_errors_of_wisdm_name_the_line(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        wisdm(arff(tmp_path / "a.arff", change=change))
    assert "a.arff" in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([1], TypeError, "groups must be a mapping"),
        ({"a": 1}, TypeError, r"groups\['a'\] must be a sequence of integers"),
        ({"a": ["1"]}, TypeError, "must hold integers, got '1'"),
        ({"a": [37]}, ValueError, "people from 1 to 36, got 37"),
        ({"a": [1], "b": [1]}, ValueError, "every person once, got 1 in a and b"),
        ({"a": []}, ValueError, "at least one person"),
    ],
)
def test_errors_of_groups(groups, error, message):
    with pytest.raises(error, match=message):
        wisdm("no/matter", groups=groups)


def test_files_that_are_no_arff(tmp_path):
    (tmp_path / "a.arff").write_text("5418 rows")
    with pytest.raises(ValueError, match="got no line @data"):
        wisdm(tmp_path / "a.arff")
    (tmp_path / "a.arff").write_bytes(b"@data\n\xff")
    with pytest.raises(ValueError, match="text in UTF-8, got other bytes at position 6"):
        wisdm(tmp_path / "a.arff")
    (tmp_path / "a.arff.gz").write_bytes(gzip.compress(b"@data")[:-4])
    with pytest.raises(ValueError, match="whole gzip file"):
        wisdm(tmp_path / "a.arff.gz")
    with pytest.raises(FileNotFoundError, match="a folder without it"):
        wisdm(tmp_path)
