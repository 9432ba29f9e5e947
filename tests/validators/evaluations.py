"""Evaluations that the tests of several scores are asked about."""

import torch
from hypothesis import strategies as st

from dalib.evaluation import Evaluation
from dalib.outputs import Outputs

numbers = st.floats(-20, 20, allow_nan=False, width=32)


def evaluation(logits, features=None, *, source=None, held_out=None, **others):
    """An evaluation with these target logits; the source is one row a class unless given as (features, logits, labels)."""
    features = logits if features is None else features
    if source is None:
        classes = logits.shape[1]
        rows = torch.zeros(classes, features.shape[1])
        rows[:, 0] = torch.arange(classes)
        source = (rows, torch.eye(classes), torch.arange(classes))
    return Evaluation(
        source=Outputs(*source[:2], labels=source[2]),
        target=Outputs(features, logits),
        source_held_out=None if held_out is None else Outputs(*held_out[:2], labels=held_out[2]),
        **others,
    )


def certain(classes, count):
    """Logits of predictions that leave no doubt."""
    return 200.0 * torch.nn.functional.one_hot(torch.as_tensor(classes), count).double()


@st.composite
def logits(draw, min_rows=1, min_classes=2):
    """A float64 matrix of logits."""
    rows, classes = draw(st.integers(min_rows, 7)), draw(st.integers(min_classes, 4))
    row = st.lists(numbers, min_size=classes, max_size=classes)
    return torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=torch.float64)


def blobs(rows=60, classes=3, features=5, *, shift=0.5, seed=0, dtype=torch.float32):
    """A problem with well-separated classes, a shifted target and a linear head that is right on both domains."""
    generator = torch.Generator().manual_seed(seed)
    centres = 4 * torch.eye(classes, features)
    labels = torch.arange(rows) % classes
    parts = []
    for by in (0.0, 0.0, shift):
        x = centres[labels] + 0.5 * torch.randn(rows, features, generator=generator) + by
        parts.append((x.to(dtype), (x @ centres.T).to(dtype), labels))
    source, held_out, (x, z, _) = parts
    return evaluation(z, x, source=source, held_out=held_out)
