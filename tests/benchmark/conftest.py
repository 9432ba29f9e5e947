"""A small shifted problem that every test of the benchmark shares."""

import numpy as np
import pytest

from dalib.benchmark import scenarios
from dalib.data import arrays


def shifted_set(rows=60, classes=4, seed=0):
    """Three domains of Gaussian classes; webcam is amazon moved, dslr is amazon turned a little. Rows sorted by class."""
    generator = np.random.default_rng(seed)
    centres = 1.5 * generator.standard_normal((classes, 6))
    labels = np.sort(generator.integers(0, classes, rows))
    labels[:classes] = np.arange(classes)
    labels = np.sort(labels)
    noise = {name: generator.standard_normal((rows, 6)) for name in ("amazon", "dslr", "webcam")}
    moved = {"amazon": 0.0, "dslr": 0.3, "webcam": 1.5}
    names = np.array([f"class {number}" for number in range(classes)])
    return arrays(
        {name: (centres[labels] + noise[name] + moved[name], names[labels]) for name in noise}, name="gaussians"
    )


@pytest.fixture
def no_pictures(monkeypatch):
    """The command line without its pictures, which take longer than short runs; other tests look at them."""
    monkeypatch.setattr("dalib.benchmark.cli.report", lambda runs, folder, **options: [folder])


@pytest.fixture(scope="session")
def domain_set():
    return shifted_set()


@pytest.fixture(scope="session")
def scenario(domain_set):
    return scenarios(domain_set, [("A", "W")])[0]
