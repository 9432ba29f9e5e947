"""Pictures and the page: what they show of records made by hand, in words that a reader can find."""

import base64
import dataclasses
import html.parser
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from dalib.benchmark import groups
from dalib.benchmark.html import page
from dalib.benchmark.pictures.accuracy import accuracy_figure
from dalib.benchmark.pictures.confusion import confusion_counts, confusion_figure
from dalib.benchmark.pictures.cost import cost_figure
from dalib.benchmark.pictures.curves import curves_figure
from dalib.benchmark.pictures.distance import distance_figure
from dalib.benchmark.pictures.features import features_figure
from dalib.benchmark.pictures.ranks import ranks_figure
from dalib.benchmark.pictures.regret import _bars, regret_figure
from dalib.benchmark.pictures.stored import check_pair, stored_runs
from dalib.benchmark.report import report
from tests.benchmark.records import made_record

pytest.importorskip("matplotlib", reason="pictures need matplotlib")


def some_runs():
    runs = [made_record("dann", pair, seed) for pair in ("A-W", "W-A") for seed in (0, 1)]
    runs += [made_record("control", "A-W", 0, (0.4, 0.5, 0.5), (0.1, 0.2, 0.3))]
    return [*runs, made_record("source_only", "A-W", 0, (0.4, 0.4, 0.45), (0.3, 0.2, 0.1), "source")]


def group_of(runs):
    (group,) = groups(runs)
    return group


def words(figure):
    """Every text of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def store(folder, run, predictions=(0, 1, 1, 0), labels=(0, 0, 1, 1), classes=("back_pack", "mug")):
    (folder / "features").mkdir(exist_ok=True)
    rows = np.random.default_rng(0).standard_normal((8, 3))
    content = {"source": rows, "target": rows[:4] + 1, "source_labels": np.arange(8) % 2, "target_labels": labels}
    content |= {"classes": np.array(classes)}
    if predictions is not None:
        content |= {"labels": np.array(labels), "predictions": np.array(predictions)}
    np.savez(folder / "features" / f"{run.stem}.npz", **content)


def test_the_heat_map_holds_every_number():
    shown = words(accuracy_figure(group_of(some_runs())))
    assert {"dann", "control", "source_only", "A-W", "W-A", "Avg", "60.0\n±0.0", "45.0", "–"} <= set(shown)
    assert "target accuracy in percent" in shown
    assert "office: last checkpoint, mean ± standard deviation over 2 seeds" in [
        text.replace("\n", " ") for text in shown
    ]


@pytest.mark.parametrize("runs", [lambda: [made_record(seed=seed) for seed in (0, 1)], lambda: open_runs()])
def test_the_title_of_the_heat_map_of_one_pair_lies_within_it(runs):
    runs = runs()
    figure = accuracy_figure(group_of([run for run in runs if run.scenario == runs[0].scenario]))
    figure.draw_without_rendering()
    (title,) = (text for text in figure.findobj(Text) if "last checkpoint" in text.get_text().replace("\n", " "))
    place = title.get_window_extent()
    assert place.x1 <= figure.bbox.x1
    assert place.y1 <= figure.bbox.y1
    assert place.y0 >= figure.axes[0].get_window_extent().y1


def test_curves_have_a_panel_a_method_and_a_line_a_validator():
    figure = curves_figure(group_of(some_runs()))
    shown = words(figure)
    assert {"source_only", "control", "dann", "step", "target accuracy in percent", "confidence"} <= set(shown)
    assert any("right axis: each score from its lowest (0) to its highest (1)" in text for text in shown)
    panel = next(axes for axes in figure.axes if axes.get_title() == "dann")
    assert list(panel.get_lines()[0].get_xdata()) == [10, 20, 30]
    assert list(panel.get_lines()[0].get_ydata()) == pytest.approx([50, 70, 60])
    scores = [axes.get_lines()[0].get_ydata() for axes in figure.axes if axes.get_ylim()[1] == 1.05]
    assert [min(map(min, scores)), max(map(max, scores))] == [0, 1]


def test_lines_are_told_apart_without_colour():
    figure = curves_figure(group_of(some_runs()))
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 2  # accuracy and one score
    bars = [patch.get_hatch() for patch in regret_figure(group_of(some_runs())).axes[0].patches]
    assert len(set(bars)) == 2


def test_no_curves_of_single_checkpoints():
    assert curves_figure(group_of([made_record(accuracies=(0.5,))])) is None


def test_regret_shows_the_numbers_of_the_table():
    figure = regret_figure(group_of(some_runs()))
    shown = words(figure)
    assert {"last", "confidence", "has no score", "cannot compare runs", "Regret (0 is best)"} <= set(shown)
    assert "oracle's accuracy minus that of the picked checkpoint, percentage points" in shown
    # last: 10 on the four runs of dann, 0 elsewhere: 40 / 6; confidence: 0 but source_only 5: 5 / 6
    assert {"6.7", "0.8"} <= set(shown)


def test_the_numbers_of_regret_stand_beside_their_bars_and_clear_of_the_worst_run():
    losses = regret_figure(group_of(some_runs())).axes[0]
    dots = next(line for line in losses.get_lines() if line.get_label() == "worst run")
    numbers = {text.xy[1]: text for text in losses.texts}
    widths = {round(bar.get_y() + bar.get_height() / 2, 6): bar.get_width() for bar in losses.patches}
    room = 0.1 * max(widths.values())
    for dot, place in zip(*dots.get_data(), strict=True):
        start = numbers[place].xy[0]
        assert start in (widths[round(place, 6)], dot)
        assert dot <= start or dot > start + room
        assert numbers[place].xyann[0] > dots.get_markersize() / 2


def test_a_number_of_regret_makes_way_for_a_dot_that_would_cover_it():
    axes = Figure().subplots()
    _bars(axes, 0, "mean", [0.8, 0.8, None], [1.0, 20.0, None])
    assert [text.xy[0] for text in axes.texts] == [1.0, 0.8, 0.0]


@pytest.mark.parametrize(
    ("accuracies", "ends"),
    [((0.80, 0.82), (76, 86)), ((0.98, 0.99), (90, 100)), ((0.01, 0.02), (0, 10)), ((0.3, 0.9), (30, 90))],
)
def test_the_shades_of_the_heat_map_span_ten_points_at_least(accuracies, ends):
    runs = [made_record(name, "A-W", 0, [a] * 3) for name, a in zip(("dan", "dann"), accuracies, strict=True)]
    (image,) = accuracy_figure(group_of(runs)).axes[0].images
    assert image.get_clim() == pytest.approx(ends)


@pytest.mark.parametrize("compared", [[], ["control"], ["source_only", "control"]])
def test_the_legend_of_distances_names_what_is_there(compared):
    figure = distance_figure(group_of([made_record(name) for name in ("dann", "dan", *compared)]))
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["joint forward", *([" and ".join(compared)] if compared else [])]


def test_distance_against_accuracy_names_every_method():
    figure = distance_figure(group_of(some_runs()))
    shown = words(figure)
    assert {"dann", "control", "source_only", "joint forward", "source rows alone"} <= set(shown)
    # the made distance is 1 - accuracy: ranks agree in reverse
    assert "distance of the domains' features (rank correlation with the accuracy: -1.00)" in shown
    assert distance_figure(group_of([made_record()])) is None  # one point says nothing


def test_cost_in_seconds_and_memory_where_it_is_recorded():
    shown = words(cost_figure(group_of(some_runs())))
    assert {"3.5 s", "3.0 s", "seconds a run", "training", "evaluation"} <= set(shown)  # 2 or 3, and 1
    assert not [text for text in shown if "MiB" in text]
    with_memory = made_record()
    with_memory.environment["peak_memory_mib"] = 123.4
    assert {"123", "MiB, the largest of a run"} <= set(words(cost_figure(group_of([with_memory]))))


def test_ranks_are_drawn_for_ten_pairs():
    runs = [
        made_record(name, f"P{pair:02}", 0, (value,), (0.1,))
        for name, value in (("a", 0.9), ("b", 0.899), ("c", 0.1))
        for pair in range(10)
    ]
    assert ranks_figure(group_of(runs[:9])) is None
    figure = ranks_figure(group_of(runs))
    assert {"a  1.00", "b  2.00", "c  3.00", "average rank over 10 pairs (1 is best)"} <= set(words(figure))
    # critical difference 2.343 * sqrt(12 / 60) = 1.05: a and b do not differ, nor b and c
    joined = [list(line.get_xdata()) for line in figure.axes[0].get_lines()[1:]]
    assert joined == [[1.0, 2.0], [2.0, 3.0]]


def test_features_before_and_after(tmp_path):
    runs = some_runs()
    for run in (runs[0], runs[-1]):
        store(tmp_path, run)
    stored = stored_runs(group_of(runs), tmp_path, None)
    assert list(stored) == ["source_only", "dann"]
    shown = words(features_figure(stored, "pca"))
    assert "before adaptation: source_only\ntarget accuracy: 45.0 %" in shown
    assert {"source", "target", "back pack", "mug", "by domain"} <= set(shown)
    assert "office, A-W: features of the last checkpoint (principal components, each panel by itself)" in shown
    assert features_figure({}) is None


@pytest.mark.parametrize("embedding", ["tsne", "pca"])
@pytest.mark.parametrize(
    ("source", "target", "note"),
    [
        (np.zeros((8, 3)), np.zeros((4, 3)), "all rows are equal"),
        (np.array([[0.0, 1.0], [np.nan, 2.0], [2.0, 3.0]]), np.eye(4)[:, :2], "1 of 7 rows are not finite"),
        (np.array([[0.0, 1.0]]), np.array([[2.0, 3.0]]), "only 2 rows"),
        (np.arange(8.0)[:, None], np.arange(4.0)[:, None], "features of one dimension"),
    ],
)
def test_features_that_cannot_be_embedded_are_drawn_as_they_are(embedding, source, target, note):
    labels = np.arange(len(target)) % 2
    features = {"source": source, "target": target, "target_labels": labels, "classes": np.array(["mug", "pen"])}
    figure = features_figure({"dann": (made_record(), features)}, embedding)
    figure.draw_without_rendering()
    assert (note if embedding == "pca" else f"{note}: no t-SNE") in words(figure)
    drawn = np.concatenate([points.get_offsets() for points in figure.axes[0].collections])
    assert len(drawn) == len(source) + len(target)
    assert np.array_equal(drawn[:, 0], np.concatenate([source, target])[:, 0], equal_nan=True)


def test_confusions_are_counted_and_named(tmp_path):
    assert confusion_counts(np.array([0, 0, 2]), np.array([0, 2, 2]), 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    runs = some_runs()
    store(tmp_path, runs[0], predictions=(1, 1, 1, 0), labels=(0, 0, 1, 1))
    store(tmp_path, runs[-1], predictions=None)  # stored by an older version
    stored = stored_runs(group_of(runs), tmp_path, None)
    figure = confusion_figure(stored)
    shown = words(figure)
    assert "dann: 25.0 % right" in shown  # of the stored rows
    assert not [text for text in shown if text.startswith("source_only")]
    assert any("back pack → mug: 2 of 2\nmug → back pack: 1 of 2" in text for text in shown)
    assert {"true class of the target row", "percent of the true class", "100", "50"} <= set(shown)
    assert confusion_figure({"source_only": stored["source_only"]}) is None


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_holds_everything_and_needs_no_network(tmp_path):
    runs = some_runs()
    for run in (runs[0], runs[-1]):
        store(tmp_path, run)
    *pictures, index = report(runs, tmp_path, embedding="pca", damaged=["x.json must be a <record>"])
    names = ["accuracy", "curves", "regret", "distance", "features", "confusion", "cost"]
    assert [path.name for path in pictures] == [f"{name}.png" for name in names]
    assert all((tmp_path / "report" / f"{name}.svg").read_text().startswith("<?xml") for name in names)
    text = index.read_text()
    read = Page()
    read.feed(text)
    assert not read.open[2:]  # html and body close the page
    assert len(read.images) == len(names)
    for image, path in zip(read.images, pictures, strict=True):
        assert image["alt"]
        assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == path.read_bytes()
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    assert "x.json must be a &lt;record&gt;" in text
    for fact in (
        "protocol: steps",
        "commit",
        "0123456789",
        "Linux, 2 CPUs",
        "version: torch",
        "vs source_only",
        "oracle",
    ):
        assert fact in text
    again = tmp_path / "report" / "accuracy.svg"
    before = again.read_bytes()
    report(runs[:1], tmp_path / "other", embedding="pca")
    report(runs, tmp_path, embedding="pca")
    assert again.read_bytes() == before


def open_runs():
    """source_only and osbp on an open-set problem: class "mug" is shared, all else is unknown."""
    made = [made_record("source_only", mode="source"), made_record("osbp", accuracies=(0.1, 0.1, 0.3))]
    for run in made:
        run.data.update(kind="open", shared=["back_pack", "mug"], source_private=[], unknown=["pen", "ruler"])
        for checkpoint in run.checkpoints:
            checkpoint.update(harmonic=checkpoint["accuracy"] + 0.1, known=0.9, unknown=0.1)
    return made


def test_pictures_of_unknown_classes_show_the_harmonic_mean(tmp_path):
    group = group_of(open_runs())
    for figure in (accuracy_figure(group), curves_figure(group), regret_figure(group), distance_figure(group)):
        shown = [text.replace("\n", " ") for text in words(figure)]
        assert any("office, open-set" in text for text in shown)
        assert any("HOS: harmonic mean of the accuracies on known and unknown rows" in text for text in shown)
        assert not [text for text in shown if "accuracy" in text and "source" not in text]
    assert {"70.0", "40.0", "HOS in percent"} <= set(words(accuracy_figure(group)))
    assert "oracle's HOS minus that of the picked checkpoint, percentage points" in words(regret_figure(group))
    curve = next(axes for axes in curves_figure(group).axes if axes.get_title() == "osbp").get_lines()[0]
    assert list(curve.get_ydata()) == pytest.approx([20, 20, 40])


def test_unknown_rows_are_one_class_in_pictures(tmp_path):
    runs = open_runs()
    for run in runs:
        store(tmp_path, run, predictions=(0, 0, 2, 1), labels=(0, 0, 2, 2), classes=("back_pack", "mug", "unknown"))
    stored = stored_runs(group_of(runs), tmp_path, None)
    shown = words(features_figure(stored, "pca"))
    assert "osbp\nHOS: 40.0 %" in shown
    assert {"back pack", "unknown"} <= set(shown)
    assert "mug" not in shown  # no target row is of it
    shown = words(confusion_figure(stored))
    assert "osbp\nright: 100.0 % of a known class, 50.0 % of the unknown" in shown
    assert any("unknown → mug: 1 of 2" in text for text in shown)
    assert any("in brackets: classes that the target has not" in text for text in shown)
    assert "(mug)" in shown


def test_a_folder_with_several_kinds_has_a_chapter_for_each(tmp_path):
    runs = [*some_runs(), *open_runs()]
    store(tmp_path, runs[0])
    found = groups(runs)
    text = page([(group, []) for group in found])
    assert "<nav><a href='#1'>office</a> <a href='#2'>office, open-set</a></nav>" in text
    assert "<h2 id='2'>office, open-set</h2>" in text
    assert "<td>data: unknown</td><td>pen, ruler</td>" in text
    assert "oracle&#x27;s accuracy minus" in text
    assert "oracle&#x27;s HOS minus" in text
    check_pair(found, tmp_path, "A-W")  # stored of one kind alone
    assert [len(stored_runs(group, tmp_path, "A-W")) for group in found] == [1, 0]


def test_dollars_in_names_are_dollars(tmp_path):
    runs = [made_record("my $x^", "A-W"), made_record("source_only", mode="source")]
    for run in runs:
        run.data.update(kind="closed")
        store(tmp_path, run, classes=("$5", "a $^ b$"))
    report([dataclasses.replace(run, dataset="$\\frac$") for run in runs], tmp_path, embedding="pca")
    assert "$5" in (tmp_path / "report" / "confusion.svg").read_text()
    assert "a $^ b$" in (tmp_path / "report" / "features.svg").read_text()
    assert "$\\frac$" in (tmp_path / "report" / "accuracy.svg").read_text()


def test_wrong_calls(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="embedding must be one of tsne, pca, umap, got 'mds'"):
        report(some_runs(), tmp_path, embedding="mds")
    with pytest.raises(ValueError, match="--pair must have stored features, got 'A-X'; there are: none"):
        report(some_runs(), tmp_path, pair="A-X")
    run = made_record()
    store(tmp_path, run)
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(ImportError, match=r"--embedding umap needs umap-learn; pip install 'dalib\[umap\]'"):
        features_figure(stored_runs(group_of([run]), tmp_path, "A-W"), "umap")
