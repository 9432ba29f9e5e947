"""The example of a method of one's own, run as it stands."""

import importlib.util
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_method.py"


def test_the_example_prints_its_method_beside_the_built_in_ones(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("own_method", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    rows, labels = np.eye(6, dtype=np.float32).repeat(8, axis=0), np.arange(6).repeat(8)
    content = {
        "classes": np.array(list("abcdef")),
        "amazon_x": rows,
        "amazon_y": labels,
        "webcam_x": rows,
        "webcam_y": labels,
    }
    np.savez(tmp_path / "features.npz", **content)
    monkeypatch.chdir(tmp_path)
    lines = example.main("features.npz", steps=4, seeds=2).splitlines()
    assert any(line.startswith("mine ") and "±" in line for line in lines)
    assert len(list((tmp_path / "runs" / "mine").glob("*.json"))) == 8


def test_what_the_example_adds_to_a_script_is_short():
    """Counted without imports: the recipe, the methods, the benchmark, the table."""
    lines = EXAMPLE.read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(('"""', "from ", "import "))]
    assert len(code) < 15
