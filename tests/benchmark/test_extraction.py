"""Features extracted once: right, resumed, and never mixed up."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from dalib.benchmark import Backbone, backbone, extract_features, extraction
from dalib.benchmark.cli import main
from dalib.data import DomainSet, arrays, feature_file, image_folder, office31


@pytest.fixture
def domain_set():
    draw = np.random.default_rng(0)
    domains = {name: (draw.normal(size=(n, 3, 4, 4)), np.arange(n) % 2) for name, n in (("amazon", 11), ("webcam", 6))}
    return arrays(domains, classes=("mug", "pen"))


def network():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5))


def test_rows_are_in_order_and_in_evaluation_mode(domain_set, tmp_path):
    path = extract_features(domain_set, Backbone("net", network), tmp_path / "net.npz", batch_size=4)
    torch.manual_seed(0)
    module = network().eval()
    read = feature_file(path)
    assert read.classes == ("mug", "pen")
    for name, domain in domain_set.domains.items():
        expected = module(domain.inputs.load(np.arange(len(domain)))).mean(dim=(2, 3))
        torch.testing.assert_close(read.domains[name].inputs.load(np.arange(len(domain))), expected)
        assert np.array_equal(read.domains[name].labels, domain.labels)
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_extraction_goes_on_where_it_was(workers, domain_set, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "_PART", 4)
    made = Backbone("net", network)
    seen = []

    def stop(done):
        seen.append(done.rows)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(domain_set, made, tmp_path / "a.npz", batch_size=3, progress=stop, workers=workers)
    assert not (tmp_path / "a.npz").exists()
    calls = []
    monkeypatch.setattr(extraction._Network, "__call__", _counted(extraction._Network.__call__, calls))
    extract_features(domain_set, made, tmp_path / "a.npz", batch_size=3, progress=stop, workers=workers)
    assert seen == [4, 8, 4, 8, 11, 15, 17]
    assert sum(calls) == 17 - 8
    extract_features(domain_set, made, tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
        for name in first.files:
            if name.endswith("_x"):
                np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6)
            else:
                assert np.array_equal(first[name], second[name])


def _counted(function, calls):
    def call(self, rows):
        calls.append(len(rows))
        return function(self, rows)

    return call


def test_a_file_of_the_same_is_kept_and_one_of_something_else_refused(domain_set, tmp_path):
    path = extract_features(domain_set, Backbone("flat", nn.Flatten), tmp_path / "flat.npz")
    before = path.stat().st_mtime_ns
    assert extract_features(domain_set, Backbone("flat", nn.Flatten), path) == path
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="out must not hold features of something else"):
        extract_features(domain_set, Backbone("net", network), path)
    with pytest.raises(ValueError, match=r"out must be a file that ends in \.npz, got"):
        extract_features(domain_set, Backbone("net", network), tmp_path / "flat.pt")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        extract_features(domain_set, Backbone("net", network), tmp_path / "x.npz", batch_size=0)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x.flatten(1) * self.factor


def test_features_of_a_backbone_of_another_setting_are_refused(domain_set, tmp_path):
    path = extract_features(domain_set, Backbone("net", functools.partial(Scaled, 2)), tmp_path / "a.npz")
    assert extract_features(domain_set, Backbone("net", functools.partial(Scaled, 2)), path) == path
    with pytest.raises(ValueError, match="out must not hold features of something else"):
        extract_features(domain_set, Backbone("net", functools.partial(Scaled, 3)), path)


class Inverse(nn.Module):
    def __init__(self, hole):
        super().__init__()
        self.hole = hole

    def forward(self, x):
        return 1 / (x.flatten(1)[:, :2] - self.hole)


def test_features_that_are_not_finite_are_named_and_not_written(domain_set, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "_PART", 4)
    hole = float(domain_set.domains["amazon"].inputs.tensor[5].flatten()[1])
    with pytest.raises(ValueError, match="must give finite features, got NaN or infinity for row 5 of amazon"):
        extract_features(domain_set, Backbone("net", functools.partial(Inverse, hole)), tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_parts_left_by_a_kill_behind_the_whole_file_are_removed(domain_set, tmp_path):
    path = extract_features(domain_set, Backbone("flat", nn.Flatten), tmp_path / "flat.npz")
    (tmp_path / "flat.npz.parts" / "key").mkdir(parents=True)
    extract_features(domain_set, Backbone("flat", nn.Flatten), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["flat.npz"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_breaks_in_a_worker_is_told_in_one_sentence(workers, tmp_path):
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    (tmp_path / "shop" / "mug").mkdir(parents=True)
    pillow.fromarray(noise).save(tmp_path / "shop" / "mug" / "a.png")
    content = bytearray((tmp_path / "shop" / "mug" / "a.png").read_bytes())
    content[2000] ^= 0xFF  # its end is whole, so that only decoding it tells
    (tmp_path / "shop" / "mug" / "a.png").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"^paths must be readable images, got .*a\.png: .*; replace or remove the file$"
    ):
        extract_features(image_folder(tmp_path), Backbone("flat", nn.Flatten), tmp_path / "a.npz", workers=workers)


def flipped(content):
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: b"hello\n", lambda content: content[:-50], flipped],
    ids=["empty", "text", "truncated", "flipped"],
)
def test_a_damaged_file_is_to_be_removed(damage, domain_set, tmp_path):
    made = Backbone("flat", nn.Flatten)
    path = extract_features(domain_set, made, tmp_path / "flat.npz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"out holds a file that cannot be read, '.*flat\.npz' \(.*\); remove it"):
        extract_features(domain_set, made, path)


def archived(part):
    rows = np.load(part)
    with part.open("wb") as file:
        np.savez(file, rows=rows)


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part.write_bytes(b""),
        lambda part: part.write_bytes(b"hello\n"),
        lambda part: part.write_bytes(part.read_bytes()[:-8]),
        lambda part: np.save(part, np.load(part)[:-1]),
        lambda part: np.save(part, np.load(part).astype(np.float64)),
        archived,
    ],
    ids=["empty", "text", "truncated", "too few rows", "float64", "archive"],
)
def test_damaged_parts_are_made_again(damage, domain_set, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "_PART", 4)
    made = Backbone("net", network)
    whole = extract_features(domain_set, made, tmp_path / "whole.npz")

    def stop(done):
        if done.rows == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(domain_set, made, tmp_path / "a.npz", progress=stop)
    damage(sorted(tmp_path.rglob("*.npy"))[0])
    calls = []
    monkeypatch.setattr(extraction._Network, "__call__", _counted(extraction._Network.__call__, calls))
    again = extract_features(domain_set, made, tmp_path / "a.npz")
    assert sum(calls) == 17 - 4
    with np.load(whole) as first, np.load(again) as second:
        assert all(np.array_equal(first[name], second[name]) for name in first.files)


@pytest.mark.data
def test_real_images_give_the_features_that_were_made_of_them(data_folder, tmp_path):
    images = office31(data_folder / "office31")
    webcam = images.domains["webcam"]
    rows = np.arange(0, len(webcam), 100)
    few = type(webcam)("webcam", _selected(webcam.inputs, rows), webcam.labels[rows], webcam.classes)
    made = backbone(f"{data_folder / 'backbones' / 'mobilenet_v2.py'}:mobilenet_v2")
    path = extract_features(DomainSet("office31", {"webcam": few}), made, tmp_path / "few.npz")
    found = feature_file(path).domains["webcam"].inputs.load(np.arange(len(rows)))
    whole = office31(data_folder / "office31_mobilenet_v2.npz").domains["webcam"]
    known = whole.inputs.load(np.arange(len(whole)))
    similarity = torch.nn.functional.normalize(found) @ torch.nn.functional.normalize(known).T
    assert bool((similarity.max(dim=1).values > 0.99).all())  # each row is there, up to how it was scaled and decoded
    assert np.array_equal(whole.labels[similarity.argmax(dim=1).numpy()], few.labels)


def _selected(inputs, rows):
    from dalib.data import select_rows

    selected = select_rows(inputs, rows)
    selected.with_transform = lambda transform: select_rows(inputs.with_transform(transform), rows)
    return selected


def test_the_command(tmp_path, capsys):
    from PIL import Image

    for domain in ("amazon", "webcam"):
        for name in ("mug", "pen"):
            (tmp_path / "images" / domain / name).mkdir(parents=True)
            Image.new("RGB", (40, 30), "red").save(tmp_path / "images" / domain / name / "a.png")
    (tmp_path / "net.py").write_text("import torch\nMEAN = STD = (0.5, 0.5, 0.5)\nnet = torch.nn.Flatten\n")
    out = tmp_path / "features.npz"
    command = ["features", str(tmp_path / "images"), "--backbone", f"{tmp_path / 'net.py'}:net", "--out", str(out)]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.out == f"features: {out}\n"
    assert "[4/4] rows" in captured.err
    assert len(feature_file(out).domains["webcam"]) == 2
    assert main(["features", "/nowhere", *command[2:]]) == 2
    assert "ROOT must be the image folder, got '/nowhere', which does not exist" in capsys.readouterr().err
    assert main([*command[:2], "--backbone", "resnet", "--out", str(out)]) == 2
    assert "backbone must be timm:NAME" in capsys.readouterr().err
