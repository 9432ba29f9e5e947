"""Domains: readers of arrays, feature files and images, their batches, and the built-in drawn benchmark."""

from dalib.data.arrays import arrays
from dalib.data.batches import RowBatches, row_batches
from dalib.data.domain import Domain, DomainSet, Inputs, TensorInputs, select_rows
from dalib.data.feature_file import feature_file

__all__ = [
    "Domain",
    "DomainSet",
    "Inputs",
    "RowBatches",
    "TensorInputs",
    "arrays",
    "feature_file",
    "row_batches",
    "select_rows",
]
