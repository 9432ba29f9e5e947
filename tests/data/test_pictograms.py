import numpy as np
import pytest
import torch
from torch import nn

from dalib.data import pictograms, signed_distances
from dalib.data.icons import ICONS
from dalib.data.known_sets import OFFICE31_CLASSES
from dalib.training.backbones import small_cnn


@pytest.fixture(scope="module")
def drawn():
    return pictograms()


def test_the_set_has_the_stated_shape(drawn):
    assert drawn.name == "pictograms31"
    assert {name: len(domain) for name, domain in drawn.domains.items()} == {
        "catalogue": 1860,
        "desk": 930,
        "webcam": 1240,
    }
    assert drawn.classes == OFFICE31_CLASSES == tuple(ICONS)
    for domain in drawn.domains.values():
        images = domain.inputs.tensor
        assert images.shape == (len(domain), 3, 32, 32)
        assert images.dtype == torch.float32
        assert -1 <= float(images.min()) < float(images.max()) <= 1
        counts = np.bincount(domain.labels, minlength=31)
        assert counts.min() >= 10
        assert counts.max() > 1.5 * counts.min()


def test_drawings_depend_on_the_seed_alone():
    first, again, other = (pictograms(rows=40, seed=seed).fingerprint() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_rows_by_name_leave_the_other_domains_as_they_are():
    some = pictograms(rows={"desk": 31, "webcam": 62, "catalogue": 31})
    assert [len(domain) for domain in some.domains.values()] == [31, 31, 62]
    assert np.bincount(some.domains["desk"].labels).tolist() == [1] * 31


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rows": 30}, ValueError, "rows of catalogue must be at least 31, got 30"),
        ({"rows": {"lab": 40}}, ValueError, "among catalogue, desk, webcam, got lab"),
        ({"rows": 40.0}, TypeError, "rows of catalogue must be an integer"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        pictograms(**options)


def test_the_styles_differ_in_background_contrast_and_noise(drawn):
    corner = {name: domain.inputs.tensor[:, :, :2, :2].mean().item() for name, domain in drawn.domains.items()}
    spread = {name: domain.inputs.tensor.std().item() for name, domain in drawn.domains.items()}
    assert corner["catalogue"] > 0.9
    assert corner["desk"] < 0.5
    assert corner["webcam"] < 0
    assert spread["webcam"] < 0.7 * min(spread["catalogue"], spread["desk"])


def test_every_icon_is_told_from_every_other_by_its_mean_drawing(drawn):
    """Nearest class mean on the clean domain, in grey: far above the 3 % of chance for every single class."""
    domain = drawn.domains["catalogue"]
    grey, labels = domain.inputs.tensor.mean(1).flatten(1), torch.from_numpy(domain.labels.copy())
    even = torch.arange(len(grey)) % 2 == 0
    means = torch.stack([grey[even & (labels == label)].mean(0) for label in range(31)])
    right = torch.cdist(grey[~even], means).argmin(1) == labels[~even]
    by_class = torch.stack([right[labels[~even] == label].float().mean() for label in range(31)])
    assert float(by_class.min()) > 0.4
    assert float(by_class.mean()) > 0.8


@pytest.mark.parametrize(
    ("shape", "numbers", "inside", "outside"),
    [
        ("disc", (0, 0, 0.5), (0.4, 0.0), (0.5, 0.5)),
        ("ring", (0, 0, 0.5, 0.1), (0.0, -0.45), (0.0, 0.0)),
        ("ellipse", (0, 0, 0.8, 0.2), (0.7, 0.0), (0.0, 0.3)),
        ("dome", (0, 0, 0.8, 0.5), (0.0, -0.4), (0.0, 0.1)),
        ("arch", (0, 0, 0.5, 0.1), (0.0, -0.5), (0.0, 0.5)),
        ("box", (0, 0, 0.5, 0.2, 0.1), (0.45, 0.0), (0.5, 0.2)),
        ("line", (0, 0, 0.5, 0.5, 0.1), (0.25, 0.25), (0.5, 0.0)),
        ("grid", (0, 0, 2, 1, 1.0, 1.0, 0.1, 0.1), (-0.5, 0.0), (0.0, 0.0)),
        ("polygon", ((-0.5, 0.5), (0.0, -0.5), (0.5, 0.5)), (0.0, 0.0), (0.4, -0.3)),
    ],
)
def test_shapes_are_negative_inside_and_positive_outside(shape, numbers, inside, outside):
    x, y = np.array([inside, outside]).T
    distance = getattr(signed_distances, shape)(x, y, *numbers)
    assert distance[0] < 0 < distance[1]


def test_small_cnn_has_the_stated_width_and_every_parameter_learns():
    backbone = small_cnn()
    features = backbone(torch.randn(4, 3, 32, 32))
    assert features.shape == (4, 128) == (4, backbone.num_features)
    assert small_cnn(width=4)(torch.randn(2, 3, 48, 48)).shape == (2, 32)
    (features * torch.randn(4, 128)).sum().backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in backbone.parameters())
    with pytest.raises(ValueError, match="width must be at least 1"):
        small_cnn(width=0)


@pytest.mark.slow
def test_a_network_learns_one_style_and_fails_on_another(drawn):
    torch.manual_seed(0)
    model = nn.Sequential(small_cnn(), nn.Linear(128, 31))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    source = drawn.domains["catalogue"]
    images, labels = source.inputs.tensor, torch.from_numpy(source.labels.copy())
    order = torch.randperm(len(images))
    train, held_out = order[:1500], order[1500:]
    for step in range(150):
        rows = train[torch.arange(32 * step, 32 * step + 32) % len(train)]
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    target = drawn.domains["webcam"]
    with torch.no_grad():
        known = (model(images[held_out]).argmax(1) == labels[held_out]).float().mean()
        other = (model(target.inputs.tensor).argmax(1).numpy() == target.labels).mean()
    assert float(known) > 0.9
    assert other < 0.5
