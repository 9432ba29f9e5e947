"""Domains: readers of arrays, feature files and images, their batches, and the built-in drawn benchmark."""

from dalib.data.arrays import arrays
from dalib.data.batches import RowBatches, row_batches
from dalib.data.domain import Domain, DomainSet, Inputs, TensorInputs, select_rows
from dalib.data.feature_file import feature_file
from dalib.data.manifest import OFFICE31_CLASSES, OFFICE31_COUNTS, check_office31
from dalib.data.pictograms import pictograms

__all__ = [
    "OFFICE31_CLASSES",
    "OFFICE31_COUNTS",
    "Domain",
    "DomainSet",
    "Inputs",
    "RowBatches",
    "TensorInputs",
    "arrays",
    "check_office31",
    "feature_file",
    "pictograms",
    "row_batches",
    "select_rows",
]
