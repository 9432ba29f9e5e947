"""Images from end to end: folders, the backbone's transform, the command line, and the real Office-31."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dalib.benchmark import (
    Checkpoint,
    Protocol,
    backbone,
    benchmark,
    load_runs,
    run,
    scenarios,
    target_supervised,
    trained,
)
from dalib.benchmark.cli import main
from dalib.data import ImageTransform
from dalib.methods import dan, source_only
from dalib.outputs import Outputs

Image = pytest.importorskip("PIL.Image", reason="Pillow is an optional extra")

DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
NET = """
from torch import nn
MEAN, STD, CROP = (0.2, 0.4, 0.6), (0.5, 0.5, 0.5), 16
def net():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 6))
"""


@pytest.fixture
def root(tmp_path):
    """Two domains of two classes, told apart by colour."""
    generator = np.random.default_rng(0)
    for domain in ("amazon", "webcam"):
        for number, name in enumerate(("mug", "pen")):
            folder = tmp_path / "images" / domain / name
            folder.mkdir(parents=True)
            for picture in range(6):
                pixels = generator.integers(0, 120, (24, 20, 3))
                pixels[:, :, number] += 130
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{picture}.png")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_every_method_sees_images_through_the_backbones_transform(root):
    from dalib.data import image_folder

    domain_set = image_folder(root / "images")
    net = backbone(f"{root / 'net.py'}:net")
    protocol = Protocol(backbone=net, bottleneck=4, steps=3, batch_size=4, checkpoints=1)
    scenario = scenarios(domain_set)[0]
    task = scenario.task(scenario.split(0, 0.5))
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, inputs):
            seen.append(inputs)
            return inputs.mean((2, 3))

    from dataclasses import replace

    for _ in trained(dan, replace(protocol, backbone=replace(net, build=Spy)))(task, 0):
        pass
    assert {tuple(batch.shape[1:]) for batch in seen} == {(3, 16, 16)}
    plain = scenario.target.inputs.with_transform(net.transform).load(scenario.split(0, 0.5).target[:2].copy())
    checkpoint = next(iter(trained(dan, replace(protocol, backbone=replace(net, build=Spy), steps=1))(task, 0)))
    seen.clear()
    checkpoint.predict(task.target)
    assert torch.equal(seen[0][:2], plain)
    # black becomes (0 - mean) / std
    assert float(min(batch.min() for batch in seen)) >= -0.6 / 0.5 - 1e-6


@pytest.mark.slow
def test_images_are_benchmarked_in_processes_too(root):
    from dalib.data import image_folder

    protocol = Protocol(backbone=backbone(f"{root / 'net.py'}:net"), bottleneck=4, steps=3, batch_size=4, checkpoints=1)
    methods = {"dan": trained(dan, protocol), "target_supervised": target_supervised(trained(source_only, protocol))}
    pairs = scenarios(image_folder(root / "images"))
    alone = benchmark(methods, pairs, seeds=1, holdout=0.5)
    beside = benchmark(methods, pairs, seeds=1, holdout=0.5, jobs=2)
    assert [run.checkpoints for run in alone] == [run.checkpoints for run in beside]
    assert [run.key for run in alone] == [run.key for run in beside]


@pytest.mark.usefixtures("no_pictures")
def test_folders_and_lists_on_the_command_line(root, capsys):
    usual = ("--methods", "source_only,dan", "--seeds", "1", "--steps", "2", "--batch-size", "4", "--jobs", "1")
    net = ("--backbone", f"{root / 'net.py'}:net")
    out = ("--out", str(root / "runs"))
    assert main(["run", "folder", "--root", str(root / "images"), *usual, *net, *out]) == 0
    lists = root / "lists"
    lists.mkdir()
    for domain in ("amazon", "webcam"):
        lines = [f"/elsewhere/{domain}/{name}/{n}.png {k}" for k, name in enumerate(("mug", "pen")) for n in range(6)]
        (lists / f"{domain}_list.txt").write_text("\n".join(lines))
    more = ("--lists", str(lists), "--out", str(root / "runs2"))
    assert main(["run", "list", "--root", str(root / "images"), *usual, *net, *more]) == 0
    folder, listed = (load_runs(root / name)[0] for name in ("runs", "runs2"))
    assert {run.scenario: run.data["fingerprint"] for run in folder} == {
        run.scenario: run.data["fingerprint"] for run in listed
    }
    capsys.readouterr()
    assert main(["run", "folder", "--root", str(root / "images"), *usual, *out]) == 2
    assert "--backbone must be given for images, got none" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.skipif(not (DATA / "office31").is_dir(), reason=f"no Office-31 images under {DATA}; set DALIB_DATA")
def test_real_office31_images_through_the_pretrained_backbone(tmp_path, capsys, monkeypatch):
    """From the folder of images to a record: every image of two domains is read and counted, every target image scored."""
    monkeypatch.setattr("dalib.benchmark.checkpoint._SOURCE_ROWS", 31)
    pytest.importorskip("safetensors", reason="the backbone's weights need safetensors")
    net = f"{DATA / 'backbones' / 'mobilenet_v2.py'}:mobilenet_v2"
    command = ["run", "office31", "--root", str(DATA / "office31"), "--backbone", net, "--device", "cpu", "--jobs", "1"]
    few = ["--methods", "dann", "--pairs", "W-D", "--seeds", "1", "--steps", "3", "--checkpoints", "1"]
    assert main([*command, *few, "--out", str(tmp_path)]) == 0
    assert "mean = std = 0.5 is assumed" in capsys.readouterr().err
    (run,), _ = load_runs(tmp_path)
    assert run.split["rows"] == {"source": 795, "source_held_out": 0, "target": 498, "target_test": 0}
    assert run.data["classes"] == 31
    assert run.config["protocol"]["backbone"]["transform"]["mean"] == [0.5, 0.5, 0.5]
    assert math.isfinite(run.checkpoints[-1]["losses"]["adversarial"])


@pytest.mark.data
@pytest.mark.skipif(
    not (DATA / "office31_mobilenet_v2.npz").is_file(), reason=f"no features under {DATA}; set DALIB_DATA"
)
@pytest.mark.usefixtures("no_pictures")
def test_real_office31_features_on_the_command_line(tmp_path, capsys):
    features = str(DATA / "office31_mobilenet_v2.npz")
    more = ("--methods", "source_only,mcc", "--seeds", "1", "--steps", "60", "--jobs", "1", "--pairs", "D-W")
    assert main(["run", "office31", "--root", features, "--out", str(tmp_path), *more]) == 0
    runs, _ = load_runs(tmp_path)
    assert {run.dataset for run in runs} == {"office31"}
    assert all(run.checkpoints[-1]["accuracy"] > 0.85 for run in runs)
    assert "D-W" in capsys.readouterr().out


def spelt(inputs, classes):
    """The classes that an image transform reads off the pictures it is given: by name, path, open file or metadata."""
    seen = []

    class Reading(ImageTransform):
        def __call__(self, image, *, training=False, generator=None):
            seen.append(" ".join(map(repr, [*vars(image).values(), getattr(image, "fp", None)])))
            return torch.zeros(3, 2, 2)

    inputs.with_transform(Reading()).load(np.arange(len(inputs)))
    return [[name for name in classes if f"/{name}/" in text] for text in seen]


def test_no_picture_of_the_target_tells_a_transform_its_folder(root):
    """Neither that of a method nor that of a validator."""
    from dalib.data import image_folder

    found = {}

    def cheat(task, seed):
        found["method"] = spelt(task.target, task.classes)
        logits = torch.zeros(len(task.target), 2)
        yield Checkpoint(1, lambda inputs: Outputs(logits[: len(inputs)], logits[: len(inputs)]))

    def validator(evaluation):
        found["validator"] = spelt(evaluation.target_inputs, ("mug", "pen"))
        return 0.0

    run(cheat, "cheat", scenarios(image_folder(root / "images"))[0], 0, scores={"validator": validator})
    assert found == {"method": [[]] * 12, "validator": [[]] * 12}
