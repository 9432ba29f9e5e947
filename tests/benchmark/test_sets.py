"""The data sets of the command line: every name reads, wrong options are refused, pairs are found by known names."""

import os
from pathlib import Path

import numpy as np
import pytest

from dalib.benchmark import Protocol, benchmark, scenarios, trained
from dalib.benchmark.cli import main
from dalib.benchmark.sets import SETS, named_pairs, read_set
from dalib.data import MANIFESTS, arrays
from dalib.methods import dan

DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not in {DATA}; set DALIB_DATA")


def small(*names):
    return arrays({name: (np.eye(2), ["mug", "pen"]) for name in names})


def test_every_published_set_has_a_name_and_a_short_line():
    assert set(MANIFESTS) < set(SETS)
    for named in SETS.values():
        assert len(named.about) <= 110
        assert "\n" not in named.about


@pytest.mark.parametrize("name", [name for name, named in SETS.items() if named.needs_root])
def test_a_root_without_the_set_is_an_error_that_says_what_it_must_be(name, tmp_path):
    with pytest.raises(ValueError, match=f"--root must be .* for the set {name}, got none"):
        read_set(name, None)
    with pytest.raises(ValueError, match="which does not exist"):
        read_set(name, tmp_path / "no")
    with pytest.raises((ValueError, FileNotFoundError)):
        read_set(name, tmp_path)


def test_lists_are_for_the_set_list_alone(tmp_path):
    with pytest.raises(ValueError, match=r"--lists must be given for the set list alone, got .* for the set office31"):
        read_set("office31", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="--lists must be given for the set list alone"):
        read_set("pictograms", None, tmp_path)


def test_hidden_files_are_no_lists(tmp_path):
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    (tmp_path / "mug").mkdir()
    pillow.new("RGB", (4, 4)).save(tmp_path / "mug" / "0.png")
    (tmp_path / "shop_list.txt").write_text("mug/0.png 0")
    (tmp_path / "._shop_list.txt").write_bytes(b"\0\5\x16\7")  # what macOS leaves beside a file
    assert list(read_set("list", tmp_path, tmp_path).domains) == ["shop"]


def test_features_in_every_format(tmp_path):
    pytest.importorskip("scipy")
    from scipy.io import savemat

    content = {f"{name}_{part}": value for name in "ab" for part, value in (("x", np.eye(2)), ("y", np.arange(2)))}
    np.savez(tmp_path / "s.npz", classes=np.array(["mug", "pen"]), **content)
    savemat(tmp_path / "s.mat", {"classes": np.array(["mug", "pen"]), **content})
    (tmp_path / "s.csv").write_text("domain,label,p,q\n" + "".join(f"{d},mug,1,0\n{d},pen,0,1\n" for d in "ab"))
    read = [read_set("features", tmp_path / f"s.{ending}").fingerprint() for ending in ("npz", "mat", "csv")]
    assert len(set(read)) == 1


def test_pairs_are_matched_against_the_known_names():
    dashed = small("real-life", "product-images", "synthetic")
    assert named_pairs(dashed, None) is None
    assert named_pairs(dashed, "real-life-synthetic, P-S ,real-life-product-images,P-S") == [
        ("real-life", "synthetic"),
        ("P", "S"),
        ("real-life", "product-images"),
    ]
    assert named_pairs(small("amazon", "webcam"), "a-W") == [("a", "W")]
    commas = small("Leeds, day", "Leeds, night", "York")
    assert named_pairs(commas, "Leeds, day-York,York-leeds, night, Leeds, day-Leeds, night,") == [
        ("Leeds, day", "York"),
        ("York", "leeds, night"),
        ("Leeds, day", "Leeds, night"),
    ]
    longer = small("Paris", "Paris, TX", "London")
    assert named_pairs(longer, "London-Paris, TX,L-Paris") == [("London", "Paris, TX"), ("L", "Paris")]
    assert named_pairs(longer, "London-Paris, T") == [("London", "Paris, T")]
    assert named_pairs(small(",a", "b"), ",a-b") == [(",a", "b")]
    with pytest.raises(ValueError, match=r"readable in one way, got 'b-a,b-a', which can mean b-a; b-a and b-a,b-a"):
        named_pairs(small("a", "b", "a,b-a"), "b-a,b-a")
    # names that nobody knows go on to the check that lists the known ones
    assert named_pairs(dashed, "A-X") == [("A", "X")]
    both = small("a", "a-b", "b", "b-b")
    with pytest.raises(ValueError, match=r"got 'a-b-b', which can mean a to b-b and a-b to b; use short names"):
        named_pairs(both, "a-b-b")
    for text, message in [
        ("AW", "must look like A-W,W-A"),
        ("A-", "must look like"),
        ("-", "must look like"),
        (",", "at least one pair"),
    ]:
        with pytest.raises(ValueError, match=message):
            named_pairs(dashed, text)


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("name", "root", "pairs"),
    [
        ("office_caltech_surf", "office_caltech10_surf", "C-D"),
        ("digits_jda", "digits_jda", "U-M"),
        ("amazon_reviews", "amazon_reviews_400", "B-K"),
        ("wisdm", "wisdm_v11", "A-D"),
    ],
)
def test_the_real_sets_run(name, root, pairs):
    read = read_set(name, DATA / root)
    protocol = Protocol(**SETS[name].protocol(), steps=2, checkpoints=1)
    chosen = scenarios(read, named_pairs(read, pairs))
    (run,) = benchmark({"dan": trained(dan, protocol)}, chosen, seeds=1, scores={})
    assert (run.dataset, run.scenario) == (name, pairs)
    assert 0 < run.checkpoints[-1]["accuracy"] <= 1


@pytest.mark.data
@needs_data
def test_the_pictures_of_digits_fit_their_backbone():
    pytest.importorskip("h5py", reason="reading usps.h5 needs h5py")
    read = read_set("digits", DATA)
    model = SETS["digits"].protocol()["backbone"].build()
    for domain in read.domains.values():
        assert model.eval()(domain.inputs.load(np.arange(2))).shape == (2, 128)


def test_a_picture_that_is_cut_off_leaves_no_folder(tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for place in ("shop", "desk"):
        for label in ("mug", "pen"):
            folder = tmp_path / "data" / place / label
            folder.mkdir(parents=True)
            pillow.fromarray(noise).save(folder / "0.jpg")
    broken = tmp_path / "data" / "shop" / "pen" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    backbone = tmp_path / "net.py"
    backbone.write_text("from dalib.training.backbones import small_cnn\n")
    usual = ("--backbone", f"{backbone}:small_cnn", "--steps", "2", "--seeds", "1", "--jobs", "1")
    out = tmp_path / "out"
    assert main(["run", "folder", "--root", str(tmp_path / "data"), "--out", str(out), *usual]) == 2
    assert f"got {broken}" in capsys.readouterr().err
    assert not out.exists()
    chosen = scenarios(read_set("folder", tmp_path / "data"))
    with pytest.raises(ValueError, match="must be readable images"):
        benchmark({"dan": trained(dan, Protocol(steps=2))}, chosen, seeds=1, out=out)
    assert not out.exists()
