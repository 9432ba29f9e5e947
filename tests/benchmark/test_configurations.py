"""Different configurations have different keys, the same one has the same key in every process."""

import functools
import importlib
import json
import math
import os
import random
import re
import subprocess
import sys
from collections import deque

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from dalib import losses
from dalib.benchmark import Backbone, Protocol, code, identity, run, trained
from dalib.benchmark.run import run_key
from dalib.kernels import Gaussian, Laplacian
from dalib.methods import dan

WEIGHT = 1.0
SETTINGS = {"weight": 1.0}


class Slots:
    __slots__ = ("__private", "weight")

    def __init__(self, weight):
        self.weight = weight
        self.__private = weight

    def __call__(self, task, seed):
        return self.weight


class Module(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight


class Reading:
    def __call__(self, task, seed):
        return WEIGHT


def with_default(weight):
    def mine(task, seed, weight=weight):
        return weight

    return mine


def with_keyword(weight):
    def mine(task, seed, *, weight=weight):
        return weight

    return mine


def reading(task, seed):
    return WEIGHT


def reading_within(task, seed):
    def predict(inputs):
        return [SETTINGS["weight"] for _ in inputs]

    return predict


def calling(task, seed):
    return reading(task, seed) if seed else calling(task, 1)


class Attribute:
    pass


def constant(weight):
    return type("Made", (), {"__module__": __name__, "weight": weight})()


def holding(weight):
    def mine(task, seed):
        return mine.weight

    mine.weight = weight
    return mine


PAIRS = {
    "default": with_default,
    "keyword default": with_keyword,
    "lambda": lambda weight: lambda e, weight=weight: weight,
    "slots": Slots,
    "module": Module,
    "module within": lambda weight: torch.nn.Sequential(Module(weight)),
    "class constant": constant,
    "function attribute": holding,
    "bytes": lambda weight: str(weight).encode(),
    "pattern": lambda weight: re.compile(str(weight)),
    "deque": lambda weight: deque([weight]),
    "array of objects": lambda weight: np.array([weight, "a"], dtype=object),
    "complex number of numpy": lambda weight: np.complex64(weight),
    "long double": np.longdouble,
    "key of another type": lambda weight: {1: weight, "1": 0.0},
    "tensor of bfloat16": lambda weight: torch.tensor([weight], dtype=torch.bfloat16),
    "sparse tensor": lambda weight: torch.tensor([weight]).to_sparse(),
    "conjugate": lambda weight: torch.tensor([weight * 1j]).conj(),
    "generator of numpy": lambda weight: np.random.default_rng(int(weight)),
    "old generator of numpy": lambda weight: np.random.RandomState(int(weight)),
    "generator of torch": lambda weight: torch.Generator().manual_seed(int(weight)),
    "generator of Python": lambda weight: random.Random(int(weight)),
    "fitted tree": lambda weight: DecisionTreeClassifier().fit([[0.0], [weight]], [0, 1]),
    "backbone": lambda weight: Backbone("mine", functools.partial(Module, weight)),
    "dropout of attention": lambda weight: torch.nn.MultiheadAttention(2, 1, dropout=weight / 4),
}


@pytest.mark.parametrize("name", PAIRS)
def test_configurations_that_differ_in_one_value_are_told_apart(name):
    make = PAIRS[name]
    with torch.random.fork_rng():
        described = []
        for weight in (1.0, 1.0, 2.0):
            torch.manual_seed(0)
            described.append(identity.key({"a": identity.describe(make(weight))}))
    assert described[0] == described[1] != described[2]


@pytest.mark.parametrize(
    "function",
    [reading, reading_within, calling, Reading()],
    ids=["alone", "in a function within", "by a call", "an object"],
)
@pytest.mark.parametrize("place", [lambda f: f, lambda f: {"entry": [f]}], ids=["itself", "in a list"])
def test_globals_that_a_function_reads_are_part_of_it(function, place, monkeypatch):
    before = identity.describe(place(function))
    assert identity.describe(place(function)) == before
    monkeypatch.setitem(globals(), "WEIGHT", 2.0)
    monkeypatch.setitem(globals(), "SETTINGS", {"weight": 2.0})
    assert identity.describe(place(function)) != before


LOG, CACHE, COUNT = [], {}, 0


def filling(task, seed):
    global COUNT
    COUNT += 1
    LOG.append(seed)
    CACHE[seed] = task
    return lambda: LOG


def test_globals_that_a_function_fills_are_no_part_of_it():
    before = identity.describe(filling)
    filling(1, 2)
    assert (LOG, CACHE, COUNT) == ([2], {2: 1}, 1)
    assert identity.describe(filling) == before


def test_the_walk_stops_at_what_would_lead_through_the_process():
    import logging
    import threading

    import numpy

    def mine(task, seed, values=torch):
        return numpy.pi, values

    held = constant(1.0)
    held.log, held.thread, held.shared = (
        logging.getLogger("mine"),
        threading.current_thread(),
        np.random.get_state.__self__,
    )
    text = json.dumps(identity.describe([mine, held]))
    assert '{"module": "numpy"}' in text
    assert len(text) < 1000
    before = identity.describe(held)
    held.shared.random_sample()  # where the process's own generator stands is no setting
    assert identity.describe(held) == before


def test_a_frame_of_pandas_is_not_asked_for_its_statistics():
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    assert identity.describe(pandas.DataFrame({"a": [1, 2]}))["class"].endswith("DataFrame")


def test_zero_and_zero_with_a_point_are_one_protocol():
    written, meant = Protocol(weight_decay=0, rate=np.float32(1)), Protocol(weight_decay=0.0, rate=1.0)
    assert json.dumps(identity.describe(written)) == json.dumps(identity.describe(meant))


def test_an_infinite_option_is_recorded(scenario, tmp_path):
    def mine(features, classes, steps, *, limit):
        return dan(features, classes, steps)

    made = run(trained(mine, Protocol(steps=2), limit=math.inf), "mine", scenario, np.int64(0), out=tmp_path)
    assert made.config["options"]["limit"]["value"] == "inf"
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_values_that_hold_themselves_have_a_description():
    loop = Attribute()
    loop.itself, loop.rows = loop, [1]
    loop.rows.append(loop.rows)
    assert identity.describe(loop) == identity.describe(loop)


def test_two_lambdas_of_one_name_are_told_apart():
    first = lambda task, seed: 1  # noqa: E731
    other = lambda task, seed: 2  # noqa: E731
    assert code.code(first) != code.code(other)


def test_a_record_of_another_default_is_not_served(scenario, tmp_path):
    from dalib.benchmark import Checkpoint
    from dalib.outputs import Outputs

    def made(weight):
        def mine(task, seed, *, weight=weight):
            logits = torch.zeros(60, 4)
            yield Checkpoint(1, lambda inputs: Outputs(logits, logits), notes={"weight": weight})

        return mine

    found = [run(made(w), "mine", scenario, 0, out=tmp_path).checkpoints[0]["notes"]["weight"] for w in (1.0, 2.0)]
    assert found == [1.0, 2.0]
    scored = [run(made(1.0), "mine", scenario, 0, out=tmp_path, scores={"s": lambda e, t=t: t}) for t in (1.0, 2.0)]
    assert [done.checkpoints[0]["scores"]["s"] for done in scored] == [1.0, 2.0]


def test_recipes_and_forward_functions_of_the_user_are_told_apart():
    def recipe(weight):
        def mine(features, classes, steps, *, weight=weight):
            return dan(features, classes, steps, weight=weight)

        return trained(mine, Protocol(steps=2))

    def forward(weight):
        def joint(model, source, target, *, weight=weight):
            return model, weight

        return trained(dan, Protocol(steps=2, forward=joint))

    for make in (recipe, forward):
        first, again, other = (identity.describe(make(weight)) for weight in (1.0, 1.0, 2.0))
        assert first == again != other
    assert "forward_function" not in json.dumps(identity.describe(trained(dan, Protocol(steps=2))))


PROGRAM = """
import json, sys
import numpy as np, torch
from dalib.benchmark import code, identity
from dalib.methods import dan

W, NAMES, KINDS, ARRAY = 2.0, {"b", "a", "c"}, {"x": {1, 2, 3}}, np.eye(2)

class Net(torch.nn.Module):
    scale = 3
    def __init__(self):
        super().__init__()
        self.names = frozenset("abcdef")
    def forward(self, x):
        return helper(x)

def helper(x, also={"p", "q", "r"}):
    return W if x in {"u", "v", "w"} else (NAMES, KINDS, ARRAY, other)

def other(task, seed, *, net=Net()):
    return helper(task), dan, sys, (lambda: helper)

print(identity.key({"a": identity.describe([other, Net(), helper, Net]), "b": code.code(other)}))
"""


def test_a_fresh_process_gives_the_same_key(tmp_path):
    (tmp_path / "mine.py").write_text(PROGRAM)
    for command in (["mine.py"], ["-c", PROGRAM]):
        found = {
            subprocess.run(
                [sys.executable, *command],
                cwd=tmp_path,
                env={**os.environ, "PYTHONHASHSEED": number},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for number in ("1", "2")
        }
        assert len(found) == 1
        assert len(found.pop().strip()) == 64


def test_descriptions_hold_no_addresses(scenario):
    values = [
        *(make(1.0) for make in PAIRS.values()),
        reading_within,
        calling,
        object(),
        np.exp,
        str.lower,
        {reading: 1},
    ]
    assert "0x" not in json.dumps(identity.describe(values))
    assert run_key(reading, "reading", scenario, 0) == run_key(reading, "reading", scenario, 0)


def fixed_rule(rows, weights):
    return rows.new_tensor(2.0)


def other_rule(rows, weights):
    return rows.new_tensor(3.0)


def test_a_loss_that_a_method_holds_is_known_by_its_options_and_in_every_process():
    kernels = [
        Gaussian(),
        Gaussian([1.0]),
        Gaussian(torch.tensor([2.0])),
        Gaussian(rule=fixed_rule),
        Gaussian(rule=functools.partial(fixed_rule)),
        Gaussian(rule=functools.partial(other_rule)),
        Laplacian(),
    ]
    for make in (
        lambda kernel: losses.MMDLoss(kernel=kernel),
        lambda kernel: losses.UnbiasedMMDLoss(kernel=kernel),
        lambda kernel: losses.BlockMMDLoss(kernel=kernel),
        lambda kernel: losses.LinearTimeMMDLoss(kernel=kernel),
        lambda kernel: torch.nn.ModuleList([losses.MMDLoss(kernel=kernel)]),
    ):
        found = {json.dumps(identity.describe(make(kernel)), sort_keys=True) for kernel in kernels}
        assert len(found) == len(kernels)
        assert not any("0x" in text for text in found)
    joint = [losses.JointMMDLoss(kernels=[kernel, Gaussian()]) for kernel in kernels if isinstance(kernel, Gaussian)]
    found = {json.dumps(identity.describe(loss), sort_keys=True) for loss in joint}
    assert len(found) == len(joint)
    assert not any("0x" in text for text in found)


class Written(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def extra_repr(self):
        return f"{self.name}, {object()}"


def test_an_address_in_what_a_module_writes_of_itself_is_left_out():
    kept = Written("a"), Written("a"), Written("b")  # all at once: each object has its own address
    found = [json.dumps(identity.describe(each)) for each in kept]
    assert "0x" not in found[0]
    assert found[0] == found[1] != found[2]


def test_code_that_the_users_file_imports_is_part_of_the_key(tmp_path, monkeypatch):
    package = tmp_path / "of_user"
    package.mkdir()
    files = {
        "__init__": "",
        "method": "from .losses import gap\nimport of_user.beside\ndef mine(f, c, s):\n    return gap",
        "losses": "import importlib\nfrom of_user import numbers_of\n"
        "def gap(s, t):\n    return numbers_of.FACTOR * (s.mean() - t.mean())\n"
        "def late():\n    return importlib.import_module('of_user.late'), importlib.import_module('.later', __package__)\n"
        "def never(name):\n    return importlib.import_module(name), importlib.import_module('....far', package='of_user')\n"
        "from importlib import import_module as load\n"
        "def last():\n    return load('.last', 'beside_user'), load(package='beside_user', name='.least')",
        "numbers_of": "FACTOR = 1",
        "beside": "import json",
        "late": "LATE = 1",
        "later": "LATER = 1",
        "elsewhere": "OTHER = 1",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "beside_user").mkdir()
    others = [tmp_path / "beside_user" / f"{name}.py" for name in ("__init__", "last", "least")]
    for path in others:
        path.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("of_user.method").mine
    found = {code.code(mine)}
    for number, name in enumerate(("method", "losses", "numbers_of", "beside", "late", "later"), start=2):
        (package / f"{name}.py").write_text(files[name] + "\n# changed")
        found.add(code.code(mine))
        assert len(found) == number
    for path in others:
        path.write_text("CHANGED = True")
        found.add(code.code(mine))
    assert len(found) == number + len(others)
    assert "beside_user" not in sys.modules
    (package / "elsewhere.py").write_text("OTHER = 2")
    assert code.code(mine) in found
    for name in [name for name in sys.modules if name.startswith("of_user")]:
        monkeypatch.delitem(sys.modules, name)
