"""Backbones by specification, with the normalisation of their weights."""

import functools

import pytest
import torch

from dalib.benchmark import Backbone, Protocol, backbone
from dalib.benchmark.code import code
from dalib.benchmark.identity import describe

MINE = """
import torch
from torch import nn
{constants}
def net(pretrained=True):
    torch.manual_seed(0) if pretrained else None
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))
def plain():
    return nn.Flatten()
def wrong():
    return 3
"""


def written(folder, constants="", name="mine.py"):
    path = folder / name
    path.write_text(MINE.format(constants=constants))
    return path


def test_a_file_with_its_normalisation(tmp_path):
    found = backbone(f"{written(tmp_path, 'MEAN, STD, CROP = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 112')}:net")
    assert (found.name, found.note) == ("mine.py:net", "")
    assert (found.transform.mean, found.transform.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (found.transform.crop, found.transform.resize) == (112, 128)
    assert found.build()(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_a_file_without_normalisation_is_noted_in_the_record(tmp_path):
    found = backbone(f"{written(tmp_path)}:net")
    assert found.transform.mean == found.transform.std == (0.5, 0.5, 0.5)
    assert "mean = std = 0.5 is assumed" in found.describe()["note"]
    assert (found.transform.resize, found.transform.crop) == (256, 224)


def test_the_key_depends_on_weights_and_file_and_normalisation(tmp_path):
    (tmp_path / "b").mkdir()
    pretrained = backbone(f"{written(tmp_path)}:net")
    described = [
        describe(pretrained),
        describe(backbone(f"{written(tmp_path)}:plain")),
        describe(backbone(f"{written(tmp_path)}:net?pretrained=false")),
        describe(backbone(f"{written(tmp_path / 'b', 'MEAN = STD = (0.4, 0.4, 0.4)')}:net")),
    ]
    assert len({str(entry) for entry in described}) == 4
    other = Backbone("mine.py:net", lambda: torch.nn.Linear(2, 2))
    assert other.weights_hash() != pretrained.weights_hash()
    assert describe(Protocol(backbone=pretrained))["backbone"] == described[0]
    assert len(code(pretrained)) == 64


def test_a_name_comes_first_and_then_a_function():
    with pytest.raises(TypeError, match="name must be a string, got type"):
        Backbone(torch.nn.Identity, "mine")
    with pytest.raises(TypeError, match="build must be a function that makes the module, got str"):
        Backbone("mine", "identity")


def test_the_weights_hash_leaves_the_generators_alone():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = Backbone("random", lambda: torch.nn.Linear(3, 3)).weights_hash()
    assert torch.equal(torch.rand(2), expected)
    assert first == Backbone("random", lambda: torch.nn.Linear(3, 3)).weights_hash()


class Scaled(torch.nn.Module):
    """Holds a number that is neither in its text nor in its state."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_the_weights_hash_sees_what_own_parts_hold_and_do():
    def hashed(build):
        return Backbone("net", build).weights_hash()

    class Other(Scaled):
        def forward(self, x):
            return x + self.factor

    Other.__qualname__, Other.__name__ = "Scaled", "Scaled"
    twice, thrice = functools.partial(Scaled, 2), functools.partial(Scaled, 3)
    assert hashed(twice) == hashed(functools.partial(Scaled, 2))
    assert len({hashed(build) for build in (twice, thrice, functools.partial(Other, 2))}) == 3
    first, second = (lambda: torch.nn.Identity()), (lambda: torch.nn.Flatten())  # of one name
    assert hashed(first) != hashed(second)
    assert hashed(first) == hashed(torch.nn.Identity)


def test_timm_without_weights():
    timm = pytest.importorskip("timm", reason="timm is an optional extra")
    found = backbone("timm:resnet18?pretrained=false")
    assert found.transform.mean == tuple(timm.get_pretrained_cfg("resnet18").mean)
    assert found.name == "timm:resnet18?pretrained=false"
    with pytest.raises(ValueError, match="must be a model that timm knows, got 'resnet5O'; nearest: resnet50"):
        backbone("timm:resnet5O")
    with torch.no_grad():
        assert found.build().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 512)


def test_torchvision_without_weights():
    try:
        import torchvision.models  # noqa: F401
    except (ImportError, RuntimeError):
        with pytest.raises(ValueError, match="torchvision"):
            backbone("torchvision:resnet18")
        pytest.skip("torchvision is not installed, or not for this torch")
    found = backbone("torchvision:resnet18", pretrained=False)
    assert found.transform.mean == (0.485, 0.456, 0.406)
    with torch.no_grad():
        assert found.build().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
    with pytest.raises(ValueError, match="must be a model that torchvision knows, got 'resnt18'; nearest: resnet18"):
        backbone("torchvision:resnt18")


def test_transformers_from_a_local_folder(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is an optional extra")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, patch_size=16
    )
    config.save_pretrained(tmp_path)
    found = backbone(f"transformers:{tmp_path}?pretrained=false")
    assert "mean = std = 0.5 is assumed" in found.note
    assert found.build()(torch.zeros(1, 3, 32, 32)).last_hidden_state.shape == (1, 5, 16)
    processor = '{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 32, "width": 32}}'
    (tmp_path / "preprocessor_config.json").write_text(processor)
    found = backbone(f"transformers:{tmp_path}?pretrained=false")
    assert (found.transform.mean, found.transform.crop, found.note) == ((0.1, 0.2, 0.3), 32, "")
    with pytest.raises(ValueError, match="must have its weights on this machine or within reach"):
        backbone(f"transformers:{tmp_path}").build()  # a configuration, but no weights


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tim:resnet50", "backbone must be timm:NAME, .*got 'tim:resnet50'; did you mean timm"),
        (
            "resnet50",
            "backbone must be timm:NAME, torchvision:NAME, transformers:NAME or FILE.py:function, got 'resnet50'",
        ),
        (
            "timm:resnet18?weights=no",
            r"must have \?pretrained=true or \?pretrained=false as its option, got 'weights=no'",
        ),
        ("/nowhere/net.py:net", "backbone must be in an existing file, got '/nowhere/net.py'"),
        ("MINE:nat", "backbone must be a model that mine.py knows, got 'nat'; nearest: net"),
        ("BROKEN:net", "backbone file broken.py must run, got ZeroDivisionError: division by zero"),
    ],
)
def test_one_sentence_for_what_cannot_be_found(spec, message, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    spec = spec.replace("MINE", str(written(tmp_path))).replace("BROKEN", str(tmp_path / "broken.py"))
    with pytest.raises(ValueError, match=message):
        backbone(spec)


@pytest.mark.parametrize(
    "constants", ["MEAN = STD = 0.5", "MEAN = STD = (1, 2)", "MEAN = STD = (1, 1, 1); CROP = '224'"]
)
def test_constants_of_a_file_that_are_no_numbers_are_named(constants, tmp_path):
    message = r"backbone file mine\.py must declare MEAN and STD as three numbers each, CROP as a whole one"
    with pytest.raises(ValueError, match=message):
        backbone(f"{written(tmp_path, constants)}:net")


def test_a_function_must_build_a_module(tmp_path):
    path = written(tmp_path)
    with pytest.raises(TypeError, match=r"backbone mine\.py:wrong must build a torch\.nn\.Module, got int"):
        backbone(f"{path}:wrong").weights_hash()
    with pytest.raises(ValueError, match=r"must take pretrained= for \?pretrained=false, got none"):
        backbone(f"{path}:plain?pretrained=false").build()
    with pytest.raises(TypeError, match="backbone must be a string such as 'timm:resnet50', got int"):
        backbone(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raised", "message"), [("KeyError('w')", "KeyError: 'w'"), ("SystemExit(3)", "SystemExit: 3")]
)
def test_whatever_a_file_raises_is_one_sentence(raised, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"def net():\n    raise {raised}\n")
    with pytest.raises(ValueError, match=rf"backbone mine\.py:net must build a module, got {message}"):
        backbone(f"{path}:net").build()
    path.write_text(f"raise {raised}\n")
    with pytest.raises(ValueError, match=rf"backbone file mine\.py must run, got {message}"):
        backbone(f"{path}:net")
