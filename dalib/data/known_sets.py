"""The published data sets that have a reader here: their domains, classes and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dalib.data._class_names import (
    DOMAINNET126_CLASSES,
    DOMAINNET_CLASSES,
    IMAGE_CLEF_CLASSES,
    OFFICE_HOME_CLASSES,
    VISDA_CLASSES,
)
from dalib.data.manifest import MEAN_OF_CLASSES, Manifest

OFFICE31_CLASSES = (
    "back_pack", "bike", "bike_helmet", "bookcase", "bottle", "calculator", "desk_chair", "desk_lamp",
    "desktop_computer", "file_cabinet", "headphones", "keyboard", "laptop_computer", "letter_tray", "mobile_phone",
    "monitor", "mouse", "mug", "paper_notebook", "pen", "phone", "printer", "projector", "punchers", "ring_binder",
    "ruler", "scissors", "speaker", "stapler", "tape_dispenser", "trash_can",
)  # fmt: skip
"""The 31 classes of Office-31 in their usual order, which is the alphabetical one."""

OFFICE31_COUNTS: Mapping[str, tuple[int, ...]] = MappingProxyType({
    "amazon": (92, 82, 72, 82, 36, 94, 91, 97, 97, 81, 99, 100, 100, 98, 100, 99,
               100, 94, 96, 95, 93, 100, 98, 98, 90, 75, 100, 99, 99, 96, 64),
    "dslr": (12, 21, 24, 12, 16, 12, 13, 14, 15, 15, 13, 10, 24, 16, 31, 22,
             12, 8, 10, 10, 13, 15, 23, 18, 10, 7, 18, 26, 21, 22, 15),
    "webcam": (29, 21, 28, 12, 16, 31, 40, 18, 21, 19, 27, 27, 30, 19, 30, 43,
               30, 27, 28, 32, 16, 20, 30, 27, 40, 11, 25, 30, 24, 23, 21),
})  # fmt: skip
"""Rows of Office-31 by domain and class: 2817, 498 and 795 in all."""

CALTECH10_CLASSES = (
    "back_pack", "bike", "calculator", "headphones", "keyboard", "laptop_computer", "monitor", "mouse", "mug",
    "projector",
)  # fmt: skip
"""The 10 classes that Office-31 and Caltech-256 share."""

_CALTECH10_ROWS = {
    "caltech": (151, 110, 100, 138, 85, 128, 133, 94, 87, 97),
    "amazon": (92, 82, 94, 99, 100, 100, 99, 100, 94, 98),
    "webcam": (29, 21, 31, 27, 27, 30, 43, 30, 27, 30),
    "dslr": (12, 21, 12, 13, 10, 24, 22, 12, 8, 23),
}

_SETS = (
    Manifest(
        "office31",
        "Office-31",
        OFFICE31_CLASSES,
        OFFICE31_COUNTS,
        "Saenko, Kulis, Fritz, Darrell. Adapting Visual Category Models to New Domains. ECCV 2010.",
        seen=True,
    ),
    Manifest(
        "office_caltech10",
        "Office-Caltech10",
        CALTECH10_CLASSES,
        _CALTECH10_ROWS,
        "Gong, Shi, Sha, Grauman. Geodesic Flow Kernel for Unsupervised Domain Adaptation. CVPR 2012.",
    ),
    Manifest(
        "office_home",
        "Office-Home",
        OFFICE_HOME_CLASSES,
        {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real_World": 4357},
        "Venkateswara, Eusebio, Chakraborty, Panchanathan. Deep Hashing Network for Unsupervised Domain Adaptation. "
        "CVPR 2017.",
    ),
    Manifest(
        "visda2017",
        "VisDA-2017",
        VISDA_CLASSES,
        {"train": 152397, "validation": (3646, 3475, 4690, 10401, 4691, 2075, 5796, 4000, 4549, 2281, 4236, 5548)},
        "Peng, Usman, Kaushik, Hoffman, Wang, Saenko. VisDA: The Visual Domain Adaptation Challenge. 2017.",
        metric=MEAN_OF_CLASSES,
    ),
    Manifest(
        "domainnet",
        "DomainNet",
        DOMAINNET_CLASSES,
        {  # training and test list
            "clipart": 33525 + 14604,
            "infograph": 36023 + 15582,
            "painting": 50416 + 21850,
            "quickdraw": 120750 + 51750,
            "real": 120906 + 52041,
            "sketch": 48212 + 20916,
        },
        "Peng, Bai, Xia, Huang, Saenko, Wang. Moment Matching for Multi-Source Domain Adaptation. ICCV 2019.",
        lists=(("{domain}_train.txt", "{domain}_test.txt"),),
    ),
    Manifest(
        "domainnet126",
        "DomainNet-126",
        DOMAINNET126_CLASSES,
        {"clipart": 18703, "painting": 31502, "real": 70358, "sketch": 24582},
        "Saito, Kim, Sclaroff, Darrell, Saenko. Semi-supervised Domain Adaptation via Minimax Entropy. ICCV 2019.",
        lists=(("labeled_source_images_{domain}.txt",), ("{domain}_list.txt",)),
    ),
    Manifest(
        "image_clef_da",
        "ImageCLEF-DA",
        IMAGE_CLEF_CLASSES,
        {"caltech": (50,) * 12, "imagenet": (50,) * 12, "pascal": (50,) * 12},
        "Caputo, Mueller, Martinez-Gomez, et al. ImageCLEF 2014: Overview and Analysis of the Results. CLEF 2014.",
        folders={"caltech": ("c",), "imagenet": ("i",), "pascal": ("p",)},
        lists=(("{domain}List.txt",),),
    ),
    Manifest(
        "pacs",
        "PACS",
        ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
        {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
        "Li, Yang, Song, Hospedales. Deeper, Broader and Artier Domain Generalization. ICCV 2017.",
    ),
    Manifest(
        "adaptiope",
        "Adaptiope",
        (),
        {"product_images": (100,) * 123, "real_life": (100,) * 123, "synthetic": (100,) * 123},
        "Ringwald, Stiefelhagen. Adaptiope: A Modern Benchmark for Unsupervised Domain Adaptation. WACV 2021.",
    ),
    Manifest(
        "office_caltech_surf",
        "Office-Caltech10 (SURF)",
        CALTECH10_CLASSES,
        _CALTECH10_ROWS,
        "Gong, Shi, Sha, Grauman. Geodesic Flow Kernel for Unsupervised Domain Adaptation. CVPR 2012.",
        seen=True,
    ),
    Manifest(
        "amazon_reviews",
        "Amazon reviews (400 features)",
        ("0", "1"),
        {"books": (1000, 1000), "dvd": (1000, 999), "electronics": (1000, 998), "kitchen": (1000, 999)},
        "Blitzer, Dredze, Pereira. Biographies, Bollywood, Boom-boxes and Blenders. ACL 2007.",
        seen=True,
    ),
    Manifest(
        "digits_jda",
        "USPS and MNIST as the JDA paper sampled them",
        tuple("0123456789"),
        {
            "usps": (352, 241, 165, 166, 166, 126, 139, 172, 129, 144),
            "mnist": (196, 227, 207, 202, 196, 179, 191, 206, 195, 201),
        },
        "Long, Wang, Ding, Sun, Yu. Transfer Feature Learning with Joint Distribution Adaptation. ICCV 2013.",
        seen=True,
    ),
)

MANIFESTS: Mapping[str, Manifest] = MappingProxyType({manifest.name: manifest for manifest in _SETS})
"""Every published set that dalib checks, by name."""
