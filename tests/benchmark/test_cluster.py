"""The runs of a benchmark on the workers of an existing engine: the same records."""

import joblib
import numpy as np
import pytest

from dalib.benchmark import Protocol, benchmark, scenarios, trained
from dalib.data import arrays
from dalib.methods import dan, source_only

PROTOCOL = Protocol(steps=10, checkpoints=2, batch_size=8, bottleneck=4)


@pytest.mark.slow
def test_two_dask_workers_give_the_records_of_one_process(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    draw = np.random.default_rng(0)
    rows = {name: (draw.normal(size=(30, 4)) + shift, np.arange(30) % 3) for shift, name in enumerate("AB")}
    pairs = scenarios(arrays(rows))
    methods = {"source_only": trained(source_only, PROTOCOL), "dan": trained(dan, PROTOCOL)}
    seen = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        runs = benchmark(methods, pairs, seeds=2, jobs=2, out=tmp_path, progress=lambda p: seen.append(p.done))
    expected = benchmark(methods, pairs, seeds=2)
    assert [run.checkpoints for run in runs] == [run.checkpoints for run in expected]
    assert seen == list(range(9))
    assert len(list(tmp_path.glob("*.json"))) == 8
