"""Data sets that are reported by the mean accuracy of their classes: that is what tables, oracle and pictures go by."""

from dataclasses import replace

import numpy as np
import pytest

from dalib.benchmark import comparisons, groups, load_runs, select, table, validator_quality
from dalib.benchmark.cli import main
from dalib.benchmark.pictures.accuracy import accuracy_figure
from dalib.data import MANIFESTS, image_sets
from tests.benchmark.records import made_record


def by_class(method="dann", accuracies=(0.9, 0.5, 0.6), class_accuracies=(0.2, 0.7, 0.4), **options):
    made = replace(made_record(method, "T-V", accuracies=accuracies, **options), dataset="visda2017")
    for checkpoint, class_accuracy in zip(made.checkpoints, class_accuracies, strict=True):
        checkpoint["class_accuracy"] = class_accuracy
    return made


def test_tables_oracle_and_statistics_go_by_the_class_accuracy():
    done, plain = by_class(), by_class("source_only", class_accuracies=(0.1, 0.1, 0.1), mode="source")
    assert done.headline == "class_accuracy"
    assert select(done, "oracle")["class_accuracy"] == 0.7  # not the first, whose accuracy is largest
    (group,) = groups([done, plain])
    assert group.average(("dann", "joint")).values == (40.0,)
    (compared,) = [found for found in comparisons(group) if found.row[0] == "dann"]
    assert compared.mean == pytest.approx(30.0)
    (last, *_) = validator_quality(group, ("dann", "joint"))
    assert last.regret == pytest.approx(30.0)


def test_the_table_says_so():
    shown = table([by_class(), by_class("source_only", mode="source")])
    assert "class accuracy on the target in percent at the last checkpoint" in shown
    assert "(class accuracy: mean of the accuracies of the classes)" in shown
    assert "oracle's class accuracy minus" in shown
    assert not {"OS*", "threshold"} & set(shown.split())
    assert "class accuracy" not in table([made_record()])


def test_pictures_say_so():
    text = pytest.importorskip("matplotlib.text", reason="pictures need matplotlib").Text
    shown = {found.get_text() for found in accuracy_figure(groups([by_class()])[0]).findobj(text)}
    assert {"40.0", "class accuracy on the target in percent"} <= shown


def test_with_unknown_classes_hos_stays():
    made = by_class()
    opened = replace(made, data={"kind": "open", "shared": ["a"], "source_private": [], "unknown": ["b"]})
    assert opened.headline == "harmonic"


@pytest.mark.usefixtures("no_pictures")
def test_a_small_tree_of_visda(tmp_path, monkeypatch, capsys):
    image = pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    names = MANIFESTS["visda2017"].classes[:3]
    small = replace(MANIFESTS["visda2017"], classes=names, rows={"train": (2, 2, 2), "validation": (5, 2, 1)})
    monkeypatch.setattr(image_sets, "MANIFESTS", {"visda2017": small})
    draw = np.random.default_rng(0)
    for domain, counts in small.rows.items():
        for name, count in zip(names, counts, strict=True):
            folder = tmp_path / "visda" / domain / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                image.fromarray(pixels).save(folder / f"{number}.png")
    backbone = tmp_path / "tiny.py"
    backbone.write_text("from torch import nn\n\ndef tiny():\n    return nn.Conv2d(3, 4, 8, stride=56)\n")
    options = ("--methods", "source_only", "--steps", "2", "--checkpoints", "1", "--seeds", "1", "--jobs", "1")
    where = ("--root", str(tmp_path / "visda"), "--backbone", f"{backbone}:tiny", "--out", str(tmp_path / "out"))
    assert main(["run", "visda2017", *where, *options]) == 0
    said = capsys.readouterr()
    (run,), _ = load_runs(tmp_path / "out")
    last = run.checkpoints[-1]
    assert run.scenario == "T-V"
    assert last["class_accuracy"] == pytest.approx(np.mean(last["per_class"]))
    assert last["class_accuracy"] != pytest.approx(last["accuracy"])
    assert f"source_only  {100 * last['class_accuracy']:.1f}" in said.out
    assert f"{100 * last['class_accuracy']:.1f} % class accuracy in" in said.err
