"""The readers of arrays, feature files, image folders and image lists, and weights for a data set."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from dalib.data import (
    MANIFESTS,
    arrays,
    feature_file,
    image_folder,
    image_list,
    office31,
    with_weights,
)
from dalib.data.known_sets import OFFICE31_CLASSES, OFFICE31_COUNTS

PIL = pytest.importorskip("PIL.Image", reason="needs Pillow")
DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not in {DATA}; set DALIB_DATA")
X = np.eye(2)


def image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.new("RGB", (8, 6), (value, value, value)).save(path)


def tree(root, nesting=""):
    for place in ("shop", "desk"):
        for label in ("mug", "pen"):
            for number in range(2):
                image(root / place / nesting / label / f"{number}.png", 10 * number)
    return root


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_arrays_take_numpy_and_torch_integers_and_strings():
    numbers = arrays({"a": (X, [7, 3]), "b": (torch.eye(2, dtype=torch.float64), torch.tensor([3, 7]))})
    assert numbers.classes == ("3", "7")
    assert numbers.domains["a"].labels.tolist() == [1, 0]
    assert numbers.domains["b"].inputs.tensor.dtype == torch.float32
    words = arrays({"a": (X, np.array(["pen", "mug"], dtype=object))}, classes=["pen", "ruler", "mug"])
    assert words.domains["a"].labels.tolist() == [0, 2]


def test_arrays_of_any_layout_are_their_numbers():
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    fixed = x.astype(np.float32)
    fixed.flags.writeable = False
    layouts = (x.astype(">f8"), x.astype(">i4"), x[::-1][::-1], np.asfortranarray(x), x.astype(np.longdouble), fixed)
    for given in layouts:
        read = arrays({"a": (given, np.array([0, 1], ">i8"))}).domains["a"]
        assert read.inputs.tensor.tolist() == x.tolist()
        assert read.labels.tolist() == [0, 1]
    turned = arrays({"a": (x[:, ::-1], [0, 1])}).domains["a"].inputs.tensor
    assert turned.tolist() == x[:, ::-1].tolist()


def test_frames_are_read_as_their_numbers_and_texts():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({"u": [1.5, 2], "v": [3, 4], "w": [True, False]}, index=[7, 5])
    for x in (frame, frame.convert_dtypes()):
        for y in (
            ["pen", "mug"],
            pandas.Series(["pen", "mug"], dtype="category"),
            pandas.Series([9, 4], dtype="Int64"),
        ):
            read = arrays({"a": (x, y)}).domains["a"]
            assert read.inputs.tensor.tolist() == [[1.5, 3, 1], [2, 4, 0]]
            assert read.labels.tolist() == [1, 0]
    with pytest.raises(TypeError, match="inputs of domain 'a' must be numbers, got dtype object"):
        arrays({"a": (frame.assign(v=pandas.array([1, None], dtype="Int64")), [0, 1])})


def test_arrays_with_classes_read_integers_as_positions():
    assert arrays({"a": (X, [2, 0])}, classes=("x", "y", "z")).domains["a"].labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("domains", "options", "error", "message"),
    [
        ([], {}, TypeError, "domains must be a mapping"),
        ({}, {}, ValueError, "at least one domain"),
        ({"a": X}, {}, TypeError, r"domains\['a'\] must be a pair"),
        ({"a": (X, [0.5, 1])}, {}, TypeError, "labels of domain 'a' must be integers or strings, got dtype float64"),
        ({"a": (X, [0])}, {}, ValueError, r"labels of domain 'a' must have shape \(2,\)"),
        ({"a": (X, [[0, 1]])}, {}, ValueError, r"must have shape \(rows,\), got \(1, 2\)"),
        ({"a": (X * np.nan, [0, 1])}, {}, ValueError, "NaN or infinity in 2 of 2 rows, the first is row 0"),
        ({"a": (X * 1e60, [0, 1])}, {}, ValueError, "finite in float32"),
        ({"a": (np.array([["x"]]), [0])}, {}, TypeError, "inputs of domain 'a' must be numbers"),
        ({"a": (X * 1j, [0, 1])}, {}, TypeError, "numbers, got dtype complex128"),
        (
            {"a": (torch.eye(2).to_sparse(), [0, 1])},
            {},
            TypeError,
            "inputs .* dense tensor, got a layout torch.sparse_coo",
        ),
        ({"a": (X, torch.tensor([0, 1]).to_sparse())}, {}, TypeError, "labels of domain 'a' must be a dense tensor"),
        ({"a": (np.ma.masked_equal(X, 0), [0, 1])}, {}, ValueError, "inputs .* must have no masked entries, got 2"),
        ({"a": (X, np.ma.masked_equal([0, 1], 0))}, {}, ValueError, "labels .* must have no masked entries, got 1"),
        ({"a": (np.zeros(2), [0, 1])}, {}, ValueError, r"shape \(rows, \.\.\.\)"),
        ({"a": (X, ["u", "v"]), "b": (X, [0, 1])}, {}, TypeError, "of one kind in all domains"),
        ({"a": (X, ["u", "v"]), "b": (X, ["u", "w"])}, {}, ValueError, "a lacks w; b lacks v; name all classes"),
        ({"a": (X, ["u", "v"])}, {"classes": ("u",)}, ValueError, "among the classes, got v"),
        ({"a": (X, [0, 5])}, {"classes": ("u", "v")}, ValueError, r"must lie in 0\.\.1, got values in 0\.\.5"),
        ({"a": (X, [0, 1])}, {"classes": "uv"}, TypeError, "classes must be a sequence of names"),
    ],
)
def test_errors_of_arrays(domains, options, error, message):
    with pytest.raises(error, match=message):
        arrays(domains, **options)


# --- feature files ----------------------------------------------------------------------------------------------------

GOOD = {"shop_x": X, "shop_y": np.array([0, 1]), "desk_x": 2 * X, "desk_y": np.array([1, 0]), "classes": ["mug", "pen"]}


def test_a_feature_file_comes_back_as_it_was_written(tmp_path):
    np.savez_compressed(tmp_path / "set.npz", **GOOD, note=np.array(3))
    read = feature_file(tmp_path / "set.npz")
    assert (read.name, list(read.domains), read.classes) == ("set", ["shop", "desk"], ("mug", "pen"))
    assert read.domains["desk"].inputs.tensor.tolist() == [[2, 0], [0, 2]]
    assert read.domains["desk"].labels.tolist() == [1, 0]


def test_other_keys_of_a_feature_file_are_not_read(tmp_path):
    np.savez(tmp_path / "set.npz", **GOOD, paths=np.array(["a.png", None], dtype=object))
    assert list(feature_file(tmp_path / "set.npz").domains) == ["shop", "desk"]
    np.savez(tmp_path / "set.npz", features=X, paths=np.array([None], dtype=object))
    with pytest.raises(ValueError, match="missing: <domain>_x and <domain>_y, classes; found: features, paths"):
        feature_file(tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shop_y": None}, "missing: shop_y; found: "),
        ({"classes": None}, "missing: classes"),
        ({"shop_x": X[:1]}, r"labels of domain 'shop' must have shape \(1,\)"),
        ({"shop_x": X * np.nan}, "NaN or infinity in 2 of 2 rows"),
        ({"shop_y": np.array([0, 2])}, r"must lie in 0\.\.1, got values in 0\.\.2"),
        ({"shop_y": np.array([0.0, 1.0])}, "must be integers or strings"),
        ({"classes": np.array([1, 2])}, "classes in .* must be a vector of strings"),
        ({"classes": np.array(["mug", {}], dtype=object)}, "pickled objects, which are not read"),
    ],
)
def test_errors_of_a_feature_file_name_it(tmp_path, change, message):
    np.savez(tmp_path / "set.npz", **{key: value for key, value in (GOOD | change).items() if value is not None})
    with pytest.raises(ValueError, match=message) as caught:
        feature_file(tmp_path / "set.npz")
    assert "set.npz" in str(caught.value)


def test_files_that_are_no_archives(tmp_path):
    with pytest.raises(FileNotFoundError, match="which is not there"):
        feature_file(tmp_path / "set.npz")
    with pytest.raises(FileNotFoundError, match="a folder"):
        feature_file(tmp_path)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(ValueError, match="no such archive"):
        feature_file(tmp_path / "one.npy")
    np.savez(tmp_path / "set.npz", **GOOD)
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[130] ^= 0xFF  # inside the first array
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken at key 'shop_x'"):
        feature_file(tmp_path / "set.npz")
    (tmp_path / "set.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="no such archive"):
        feature_file(tmp_path / "set.npz")


def test_damaged_flags_and_sizes_of_a_feature_file_name_it(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, **GOOD)
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    for place, value in [(8, 1), (8, 32), (10, 77), (6, 0xFF)]:  # encrypted, patched, unknown compression and version
        broken = bytearray(content)
        broken[directory + place] = value
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"set\.npz, broken at key "):
            feature_file(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 10)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("shop_x.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"set\.npz must fit into memory, which key 'shop_x' does not"):
        feature_file(path)


# --- image folders ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nesting", ["", "images"])
def test_both_nestings_give_the_same_rows(tmp_path, nesting):
    tree(tmp_path, nesting)
    image(tmp_path / ".cache" / "mug" / "0.png")
    image(tmp_path / "shop" / nesting / ".hidden" / "0.png")
    image(tmp_path / "shop" / nesting / "mug" / ".0.png")
    (tmp_path / "shop" / nesting / "mug" / "Thumbs.db").write_bytes(b"")
    read = image_folder(tmp_path, name="mine")
    assert (read.name, list(read.domains), read.classes) == ("mine", ["desk", "shop"], ("mug", "pen"))
    assert read.domains["shop"].labels.tolist() == [0, 0, 1, 1]
    assert [path.name for path in read.domains["shop"].inputs.paths] == ["0.png", "1.png"] * 2
    assert list(image_folder(tmp_path, domains=("shop",)).domains) == ["shop"]


def test_errors_of_an_image_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="which is not there"):
        image_folder(tmp_path / "no")
    with pytest.raises(ValueError, match="one folder a domain"):
        image_folder(tmp_path)
    tree(tmp_path)
    with pytest.raises(FileNotFoundError, match="got lab; found: desk, shop"):
        image_folder(tmp_path, domains=("shop", "lab"))
    image(tmp_path / "desk" / "ruler" / "0.png")
    with pytest.raises(ValueError, match="shop lacks ruler"):
        image_folder(tmp_path)
    assert len(image_folder(tmp_path, classes=("mug", "pen", "ruler")).classes) == 3
    with pytest.raises(ValueError, match="among classes, got ruler"):
        image_folder(tmp_path, classes=("mug", "pen"))
    (tmp_path / "desk" / "stapler").mkdir()
    with pytest.raises(ValueError, match="must hold images, got none in stapler"):
        image_folder(tmp_path)
    tree(tmp_path / "nested", "images")
    (tmp_path / "nested" / "desk" / "images" / "stapler").mkdir()
    with pytest.raises(ValueError, match="must hold images, got none in stapler"):
        image_folder(tmp_path / "nested")
    for argument in ("domains", "classes"):
        with pytest.raises(TypeError, match=f"{argument} must be a sequence of names, got str"):
            image_folder(tmp_path, **{argument: "desk"})
    with pytest.raises(ValueError, match="domains must name at least one folder, got none"):
        image_folder(tmp_path, domains=())


def test_a_link_that_leads_nowhere_is_no_row_less(tmp_path):
    tree(tmp_path)
    (tmp_path / "shop" / "mug" / "2.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"got 1 of 5 that do not, such as .*2\.png"):
        image_folder(tmp_path)
    image(tmp_path / "gone.png")
    assert len(image_folder(tmp_path, domains=("shop",)).domains["shop"]) == 5


def test_wrong_nestings_are_explained(tmp_path):
    for place in ("shop", "desk"):
        image(tmp_path / "flat" / place / "images" / "0.png")
        image(tmp_path / "deep" / place / "data" / "mug" / "0.png")
        image(tmp_path / "none" / place / "0.png")
    for name in ("flat", "deep"):
        with pytest.raises(ValueError, match="the wrong nesting"):
            image_folder(tmp_path / name)
    with pytest.raises(ValueError, match="one folder a class, got no folder in it"):
        image_folder(tmp_path / "none")


# --- image lists ------------------------------------------------------------------------------------------------------


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_list_with_a_foreign_prefix_and_spaces(tmp_path):
    root = tmp_path / "office"
    image(root / "my shop" / "mug" / "a b.png")
    image(root / "my shop" / "pen" / "0.png")
    lines = ("/home/them/office/my shop/mug/a b.png 0", "", "/home/them/office/my shop/pen/0.png 1")
    read = image_list({"shop": write(tmp_path / "shop.txt", *lines)}, root=root)
    assert read.classes == ("mug", "pen")
    assert read.domains["shop"].labels.tolist() == [0, 1]
    assert [path.relative_to(root).as_posix() for path in read.domains["shop"].inputs.paths] == [
        "my shop/mug/a b.png",
        "my shop/pen/0.png",
    ]


def test_the_longest_ending_wins(tmp_path):
    image(tmp_path / "0.png")
    image(tmp_path / "shop" / "mug" / "0.png")
    image(tmp_path / "mug" / "0.png")
    read = image_list({"shop": write(tmp_path / "l.txt", "/x/shop/mug/0.png 0")}, root=tmp_path)
    assert read.domains["shop"].inputs.paths[0] == tmp_path / "shop" / "mug" / "0.png"


def test_the_longest_ending_wins_whatever_stands_before_it_in_the_list(tmp_path):
    for path in ("mug/0.png", "shop/pen/0.png", "pen/0.png"):
        image(tmp_path / path)
    lines = ("/x/shop/mug/0.png 0", "/x/shop/pen/0.png 1")
    for ordered in (lines, lines[::-1]):
        read = image_list({"shop": write(tmp_path / "l.txt", *ordered)}, root=tmp_path).domains["shop"]
        assert {path.relative_to(tmp_path).as_posix() for path in read.inputs.paths} == {"mug/0.png", "shop/pen/0.png"}


def test_a_tab_ends_a_path_and_no_other_sign_ends_a_line(tmp_path):
    names = ("a b.png", "a\x85b.png", "a\u2028b.png")
    for name in names:
        image(tmp_path / "mug" / name)
    (tmp_path / "l.txt").write_bytes("".join(f"//x/mug/{name}\t0\r\n" for name in names).encode())
    assert [path.name for path in image_list({"a": tmp_path / "l.txt"}, root=tmp_path).domains["a"].inputs.paths] == [
        *names
    ]


def test_labels_whose_folders_disagree_are_named_by_their_number(tmp_path):
    image(tmp_path / "u" / "0.png")
    image(tmp_path / "v" / "0.png")
    read = image_list({"a": write(tmp_path / "l.txt", "u/0.png 0", "v/0.png 0")}, root=tmp_path)
    assert read.classes == ("0",)
    assert image_list({"a": tmp_path / "l.txt"}, root=tmp_path, classes=("x", "y")).classes == ("x", "y")


def test_errors_of_an_image_list(tmp_path):
    image(tmp_path / "secret.png")
    image(tmp_path / "root" / "mug" / "0.png")
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "secret.png")
    lines = tmp_path / "l.txt"

    def read():
        return image_list({"a": lines}, root=tmp_path / "root")

    with pytest.raises(FileNotFoundError, match="lists must name files that exist"):
        read()
    for line, error, message in [
        ("../secret.png 0", ValueError, r"l.txt, line 1 must stay inside .*climbs out"),
        ("link.png 0", ValueError, "a link that leads out of it"),
        ("mug/0.png mug", ValueError, "line 1 must be 'path label'"),
        ("mug/0.png", ValueError, "line 1 must be 'path label'"),
        ("mug/0.png -1", ValueError, "line 1 must be 'path label'"),
        ("mug/0.png 30000000", ValueError, "l.txt, line 1 must have the index .* below 100000, got 30000000"),
        ("mug/0.png " + "9" * 5000, ValueError, r"l.txt, line 1 must have the index of a class .* got 9{20}\.\.\."),
        ("mug/7.png 0", FileNotFoundError, r"1 of the images .* such as mug/7.png \(line 1\)"),
        ("", ValueError, "at least one image"),
    ]:
        write(lines, line)
        with pytest.raises(error, match=message):
            read()
    with pytest.raises(FileNotFoundError, match="root must be a folder"):
        image_list({"a": lines}, root=tmp_path / "no")
    with pytest.raises(FileNotFoundError, match=r"root must be a folder, got .*, which is a file"):
        image_list({"a": lines}, root=lines)
    with pytest.raises(TypeError, match="lists must be a mapping"):
        image_list([lines], root=tmp_path)
    with pytest.raises(TypeError, match="classes must be a sequence of names, got str"):
        image_list({"a": lines}, root=tmp_path, classes="ab")


# --- Office-31 --------------------------------------------------------------------------------------------------------


def drawn_office31(change=None):
    counts = {name: list(own) for name, own in OFFICE31_COUNTS.items()}
    if change:
        counts[change[0]][change[1]] += change[2]
    labels = {name: np.repeat(np.arange(31), own) for name, own in counts.items()}
    return arrays({name: (np.zeros((len(y), 1)), y) for name, y in labels.items()}, classes=OFFICE31_CLASSES)


def test_the_manifest_adds_up_and_the_check_finds_one_missing_row():
    assert {name: sum(own) for name, own in OFFICE31_COUNTS.items()} == {"amazon": 2817, "dslr": 498, "webcam": 795}
    assert list(OFFICE31_CLASSES) == sorted(OFFICE31_CLASSES)
    MANIFESTS["office31"].check(drawn_office31())
    with pytest.raises(ValueError, match="20 rows of dslr/bike instead of 21"):
        MANIFESTS["office31"].check(drawn_office31(("dslr", 1, -1)))


def test_the_check_names_domains_and_classes(tmp_path):
    with pytest.raises(ValueError, match=r"no domain amazon; no domain dslr.*unexpected domain a.*no class back_pack"):
        MANIFESTS["office31"].check(arrays({"a": (X, ["mug", "sofa"])}))
    with pytest.raises(FileNotFoundError, match="--root"):
        office31(tmp_path / "no")


@pytest.mark.data
@needs_data
def test_real_office31_from_images_lists_and_features_is_the_same_set():
    folders = office31(DATA / "office31")
    features = office31(DATA / "office31_mobilenet_v2.npz")
    listed = image_list(
        {name: DATA / "office31_lists" / f"{name}_list.txt" for name in OFFICE31_COUNTS}, root=DATA / "office31"
    )
    MANIFESTS["office31"].check(listed)
    for name, domain in folders.domains.items():
        assert np.array_equal(domain.labels, features.domains[name].labels)
        own = dict(zip(domain.inputs.paths, domain.labels.tolist(), strict=True))
        assert own == dict(zip(listed.domains[name].inputs.paths, listed.domains[name].labels.tolist(), strict=True))


# --- weights ----------------------------------------------------------------------------------------------------------


class Stream(IterableDataset):
    def __len__(self):
        return 1

    def __iter__(self):
        yield torch.zeros(2), 0


def test_weights_travel_through_a_loader():
    pairs = [(torch.full((2,), float(k)), k) for k in range(4)]
    x, y, weights = next(iter(DataLoader(with_weights(pairs, np.arange(4) + 0.5), batch_size=4)))
    assert weights.dtype == torch.float32
    assert torch.equal(weights, y + 0.5)
    assert torch.equal(x[:, 0].long(), y)
    texts = [{"input_ids": torch.tensor([k])} for k in range(2)]
    assert with_weights(texts, torch.tensor([1.0, 2.0]))[1].keys() == {"input_ids", "weights"}
    assert "weights" not in texts[1]


@pytest.mark.parametrize(
    ("dataset", "weights", "error", "message"),
    [
        (iter([]), [1.0], TypeError, "map-style"),
        ([(0, 0)], [1.0, 2.0], ValueError, r"weights must have shape \(1,\)"),
        ([(0, 0)], [-1.0], ValueError, "must not be negative"),
        ([(0, 0)], [float("nan")], ValueError, "weights must be finite"),
        ([(0, 0)], ["a"], TypeError, "weights must be numbers, got dtype <U1"),
        (Stream(), [1.0], TypeError, "map-style data set with len\\(\\) and items, got Stream"),
        ([(0, 0)], [[1.0], [1.0, 2.0]], TypeError, "weights must be numbers, got rows of unlike lengths"),
    ],
)
def test_errors_of_with_weights(dataset, weights, error, message):
    with pytest.raises(error, match=message):
        with_weights(dataset, weights)


def test_items_that_cannot_take_a_weight():
    with pytest.raises(TypeError, match="got tuple of length 3"):
        with_weights([(0, 0, 0)], [1.0])[0]
