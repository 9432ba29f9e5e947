"""What all tests and doctests share: one torch thread, seeds, names, hypothesis profiles, the real data folder."""

import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from dalib.outputs import Outputs

settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("deep", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

REPOSITORY = Path(__file__).resolve().parent

if torch.version.cuda is None and importlib.util.find_spec("torchvision") is not None:
    # The published torchvision looks for its compiled operators when it is imported and finds none beside a CPU-only
    # torch. Their schemas are all that timm and transformers need of them.
    _SCHEMAS = torch.library.Library("torchvision", "DEF")
    _SCHEMAS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _SCHEMAS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

torch.set_num_threads(1)  # more threads than free cores are slower than one


def pytest_collect_file(file_path):
    """A file of the library that is collected for its doctests finds its package imported.

    pytest would import the package itself and then the file once more: two copies, whose classes do not pickle.
    """
    if file_path.suffix == ".py" and REPOSITORY / "dalib" in file_path.parents:
        importlib.import_module(".".join(file_path.parent.relative_to(REPOSITORY).parts))


def pytest_collection_modifyitems(items):
    """Tests marked `cuda` are skipped where there is no device, and say so."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, torch sees none"))


@pytest.fixture
def data_folder() -> Path:
    """The folder of the real data sets."""
    folder = Path(os.environ.get("DALIB_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets; DALIB_DATA or {folder} is not a folder")
    return folder.resolve()


@pytest.fixture(autouse=True)
def _seeded_and_named(doctest_namespace):
    """Every test starts from one seed; every doctest knows `torch`, `np` and `Outputs`."""
    torch.manual_seed(0)
    doctest_namespace.update(torch=torch, np=np, Outputs=Outputs)
