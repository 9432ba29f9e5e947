"""The tutorial on heart disease runs on the real files and says what it is documented to say."""

import os
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("DALIB_DATA", ROOT.parent / "shared" / "data")) / "heart_disease"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no heart disease files in {DATA}; set DALIB_DATA")
@pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")
def test_weighted_selection_on_rows_with_gaps():
    found = runpy.run_path(str(ROOT / "docs" / "examples" / "heart_disease.py"))["main"](str(DATA))
    assert found["effective rows"] < 30  # of 303: the hospitals are easily told apart
    assert found["largest difference of means, after"] < found["largest difference of means, before"]
    assert 0.5 < found["estimated accuracy"] <= 1.0
    assert found["unweighted"] > 0.7
    assert found["weighted"] > 0.6
