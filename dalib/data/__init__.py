"""Domains: readers of arrays, feature files and images, their batches, and the built-in drawn benchmark."""

from dalib.data.arrays import arrays
from dalib.data.batches import RowBatches, row_batches
from dalib.data.domain import Domain, DomainSet, Inputs, TensorInputs, select_rows
from dalib.data.feature_file import feature_file
from dalib.data.image_folder import image_folder
from dalib.data.image_list import image_list
from dalib.data.images import ImageFiles
from dalib.data.manifest import check_office31
from dalib.data.office31 import office31
from dalib.data.pictograms import pictograms
from dalib.data.transforms import ImageTransform
from dalib.data.weighted import with_weights

__all__ = [
    "Domain",
    "DomainSet",
    "ImageFiles",
    "ImageTransform",
    "Inputs",
    "RowBatches",
    "TensorInputs",
    "arrays",
    "check_office31",
    "feature_file",
    "image_folder",
    "image_list",
    "office31",
    "pictograms",
    "row_batches",
    "select_rows",
    "with_weights",
]
