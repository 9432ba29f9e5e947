"""Readers of the published sets of images, on small trees of the published layouts, with small manifests."""

from dataclasses import replace

import numpy as np
import pytest

from dalib.data import MANIFESTS, Manifest, arrays, image_sets

PIL = pytest.importorskip("PIL.Image", reason="needs Pillow")
X = np.eye(2)

SIZES = {  # rows in all, and classes, of the published papers
    "office31": (4110, 31),
    "office_caltech10": (2533, 10),
    "office_home": (15588, 65),
    "visda2017": (152397 + 55388, 12),
    "domainnet": (586575, 345),
    "domainnet126": (145145, 126),
    "image_clef_da": (1800, 12),
    "pacs": (9991, 7),
    "adaptiope": (36900, 123),
    "office_caltech_surf": (2533, 10),
    "amazon_reviews": (7996, 2),
    "digits_jda": (3800, 10),
}


@pytest.fixture(scope="module")
def pixel(tmp_path_factory):
    path = tmp_path_factory.mktemp("pixel") / "0.png"
    PIL.new("RGB", (1, 1)).save(path)
    return path.read_bytes()


@pytest.fixture
def small(monkeypatch):
    """Manifests with one row a class and at most five classes; the readers use them."""
    shrunk = {}
    for name, manifest in MANIFESTS.items():
        count = min(5, manifest.class_count())
        rows = dict.fromkeys(manifest.rows, (1,) * count)
        shrunk[name] = replace(manifest, classes=manifest.classes[:count], rows=rows)
    monkeypatch.setattr(image_sets, "MANIFESTS", shrunk)
    return shrunk


def names_of(manifest):
    return manifest.classes or tuple(f"thing {k}" for k in range(manifest.class_count()))


def tree(root, manifest, pixel, *, nesting="", rename=lambda name: name):
    for domain in manifest.rows:
        for label in names_of(manifest):
            folder = root / rename(domain) / nesting / label
            folder.mkdir(parents=True)
            (folder / "0.png").write_bytes(pixel)
    return root


IMAGE_SETS = [name for name in SIZES if hasattr(image_sets, name)]


def test_every_manifest_has_the_published_size():
    assert {name: (sum(m.totals().values()), m.class_count()) for name, m in MANIFESTS.items()} == SIZES
    for name, manifest in MANIFESTS.items():
        assert manifest.name == name
        assert list(manifest.classes) == sorted(manifest.classes), "classes are ordered by name"
        assert manifest.paper
        for rows in manifest.rows.values():
            assert isinstance(rows, int) or len(rows) == manifest.class_count()
    assert [name for name, manifest in MANIFESTS.items() if "mean" in manifest.metric] == ["visda2017"]
    assert set(MANIFESTS["domainnet126"].classes) < set(MANIFESTS["domainnet"].classes)


@pytest.mark.parametrize("name", IMAGE_SETS)
@pytest.mark.parametrize("nesting", ["", "images"])
def test_a_tree_of_the_published_layout(name, nesting, small, tmp_path, pixel):
    manifest = small[name]
    reader = getattr(image_sets, name)
    read = reader(tree(tmp_path, manifest, pixel, nesting=nesting))
    assert (read.name, list(read.domains)) == (name, list(manifest.rows))
    assert read.classes == names_of(manifest)
    last = list(manifest.rows)[-1]
    assert list(reader(tmp_path, domains=[last]).domains) == [last]
    for domain in read.domains.values():
        assert [path.parent.name for path in domain.inputs.paths] == list(read.classes)
        assert domain.labels.tolist() == list(range(len(read.classes)))


@pytest.mark.parametrize("folder", ["Real World", "RealWorld", "real_world"])
def test_office_home_under_every_name_of_its_folder(folder, small, tmp_path, pixel):
    tree(tmp_path, small["office_home"], pixel, rename=lambda name: folder if name == "Real_World" else name)
    (tmp_path / "Art" / "Alarm_Clock").rename(tmp_path / "Art" / "alarm clock")
    assert list(image_sets.office_home(tmp_path).domains) == ["Art", "Clipart", "Product", "Real_World"]


def test_domainnet_is_what_its_lists_name(small, tmp_path, pixel):
    manifest = small["domainnet"]
    tree(tmp_path, manifest, pixel)
    (tmp_path / "real" / manifest.classes[0] / "1.png").write_bytes(pixel)  # a picture that no list names
    message = r"2 rows of real/The_Eiffel_Tower instead of 1.*defined by its lists <domain>_train.txt and"
    with pytest.raises(ValueError, match=message):
        image_sets.domainnet(tmp_path)
    (tmp_path / "lists").mkdir()
    order = list(reversed(manifest.classes))  # the lists number the classes in an order of their own
    for domain in manifest.rows:
        lines = [f"{domain}/{label}/0.png {number}" for number, label in enumerate(order)]
        (tmp_path / "lists" / f"{domain}_train.txt").write_text("\n".join(lines[:3]))
        (tmp_path / "lists" / f"{domain}_test.txt").write_text("\n".join(lines[3:]))
    read = image_sets.domainnet(tmp_path)
    assert read.classes == manifest.classes
    own = read.domains["real"]
    assert [path.parent.name for path in own.inputs.paths] == order
    assert own.labels.tolist() == [4, 3, 2, 1, 0]


def test_domainnet126_takes_its_classes_from_the_tree_of_all(small, tmp_path, pixel):
    tree(tmp_path, replace(small["domainnet"], classes=("aaa", *small["domainnet126"].classes)), pixel)
    for domain in small["domainnet126"].rows:
        lines = [f"{domain}/{label}/0.png {k}" for k, label in enumerate(small["domainnet126"].classes)]
        (tmp_path / f"labeled_source_images_{domain}.txt").write_text("\n".join(lines))
    assert image_sets.domainnet126(tmp_path).classes == small["domainnet126"].classes


def test_image_clef_has_no_folder_a_class(small, tmp_path, pixel):
    manifest = small["image_clef_da"]
    (tmp_path / "list").mkdir()
    for letter in "cip":
        (tmp_path / letter).mkdir()
        for k in range(5):
            (tmp_path / letter / f"{k}.jpg").write_bytes(pixel)
        (tmp_path / "list" / f"{letter}List.txt").write_text("\n".join(f"{letter}/{k}.jpg {k}" for k in range(5)))
    read = image_sets.image_clef_da(tmp_path)
    assert (list(read.domains), read.classes) == (["caltech", "imagenet", "pascal"], manifest.classes)
    assert [path.parent.name for path in read.domains["pascal"].inputs.paths] == ["p"] * 5


def test_features_of_a_set_are_checked_too(small, tmp_path):
    manifest = small["pacs"]
    content = {f"{domain}_x": np.eye(5) for domain in reversed(manifest.rows)}
    content |= {f"{domain}_y": np.arange(5) for domain in manifest.rows}
    np.savez(tmp_path / "pacs.npz", classes=np.array(manifest.classes), **content)
    assert list(image_sets.pacs(tmp_path / "pacs.npz").domains) == list(manifest.rows)
    assert list(image_sets.pacs(tmp_path / "pacs.npz", domains=["sketch", "photo"]).domains) == ["sketch", "photo"]
    content["photo_y"] = np.zeros(5, int)
    np.savez(tmp_path / "pacs.npz", classes=np.array(manifest.classes), **content)
    with pytest.raises(ValueError, match=r"pacs.npz is not usable: .*5 rows of photo/dog instead of 1"):
        image_sets.pacs(tmp_path / "pacs.npz")


def test_wrong_roots_and_trees_are_explained(small, tmp_path, pixel):
    manifest = small["office_home"]
    root = tree(tmp_path / "data" / "OfficeHome", manifest, pixel)
    with pytest.raises(
        FileNotFoundError, match=r"a folder Art, Clipart, Product, Real_World .*OfficeHome looks like it"
    ):
        image_sets.office_home(root.parent)
    with pytest.raises(FileNotFoundError, match=r"OfficeHome looks like it"):
        image_sets.office_home(root / "Clipart")
    with pytest.raises(FileNotFoundError, match="which is not there; name it with --root"):
        image_sets.office_home(root / "no")
    with pytest.raises(
        ValueError, match="domains must be among Art, Clipart, Product, Real_World of Office-Home, got X"
    ):
        image_sets.office_home(root, domains=["X"])
    with pytest.raises(TypeError, match="domains must be a sequence of names, got str"):
        image_sets.office_home(root, domains="Art")
    with pytest.raises(ValueError, match="got none"):
        image_sets.office_home(root, domains=[])
    (root / "Art" / "Sofa").mkdir()
    (root / "Art" / "Sofa" / "0.png").write_bytes(pixel)
    with pytest.raises(ValueError, match=r"not usable: .*Office-Home .*unexpected classes Sofa"):
        image_sets.office_home(root)
    (root / "Art" / "Sofa" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"every class folder .* got none in Sofa"):
        image_sets.office_home(root)
    (root / "Art" / "Sofa").rmdir()
    (root / "Art" / "Bed" / "0.png").unlink()
    (root / "Art" / "Bed").rmdir()
    with pytest.raises(ValueError, match="0 rows of Art/Bed instead of 1"):
        image_sets.office_home(root)
    for label in ("Alarm_Clock", "Backpack", "Batteries", "Bike"):
        (root / "Art" / label / "0.png").rename(root / "Art" / f"{label}.png")
        (root / "Art" / label).rmdir()
    (root / "Art" / "images").mkdir()
    (root / "Art" / "images" / "0.png").write_bytes(pixel)
    with pytest.raises(ValueError, match=r"the wrong nesting at .*Art/images"):
        image_sets.office_home(root)


def test_errors_of_a_manifest():
    tiny = Manifest("tiny", "Tiny", (), {"shop": (1, 1)})
    tiny.check(arrays({"shop": (X, ["mug", "pen"])}))
    with pytest.raises(ValueError, match=r"Tiny \(2 rows of 2 classes\), got 1 classes"):
        tiny.check(arrays({"shop": (X, ["mug", "mug"])}))
    with pytest.raises(TypeError, match="domain_set must be a DomainSet, got dict"):
        tiny.check({})
    with pytest.raises(ValueError, match=r"domains must be among shop of Tiny, got desk"):
        tiny.only(["desk"])
    many = replace(tiny, classes=tuple("abcdefgh"), rows={"shop": 8})
    with pytest.raises(ValueError, match=r"no class a, b, c, d, e and 3 more; unexpected classes mug, pen"):
        many.check(arrays({"shop": (X, ["mug", "pen"])}))
    with pytest.raises(ValueError, match=r"the classes in another order than pen, mug"):
        replace(many, classes=("pen", "mug")).check(arrays({"shop": (X, ["mug", "pen"])}))
