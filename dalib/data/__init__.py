"""Domains: readers of arrays, feature files and images, their batches, and the built-in drawn benchmark."""

from dalib.data.amazon_reviews import amazon_reviews
from dalib.data.arrays import arrays
from dalib.data.batches import RowBatches, row_batches
from dalib.data.datasets import datasets
from dalib.data.digits import digits
from dalib.data.digits_jda import digits_jda
from dalib.data.domain import Domain, DomainSet, Inputs, TensorInputs, select_rows
from dalib.data.duplicates import duplicates
from dalib.data.feature_file import feature_file
from dalib.data.image_folder import image_folder
from dalib.data.image_list import image_list
from dalib.data.image_sets import (
    adaptiope,
    domainnet,
    domainnet126,
    image_clef_da,
    office31,
    office_caltech10,
    office_home,
    pacs,
    visda2017,
)
from dalib.data.images import ImageFiles
from dalib.data.known_sets import MANIFESTS
from dalib.data.manifest import Manifest
from dalib.data.office_caltech_surf import office_caltech_surf
from dalib.data.pictograms import pictograms
from dalib.data.table_file import table_file
from dalib.data.transforms import ImageTransform
from dalib.data.weighted import with_weights
from dalib.data.wisdm import wisdm

__all__ = [
    "MANIFESTS",
    "Domain",
    "DomainSet",
    "ImageFiles",
    "ImageTransform",
    "Inputs",
    "Manifest",
    "RowBatches",
    "TensorInputs",
    "adaptiope",
    "amazon_reviews",
    "arrays",
    "datasets",
    "digits",
    "digits_jda",
    "domainnet",
    "domainnet126",
    "duplicates",
    "feature_file",
    "image_clef_da",
    "image_folder",
    "image_list",
    "office31",
    "office_caltech10",
    "office_caltech_surf",
    "office_home",
    "pacs",
    "pictograms",
    "row_batches",
    "select_rows",
    "table_file",
    "visda2017",
    "wisdm",
    "with_weights",
]
