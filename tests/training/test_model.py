from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dalib import FeatureClassifier
from dalib.training import pooled


def test_shapes_and_widths():
    model = FeatureClassifier(nn.Linear(8, 6), 3, bottleneck=4, example=torch.zeros(2, 8))
    features, logits = model(torch.randn(5, 8))
    assert (features.shape, logits.shape, model.width) == ((5, 4), (5, 3), 4)
    bare = FeatureClassifier(nn.Linear(8, 6), 3, bottleneck=None, width=6)
    assert bare.width == 6
    torch.testing.assert_close(bare(torch.ones(1, 8))[0], bare.backbone(torch.ones(1, 8)))


def test_probing_leaves_the_backbone_as_it_was():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = backbone[1].running_mean.clone()
    model = FeatureClassifier(backbone, 2, example=torch.randn(2, 3, 8, 8))
    assert torch.equal(backbone[1].running_mean, before)
    assert backbone.training
    assert model.bottleneck[0].in_features == 4


def test_pooling():
    maps = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(pooled(maps), maps.mean(dim=(2, 3)))
    states = torch.randn(2, 7, 5)
    assert torch.equal(pooled(SimpleNamespace(pooler_output=None, last_hidden_state=states)), states[:, 0])
    assert pooled(SimpleNamespace(pooler_output=torch.ones(2, 5, 1, 1))).shape == (2, 5)
    assert pooled(SimpleNamespace(last_hidden_state=maps)).shape == (2, 3)
    with pytest.raises(TypeError, match=r"got shape \(2, 7, 5\); pass pool="):
        pooled(states)
    with pytest.raises(TypeError, match="got list; pass pool="):
        pooled([states])


def test_parameter_groups_hold_every_trainable_parameter_once():
    model = FeatureClassifier(nn.Linear(8, 6), 3, bottleneck=4, width=6)
    model.backbone.bias.requires_grad_(False)
    groups = model.parameter_groups(0.1, backbone_factor=0.5)
    assert [group["lr"] for group in groups] == [0.05, 0.1]
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert [id(p) for p in groups[0]["params"]] == [id(model.backbone.weight)]
    assert len(FeatureClassifier(nn.Identity(), 3, width=8).parameter_groups(0.1)) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((len, 3), {"width": 4}, TypeError, "backbone must be a torch.nn.Module"),
        ((nn.Identity(), 0), {"width": 4}, ValueError, "classes must be at least 1"),
        ((nn.Identity(), 3), {}, ValueError, "width must be given, or an example batch"),
        ((nn.Identity(), 3), {"width": 4, "dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\)"),
        ((nn.Identity(), 3), {"width": 4, "dropout": "half"}, TypeError, "dropout must be a number, got str"),
        ((nn.Identity(), 3), {"width": 4, "bottleneck": 0}, ValueError, "bottleneck must be at least 1"),
        (
            (nn.Identity(), 3),
            {"example": torch.zeros(2, 3), "pool": lambda x: x[0]},
            ValueError,
            "pool must return a mat",
        ),
    ],
)
def test_errors_name_the_argument(arguments, options, error, message):
    with pytest.raises(error, match=message):
        FeatureClassifier(*arguments, **options)


def test_a_timm_backbone_trains():
    timm = pytest.importorskip("timm")
    backbone = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=0)
    check_backward(
        FeatureClassifier(backbone, 3, bottleneck=8, example=torch.zeros(2, 3, 32, 32)), torch.randn(4, 3, 32, 32)
    )


def test_a_transformers_text_model_trains():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50
    )
    inputs = {"input_ids": torch.randint(0, 50, (4, 6)), "attention_mask": torch.ones(4, 6, dtype=torch.int64)}
    check_backward(FeatureClassifier(transformers.BertModel(config), 3, bottleneck=8, example=inputs), inputs)


def test_a_transformers_image_model_trains():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    images = torch.randn(4, 3, 32, 32)
    check_backward(FeatureClassifier(transformers.ResNetModel(config), 3, bottleneck=8, example=images), images)


def check_backward(model, inputs):
    features, logits = model(inputs)
    assert features.shape == (4, 8)
    assert logits.shape == (4, 3)
    logits.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
