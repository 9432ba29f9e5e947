"""The examples of the docs run as they stand; ``own_method.py`` in tests/benchmark/test_own_method.py."""

import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


@pytest.mark.parametrize("name", ["one_loss.py", "compose.py"])
def test_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "compose.py":
        pytest.importorskip("transformers")
    namespace = runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    losses = namespace.get("losses")
    if losses is not None:
        assert torch.isfinite(losses.total)


def test_two_lines_make_the_features_alike():
    namespace = runpy.run_path(str(EXAMPLES / "one_loss.py"))
    mmd, backbone = namespace["mmd"], namespace["backbone"]
    with torch.no_grad():
        after = mmd(backbone(namespace["source"]), backbone(namespace["target"]))
        torch.manual_seed(0)
        fresh = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU())
        before = mmd(fresh(namespace["source"]), fresh(namespace["target"]))
    assert after < before / 2


@pytest.mark.parametrize(("name", "lines"), [("compose.py", 15), ("own_method.py", 15)])
def test_as_few_lines_as_promised(name, lines):
    text = (EXAMPLES / name).read_text()
    body = text.split("# -----")[1] if "# -----" in text else text.split('"""', 2)[2]
    statements = [
        line for line in body.splitlines()[1:] if line.strip() and not line.strip().startswith(("#", "import", "from"))
    ]
    assert len(statements) <= lines
