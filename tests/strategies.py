"""Inputs that hypothesis draws: float64 matrices and row weights."""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

numbers = st.floats(-5, 5, allow_nan=False, width=32)


def matrix(rows, columns):
    """A float64 tensor of this shape."""
    return arrays(np.float64, (rows, columns), elements=numbers).map(torch.from_numpy)


@st.composite
def two_samples(draw, min_rows=1, max_rows=6, max_columns=4):
    """Two float64 matrices of one width and unequal numbers of rows."""
    columns = draw(st.integers(1, max_columns))
    n, m = draw(st.integers(min_rows, max_rows)), draw(st.integers(min_rows, max_rows))
    return draw(matrix(n, columns)), draw(matrix(m, columns))


def row_weights(rows):
    """Positive float64 weights, one a row."""
    return arrays(np.float64, rows, elements=st.floats(0.125, 3, width=32)).map(torch.from_numpy)


def counts(rows):
    """How often each row is repeated."""
    return arrays(np.int64, rows, elements=st.integers(1, 3)).map(torch.from_numpy)
