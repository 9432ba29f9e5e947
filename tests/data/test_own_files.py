"""Readers of one's own data: tables, MATLAB files, data sets of torch; duplicates; files that are cut off."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
import torch
from torch.utils.data import IterableDataset, TensorDataset

from dalib.data import (
    Domain,
    DomainSet,
    ImageFiles,
    TensorInputs,
    arrays,
    datasets,
    duplicates,
    feature_file,
    image_list,
    row_batches,
    table_file,
)

PIL = pytest.importorskip("PIL.Image", reason="needs Pillow")
features = pytest.importorskip("PIL.features", reason="needs Pillow")
X = np.eye(2)

# --- tables -----------------------------------------------------------------------------------------------------------


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_of_text_and_one_of_numbers(tmp_path):
    text = 'width,"the domain",height,kind\n1,"shop, old",2e0,pen\n3,desk,4,mug\n\n5,"shop, old",-6,mug\n7,desk,8,pen\n'
    read = table_file(write(tmp_path / "a.csv", text), domain="the domain", label="kind", name="mine")
    assert (read.name, list(read.domains), read.classes) == ("mine", ["shop, old", "desk"], ("mug", "pen"))
    assert read.domains["shop, old"].inputs.tensor.tolist() == [[1, 2], [5, -6]]
    assert read.domains["shop, old"].labels.tolist() == [1, 0]
    numbered = "domain,label,x\n" + "".join(f"{d},{k},{k}\n" for d in "ab" for k in (10, 9, -1))
    assert table_file(write(tmp_path / "b.CSV", numbered)).classes == ("-1", "9", "10")
    padded = "domain,label,x\n" + "".join(f"{d},{k:03},{k}\n" for d in "ab" for k in (10, 9, 1))
    assert table_file(write(tmp_path / "c.csv", padded)).classes == ("001", "009", "010")
    assert table_file(tmp_path / "c.csv", classes=["010", "009", "001"]).domains["a"].labels.tolist() == [0, 1, 2]
    long = "99999999999999999999"
    assert table_file(write(tmp_path / "d.csv", f"domain,label,x\na,{long},1\na,3,2\n")).classes == ("3", long)
    arabic = "domain,label,x\na,3,1\na,\u0663,2\n"  # the digit three of another script
    assert table_file(write(tmp_path / "e.csv", arabic)).domains["a"].labels.tolist() == [0, 1]
    named = table_file(tmp_path / "b.CSV", classes=["9", "10", "-1", "7"])
    assert named.domains["a"].labels.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "must have a first line with the names of the columns"),
        (",domain,label,x\n0,a,0,1\n", {}, "an empty name in column 1; .* left out by to_csv\\(index=False\\)"),
        ("domain;label;x\na;0;1\n", {}, "must have columns with commas between them, got the one column 'domain;label"),
        ("domain,label,x\n", {}, "and rows below it, got none"),
        ("domain,label,x\na,0,1\nb,0\n", {}, "line 3 must have 3 values as the first line has, got 2"),
        ("domain,label,x,x\na,0,1,1\n", {}, "every column once .* got 'domain', 'label', 'x', 'x'"),
        ("place,label,x\na,0,1\n", {}, "must have a column 'domain', got 'place', 'label', 'x'; name it with domain="),
        ("domain,kind,x\na,0,1\n", {}, "must have a column 'label', .* name it with label="),
        ("domain,label\na,0\n", {}, "columns of numbers beside"),
        ("domain,label,x\na,0,one\n", {}, "column 'x' of .* must hold numbers, got 'one' in line 2"),
        ("domain,label,x\n\na,0,1\n\na,0,1\n\na,0,one\n", {}, "must hold numbers, got 'one' in line 7"),
        ("domain,label,x\n\na,0,1\n\na,0,inf\n", {}, "must be finite, got inf in line 5"),
        ("domain,label,x\na,0,1\na,1,nan\n", {}, "column 'x' of .* must be finite, got nan in line 3"),
        ("domain,label,x\na,0,\n", {}, "column 'x' of .* must hold numbers, got '' in line 2"),
        ("domain,label,x\na,,1\n", {}, "column 'label' of .* a value in every row, got none in line 2"),
        ("domain,label,x\na,1,1\na,2,1\na,01,1\n", {}, "must write a number in one way, got '1', and '01' in line 4"),
        (",label,x\na,0,1\n", {"domain": "place"}, "must have a column 'place'"),
        ("domain,label,x\na,0,1\nb,1,1\n", {}, "not usable: .*a lacks 1; b lacks 0; name all classes"),
        ("domain,label,x\na,u,1\n", {"classes": ["v"]}, "not usable: labels of domain 'a' must be among the classes"),
        ('domain,label,x\na,"u"x,1\n', {}, "line 2 must be CSV"),
        (b"domain,label,x\na,\xff,1\n", {}, "must be text in UTF-8, got byte 0xff"),
    ],
)
def test_errors_of_a_table_name_file_and_place(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        table_file(write(tmp_path / "a.csv", text), **options)
    assert "a.csv" in str(caught.value)


def test_other_files_are_sent_to_their_reader(tmp_path):
    with pytest.raises(FileNotFoundError, match="which is not there"):
        table_file(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"read \.npz and \.mat files with feature_file"):
        table_file(write(tmp_path / "a.npz", ""))
    with pytest.raises(ValueError, match="read it with table_file"):
        feature_file(write(tmp_path / "a.csv", ""))


def test_parquet_where_pandas_can_read_it(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="Parquet needs pandas")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    frame = pandas.DataFrame(
        {"domain": ["a", "b", "a", "b"], "label": [1, 1, 0, 0], "x": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]}
    )
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    assert table_file(path).domains["b"].inputs.tensor.tolist() == [[2, 1], [4, 1]]
    assert table_file(path).domains["b"].labels.tolist() == [1, 0]
    for change, message in [
        ({"label": [1.5, 1, 0, 0]}, "whole numbers or texts"),
        ({"label": ["u", None, "u", "u"]}, "got none in row 2"),
        ({"x": [1, np.nan, 1, 1]}, "must be finite, got nan in row 2"),
        ({"x": ["1", "u", "1", "1"]}, "must hold numbers"),
        ({"label": pandas.array([1, None, 0, 0], dtype="Int64")}, "got none in row 2"),
        ({"x": pandas.to_datetime(["2020"] * 4)}, r"column 'x' of .* must hold numbers, got datetime64"),
    ]:
        frame.assign(**change).to_parquet(path)
        with pytest.raises(ValueError, match=message):
            table_file(path)
    frame[:0].to_parquet(path)
    with pytest.raises(ValueError, match="must have rows, got none"):
        table_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ("Int64", [1, None])}, "column 'label' of .* a value in every row, got none in row 2"),
        ({"domain": ("string", ["a", None])}, "column 'domain' of .* a value in every row, got none in row 2"),
        ({"x": ("Float64", [1, None])}, "column 'x' of .* (got '<NA>'|be finite, got nan) in row 2"),
        ({"x": ("datetime64[ns]", ["2020-01-01", "2020-01-02"])}, r"must hold numbers, got datetime64\[ns\]"),
    ],
)
def test_missing_values_and_times_of_parquet_are_named(change, message, tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="Parquet needs pandas")
    columns = {"domain": ("object", ["a", "a"]), "label": ("int64", [0, 1]), "x": ("float64", [1, 2])} | change
    frame = pandas.DataFrame({name: pandas.Series(values, dtype=kind) for name, (kind, values) in columns.items()})
    monkeypatch.setattr(pandas, "read_parquet", lambda path: frame)
    with pytest.raises(ValueError, match=message):
        table_file(write(tmp_path / "a.parquet", ""))


def test_a_damaged_parquet_file_and_one_without_pandas(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", "PAR1 and nothing more")
    with pytest.raises((ValueError, ImportError), match=r"must be a readable file of Parquet|needs pandas and pyarrow"):
        table_file(path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"reading Parquet needs pandas and pyarrow: pip install 'dalib\[parquet\]'"):
        table_file(path)


# --- MATLAB -----------------------------------------------------------------------------------------------------------


def test_a_matlab_file_of_features(tmp_path):
    content = {
        "shop_x": X, "shop_y": np.array([[0.0], [1.0]]), "desk_x": X, "desk_y": np.array([[1, 0]]),
        "classes": np.array(["mug", "fountain pen"]),
    }  # fmt: skip
    scipy.io.savemat(tmp_path / "set.mat", content)
    read = feature_file(tmp_path / "set.mat")
    assert read.classes == ("mug", "fountain pen")
    assert [domain.labels.tolist() for domain in read.domains.values()] == [[0, 1], [1, 0]]
    scipy.io.savemat(tmp_path / "set.mat", content | {"classes": np.array(["mug", "fountain pen"], dtype=object)})
    assert feature_file(tmp_path / "set.mat").fingerprint() == read.fingerprint()
    for change, message in [
        ({"desk_y": np.array([[1, 2]])}, r"must lie in 0\.\.1, got values in 1\.\.2"),
        ({"desk_y": np.array([[0.5, 1]])}, "desk_y in .* must be whole numbers"),
        (
            {"desk_x": np.array([{"a": 1}, {}], dtype=object)},
            r"set\.mat: desk_x in it must be numbers or texts, got a MATLAB",
        ),
        ({"desk_x": {"a": 1}}, r"set\.mat: desk_x in it must be numbers or texts, got a MATLAB structure"),
        ({"classes": np.array([1, 2])}, "classes in .* must be a vector of strings"),
    ]:
        scipy.io.savemat(tmp_path / "set.mat", content | change)
        with pytest.raises(ValueError, match=message) as caught:
            feature_file(tmp_path / "set.mat")
        assert "set.mat" in str(caught.value)
    scipy.io.savemat(tmp_path / "set.mat", {key: content[key] for key in ("shop_x", "desk_x")})
    with pytest.raises(ValueError, match="missing: shop_y, desk_y, classes"):
        feature_file(tmp_path / "set.mat")


def test_texts_of_a_matlab_file_may_be_filled_up_and_extra_variables_anything(tmp_path):
    content = {
        "shop_x": X,
        "shop_y": np.array(["mugs", "pen"]),
        "classes": np.array(["mugs", "pen"]),
        "about": {"a": 1},
    }
    scipy.io.savemat(tmp_path / "set.mat", content)
    assert feature_file(tmp_path / "set.mat").domains["shop"].labels.tolist() == [0, 1]


def matlab_73(path, classes, **sizes):
    """A file as MATLAB's save(..., '-v7.3') writes it: all is transposed, a cell holds references."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")

    def put(place, name, values, kind):
        dataset = place.create_dataset(name, data=values)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        return dataset

    with h5py.File(path, "w", userblock_size=512) as file:
        for name in ("shop", "desk"):
            put(file, f"{name}_x", np.array([[1.0, 3], [2, 4]]), "double")
            put(file, f"{name}_y", np.array([[0.0, 1]]), "double")
        parts = [
            put(file, f"#refs#/{k}", np.array([[ord(sign)] for sign in text], "u2"), "char")
            if isinstance(text, str)
            else put(file, f"#refs#/{k}", np.array([[text]]), "double")
            for k, text in enumerate(classes)
        ]
        put(file, "classes", np.array([[part.ref for part in parts]], dtype=h5py.ref_dtype), "cell")
        for name, size in sizes.items():
            del file[name]
            put(file, name, np.array(size, "u8"), "double").attrs["MATLAB_empty"] = np.uint8(1)
    return path


def test_a_matlab_file_of_version_73_may_hold_its_classes_in_a_cell(tmp_path):
    read = feature_file(matlab_73(tmp_path / "set.mat", ["mug", "fountain pen"]))
    assert read.classes == ("mug", "fountain pen")
    assert read.domains["desk"].inputs.tensor.tolist() == [[1, 2], [3, 4]]
    assert read.domains["desk"].labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"set\.mat: .*a MATLAB cell array of other things than texts"):
        feature_file(matlab_73(tmp_path / "set.mat", ["mug", 3.0]))
    with pytest.raises(ValueError, match=r"inputs of domain 'desk' must have shape .* got \(0, 2\)"):
        feature_file(matlab_73(tmp_path / "set.mat", ["mug", "pen"], desk_x=[0, 2]))


# --- data sets --------------------------------------------------------------------------------------------------------


class Words:
    """A data set that counts its reads, with labels that are words."""

    def __init__(self, labels, targets=None):
        self.labels = labels
        self.reads = 0
        if targets is not None:
            self.targets = targets

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, k):
        self.reads += 1
        return np.full((2, 3), float(k)), self.labels[k]


def test_data_sets_are_read_when_asked_for():
    shop, desk = Words(["pen", "mug", "pen"]), Words(["mug", "?", "?"], targets=["mug", "pen", "pen"])
    read = datasets({"shop": shop, "desk": desk})
    assert read.classes == ("mug", "pen")
    assert [domain.labels.tolist() for domain in read.domains.values()] == [[1, 0, 1], [0, 1, 1]]
    assert desk.reads == 3  # the first item alone: the labels came from targets
    assert read.domains["desk"].inputs.load(np.array([2, 0]))[:, 1, 1].tolist() == [2, 0]
    assert read.domains["shop"].inputs.fingerprint() == read.domains["desk"].inputs.fingerprint()
    batches = row_batches(read.domains["shop"].inputs, labels=read.domains["shop"].labels, batch_size=3)
    assert next(iter(batches)).inputs.shape == (3, 2, 3)


def test_data_sets_and_arrays_are_the_same_set():
    rows, labels = torch.randn(5, 3), torch.tensor([1, 0, 1, 0, 2])
    given = {"shop": (rows, labels), "desk": (rows + 1, labels)}
    lazy = datasets({key: TensorDataset(*pair) for key, pair in given.items()}, classes=["a", "b", "c"])
    ready = arrays(given, classes=["a", "b", "c"])
    for name in given:
        assert torch.equal(lazy.domains[name].inputs.load(torch.arange(5)), ready.domains[name].inputs.tensor)
        assert lazy.domains[name].labels.tolist() == ready.domains[name].labels.tolist()


def test_labels_are_those_of_the_items_where_targets_are_others():
    shop = Words([1, 0], targets=[7, 3])
    assert datasets({"shop": shop}, classes=["mug", "pen"]).domains["shop"].labels.tolist() == [1, 0]
    turned = Words([0, 1], targets=[0, 0])
    for name, value in [("target_transform", abs), ("transforms", SimpleNamespace(target_transform=abs))]:
        turned.target_transform = turned.transforms = None
        assert datasets({"shop": turned}, classes=["mug", "pen"]).domains["shop"].labels.tolist() == [0, 0]
        setattr(turned, name, value)
        assert datasets({"shop": turned}, classes=["mug", "pen"]).domains["shop"].labels.tolist() == [0, 1]
    turned.transforms = SimpleNamespace(target_transform=None)  # torchvision's, of the input alone
    assert datasets({"shop": turned}, classes=["mug", "pen"]).domains["shop"].labels.tolist() == [0, 0]
    one_hot = Words([0, 1], targets=torch.eye(2))
    assert datasets({"shop": one_hot}, classes=["mug", "pen"]).domains["shop"].labels.tolist() == [0, 1]


def test_items_may_be_arrays_of_any_layout():
    x = np.arange(6.0).reshape(2, 3)
    items = [(x[:, ::-1], 0), (x.astype(">f4")[:, ::-1], 0)]
    read = datasets({"a": items}).domains["a"].inputs.load([0, 1])
    assert read.tolist() == [x[:, ::-1].tolist()] * 2


class Stream(IterableDataset):
    def __len__(self):
        return 1

    def __iter__(self):
        yield torch.zeros(2), 0


class Noise(Words):
    def __getitem__(self, k):
        return torch.rand(2), self.labels[k]


class Ragged(Words):
    def __getitem__(self, k):
        return torch.zeros(k + 1), self.labels[k]


class Holes(Words):
    def __getitem__(self, k):
        return torch.tensor([float("nan") if k else 0.0]), self.labels[k]


@pytest.mark.parametrize(
    ("domains", "error", "message"),
    [
        ([], TypeError, "domains must be a mapping"),
        ({"a": iter([])}, TypeError, r"domains\['a'\] must be a map-style data set"),
        ({"a": []}, ValueError, r"domains\['a'\] must have at least one item"),
        ({"a": [1, 2]}, TypeError, r"items of domain 'a' must be pairs \(input, label\), got int at 0"),
        ({"a": [(X, 0.5)]}, TypeError, "labels of domain 'a' must be integers or strings"),
        (
            {"a": [(X, 0), (X, torch.eye(3)[0])]},
            ValueError,
            r"labels of domain 'a' must be one integer or string an item, got shape \(3,\) at position 1; take the argmax",
        ),
        ({"a": [(X, [0, 1])]}, ValueError, r"an item, got \[0, 1\] at position 0"),
        ({"a": [("picture", 0)]}, TypeError, "with a tensor or array as input, got str at position 0"),
        ({"a": [(X * 1j, 0)]}, TypeError, "input of domain 'a' at position 0 must be numbers, got dtype complex128"),
        ({"a": [(torch.ones(2) * 1j, 0)]}, TypeError, "must be real numbers, got dtype torch.complex64"),
        ({"a": [(np.array(["u"]), 0)]}, TypeError, "input of domain 'a' at position 0 must be numbers, got dtype <U1"),
        ({"a": Stream()}, TypeError, r"domains\['a'\] must be a map-style data set with len and \[k\], got Stream"),
        ({"a": Noise([0, 1])}, ValueError, "must be the same at every read"),
        ({"a": [(X, 0)], "b": [(X, 1)]}, ValueError, "a lacks 1; b lacks 0"),
    ],
)
def test_errors_of_datasets(domains, error, message):
    with pytest.raises(error, match=message):
        datasets(domains)


def test_errors_while_items_are_read():
    ragged = datasets({"a": Ragged([0, 1])}).domains["a"].inputs
    with pytest.raises(ValueError, match=r"must have one shape, got \(1,\) and \(2,\) at position 1"):
        ragged.load(np.array([0, 1]))
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity at position 1"):
        datasets({"a": Holes([0, 1])}).domains["a"].inputs.fingerprint()


# --- duplicates -------------------------------------------------------------------------------------------------------


def test_duplicates_across_domains_and_within():
    rows = np.array([[1.0, 2], [3, 4], [1, 2], [0, 0]])
    both = arrays({"a": (rows, [0, 1, 0, 1]), "b": (np.array([[3.0, 4], [-0.0, 9], [0.0, 9]]), [1, 0, 1])})
    assert duplicates(both) == [[("a", 1), ("b", 0)]]
    assert duplicates(both, across_domains=False) == [
        [("a", 0), ("a", 2)],
        [("a", 1), ("b", 0)],
        [("b", 1), ("b", 2)],
    ]
    lazy = datasets({"a": TensorDataset(torch.tensor(rows), torch.tensor([0, 1, 0, 1]))})
    assert duplicates(lazy, across_domains=False) == [[("a", 0), ("a", 2)]]
    halves = TensorInputs(torch.tensor([[1.0, 2], [0, 4], [1, 2]], dtype=torch.bfloat16))
    half = DomainSet("s", {"a": Domain("a", halves, np.zeros(3, int), ("mug",))})
    assert duplicates(half, across_domains=False) == [[("a", 0), ("a", 2)]]
    with pytest.raises(TypeError, match="domain_set must be a DomainSet, got list"):
        duplicates([])


def test_duplicates_of_pictures_are_equal_files(tmp_path):
    for number, value in enumerate((5, 7, 5)):
        PIL.new("RGB", (4, 4), (value, 0, 0)).save(tmp_path / f"{number}.png")
    built = {
        name: Domain(name, ImageFiles(paths, root=tmp_path), np.zeros(len(paths), int), ("x",))
        for name, paths in {"a": ["0.png", "1.png"], "b": ["2.png"]}.items()
    }
    assert duplicates(DomainSet("s", built)) == [[("a", 0), ("b", 0)]]


# --- files that are cut off, and lists --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_picture_that_is_cut_off_is_named_before_it_is_needed(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    PIL.fromarray(noise).save(path)
    files = ImageFiles([path])
    whole = files.fingerprint()
    content = path.read_bytes()
    path.write_bytes(content + b"\xff\xda a trailer")  # what some cameras add does no harm
    assert ImageFiles([path]).fingerprint() != whole
    for broken in (content[: len(content) // 2], content[:-200], b""):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=rf"paths must be readable images, got .*a\.{ending}"):
            ImageFiles([path]).fingerprint()
        with pytest.raises(ValueError, match=rf"paths must be readable images, got .*a\.{ending}"):
            ImageFiles([path]).load(np.array([0]))


@pytest.mark.parametrize("ending", ["bmp", "gif", "ppm", "tif", "webp"])
def test_a_picture_of_another_format_that_is_cut_off_is_named_before_it_is_needed(tmp_path, ending):
    if ending == "webp" and not features.check("webp"):
        pytest.skip("this Pillow was built without WebP")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    PIL.fromarray(noise).save(path)
    assert ImageFiles([path]).fingerprint()
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"<!DOCTYPE html><title>404</title>"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=rf"paths must be readable images, got .*a\.{ending}"):
            ImageFiles([path]).fingerprint()


def test_a_photograph_cut_off_behind_its_thumbnail_is_named_before_it_is_needed(tmp_path):
    noise = PIL.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    noise.save(tmp_path / "a.jpg")
    noise.resize((8, 8)).save(tmp_path / "small.jpg")
    content, small = (tmp_path / "a.jpg").read_bytes(), b"Exif\0\0" + (tmp_path / "small.jpg").read_bytes()
    head = b"\xff\xd8\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    for filling in (b"", b"\xff"):  # a marker may have bytes FF before it
        (tmp_path / "a.jpg").write_bytes(head + filling + content[2:])
        assert ImageFiles([tmp_path / "a.jpg"]).fingerprint()
        (tmp_path / "a.jpg").write_bytes(head + filling + content[2:40])
        with pytest.raises(ValueError, match=r"paths must be readable images, got .*a\.jpg"):
            ImageFiles([tmp_path / "a.jpg"]).fingerprint()


def test_a_page_named_as_a_picture_is_named_before_it_is_needed(tmp_path):
    path = write(tmp_path / "a.jpg", "<!DOCTYPE html><title>404</title>")
    with pytest.raises(ValueError, match=r"paths must be readable images, got .*a\.jpg"):
        ImageFiles([path]).fingerprint()


def test_whole_jpeg_and_png_are_not_decoded_for_their_fingerprint(tmp_path, monkeypatch):
    paths = [tmp_path / "a.jpg", tmp_path / "a.png"]
    for path in paths:
        PIL.new("RGB", (4, 4)).save(path)
    monkeypatch.setattr(PIL, "open", None)
    assert ImageFiles(paths).fingerprint()


def test_a_list_in_another_encoding_is_named(tmp_path):
    PIL.new("RGB", (1, 1)).save(tmp_path / "é.png")
    PIL.new("RGB", (1, 1)).save(tmp_path / "0.png")
    lines = tmp_path / "l.txt"
    lines.write_bytes("0.png 0\né.png 0\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"l\.txt, line 2 must be text in UTF-8, got byte 0xe9"):
        image_list({"a": lines}, root=tmp_path)
    lines.write_bytes("0.png 0\né.png 0\n".encode("utf-8-sig"))
    assert len(image_list({"a": lines}, root=tmp_path).domains["a"]) == 2


def test_several_lists_a_domain_and_an_order_of_their_own(tmp_path):
    for label in ("mug", "pen", "ant"):
        (tmp_path / label).mkdir()
        PIL.new("RGB", (1, 1)).save(tmp_path / label / "0.png")
    first, second = tmp_path / "train.txt", tmp_path / "test.txt"
    first.write_text("pen/0.png 0\nmug/0.png 2\n")
    second.write_text("ant/0.png 1\n")
    read = image_list({"a": [first, second]}, root=tmp_path)
    assert read.classes == ("ant", "mug", "pen")
    assert read.domains["a"].labels.tolist() == [2, 1, 0]
    assert image_list({"a": [first, second]}, root=tmp_path, classes=("u", "v", "w")).domains["a"].labels.tolist() == [
        0,
        2,
        1,
    ]
    with pytest.raises(ValueError, match=r"lists\['a'\] must name at least one file"):
        image_list({"a": []}, root=tmp_path)
