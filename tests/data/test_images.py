import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from dalib.data import ImageFiles, ImageTransform, feature_file, office31, row_batches

PIL = pytest.importorskip("PIL.Image", reason="needs Pillow")
DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not in {DATA}; set DALIB_DATA")


def ramp(width, height):
    """Red counts the columns, green the rows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width)[None], np.arange(height)[:, None]
    return PIL.fromarray(pixels)


RAW = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}  # tensors hold the pixel values


def test_the_centre_is_cut_out_without_resizing_when_the_size_fits():
    out = ImageTransform(resize=10, crop=4, **RAW)(ramp(20, 10))
    assert out.shape == (3, 4, 4)
    assert out[0, 0].round().tolist() == [8, 9, 10, 11]
    assert out[1, :, 0].round().tolist() == [3, 4, 5, 6]


def test_the_shorter_side_is_resized_and_squashing_takes_both():
    kept = ImageTransform(resize=20, crop=20, **RAW)(ramp(80, 40))[0]
    squashed = ImageTransform(resize=20, crop=20, squash=True, **RAW)(ramp(80, 40))[0]
    assert float(kept[0, -1] - kept[0, 0]) == pytest.approx(38, abs=1.5)  # 40 of 80 columns are seen
    assert float(squashed[0, -1] - squashed[0, 0]) == pytest.approx(76, abs=1.5)  # all of them


def test_normalisation_is_per_channel():
    white = PIL.new("RGB", (4, 4), (255, 255, 0))
    out = ImageTransform(mean=(0.5, 0.0, 1.0), std=(0.5, 0.25, 1.0), resize=4, crop=4)(white)
    assert out[:, 0, 0].tolist() == [1.0, 4.0, -1.0]


def test_grey_images_get_three_channels():
    assert ImageTransform(resize=4, crop=4)(PIL.new("L", (4, 4), 255)).shape == (3, 4, 4)


def test_training_is_a_function_of_the_generator_alone():
    transform, image = ImageTransform(resize=16, crop=16), ramp(64, 48)
    drawn = [transform(image, training=True, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    before = torch.random.get_rng_state()
    transform(image, training=True, generator=torch.Generator())
    assert torch.equal(before, torch.random.get_rng_state())
    with pytest.raises(ValueError, match=r"generator must be a .*Generator in training"):
        transform(image, training=True)


def test_random_parts_have_the_stated_areas_and_ratios_and_half_are_mirrored():
    transform, generator = ImageTransform(resize=200, crop=8, **RAW), torch.Generator().manual_seed(0)
    mirrored = Counter()
    areas = []
    for _ in range(300):
        left, top, right, bottom = transform._part((200, 200), generator)
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 200
        assert 0.72 < (right - left) / (bottom - top) < 1.38
        areas.append((right - left) * (bottom - top) / 40000)
        out = transform(ramp(200, 200), training=True, generator=generator)
        mirrored[bool(out[0, 0, 0] > out[0, 0, -1])] += 1
    assert 0.07 < min(areas) < 0.12
    assert max(areas) > 0.9
    # a part of area a fits a square where |log ratio|, uniform up to log 4/3, is at most -log a
    area = np.linspace(0.08, 1, 1001)
    fits = np.minimum(1, -np.log(area) / np.log(4 / 3))
    assert np.mean(areas) == pytest.approx((area * fits).sum() / fits.sum(), abs=0.04)
    assert 110 < mirrored[True] < 190


def test_a_picture_that_no_part_fits_gives_its_centre():
    transform = ImageTransform(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert transform._part((300, 100), torch.Generator()) == (100, 0, 200, 100)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"crop": 0}, ValueError, "crop must be at least 1"),
        ({"resize": 100}, ValueError, "resize must be at least 224, got 100"),
        ({"mean": 0.5}, TypeError, "mean must be 3 numbers"),
        ({"mean": (0.5, 0.5)}, ValueError, "mean must be 3 finite numbers"),
        ({"std": (1, 1, 0)}, ValueError, "std must be positive"),
        ({"scale": (0.5, 2)}, ValueError, r"scale must be a range within \(0, 1\]"),
        ({"ratio": (2, 1)}, ValueError, "ratio must be a range"),
        ({"flip": 2}, ValueError, r"flip must lie in \[0, 1\]"),
        ({"flip": "a"}, TypeError, "flip must be a number, got str"),
        ({"squash": 1}, TypeError, "squash must be True or False, got 1"),
    ],
)
def test_errors_of_the_transform(options, error, message):
    with pytest.raises(error, match=message):
        ImageTransform(**options)


def test_equal_transforms_have_one_text():
    numbers = {"mean": (0, 0.5, 1), "resize": 300, "crop": 280, "flip": 1}
    counted = {
        "mean": tuple(np.array([0, 0.5, 1])),
        "resize": np.int64(300),
        "crop": np.int64(280),
        "flip": np.float64(1),
    }
    assert repr(ImageTransform(**numbers)) == repr(ImageTransform(**counted))


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        ramp(30 + number, 30).save(tmp_path / f"{number}.png")
    return tmp_path


def test_files_are_rows_and_their_content_and_transform_make_the_fingerprint(folder):
    small = ImageTransform(resize=8, crop=8)
    files = ImageFiles([f"{k}.png" for k in range(6)], transform=small, root=folder)
    assert files.load(torch.tensor([3, 1])).shape == (2, 3, 8, 8)
    again = ImageFiles([folder / f"{k}.png" for k in range(6)], transform=small)
    assert files.fingerprint() == again.fingerprint()
    assert files.with_transform(ImageTransform()).fingerprint() != files.fingerprint()
    assert files.transform == small
    ramp(31, 31).save(folder / "0.png")
    assert ImageFiles(again.paths, transform=small).fingerprint() != files.fingerprint()


def test_augmented_batches_can_be_repeated(folder):
    files = ImageFiles([f"{k}.png" for k in range(6)], transform=ImageTransform(resize=8, crop=8), root=folder)
    first, second, other = (
        [batch.inputs for batch in row_batches(files, batch_size=2, seed=seed)] for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, first, second))
    assert not any(map(torch.equal, first, other))


def test_broken_images_are_named(folder):
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").write_bytes(b"no image")
    files = ImageFiles([f"{k}.png" for k in range(3)], root=folder)
    for number in (1, 2):
        with pytest.raises(ValueError, match=rf"paths must be readable images, got .*{number}\.png"):
            files.load(np.array([number]))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_grey_pictures_of_sixteen_bits_are_scaled_to_eight(tmp_path, name):
    grey = np.array([[0, 257], [257 * 200, 65535]], np.uint16)
    if name == "a.pgm":
        (tmp_path / name).write_bytes(b"P5 2 2 65535\n" + grey.astype(">u2").tobytes())
    else:
        PIL.fromarray(grey).save(tmp_path / name)
    read = ImageFiles([name], transform=ImageTransform(resize=2, crop=2, **RAW), root=tmp_path).load(np.array([0]))
    assert read[0].round().tolist() == [[[0, 1], [200, 255]]] * 3


@pytest.mark.parametrize(("kind", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_pictures_whose_range_is_not_known_are_refused(tmp_path, kind, mode):
    PIL.fromarray(np.full((4, 4), 1000, kind)).save(tmp_path / "a.tif")
    files = ImageFiles(["a.tif"], root=tmp_path)
    with pytest.raises(ValueError, match=rf"of 8 or 16 bits, got .*a\.tif of mode {mode}, whose range is not known"):
        files.load(np.array([0]))


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "ppm", "tif", "webp"])
@pytest.mark.parametrize("frames", [1, 2])
def test_a_decoded_picture_does_not_know_its_path(ending, frames, tmp_path):
    path = tmp_path / f"mug.{ending}"
    more = {"save_all": True, "append_images": [ramp(8, 8)]} if frames > 1 and ending in ("gif", "tif", "webp") else {}
    ramp(8, 8).save(path, **more)
    seen = []

    class Spy(ImageTransform):
        def __call__(self, image, *, training=False, generator=None):
            seen.append(image)
            return super().__call__(image, training=training, generator=generator)

    plain = ImageFiles([path], transform=ImageTransform(resize=8, crop=8)).load(np.array([0]))
    spied = ImageFiles([path], transform=Spy(resize=8, crop=8)).load(np.array([0]))
    assert torch.equal(plain, spied)
    (image,) = seen
    assert not getattr(image, "filename", "")
    for value in (*vars(image).values(), image.info, getattr(image, "fp", None)):
        assert "mug" not in repr(value)
        assert not getattr(value, "name", "")
    with PIL.open(path) as direct:
        assert np.array_equal(np.asarray(direct.convert("RGB")), np.asarray(image.convert("RGB")))


def test_errors_of_image_files(folder):
    with pytest.raises(FileNotFoundError, match=r"got 2 of 3 that do not, such as .*7\.png"):
        ImageFiles(["0.png", "7.png", "8.png"], root=folder)
    with pytest.raises(ValueError, match="at least one image"):
        ImageFiles([])
    with pytest.raises(TypeError, match="must be an ImageTransform, got int"):
        ImageFiles(["0.png"], root=folder).with_transform(3)


@pytest.mark.data
@needs_data
def test_the_test_transform_reproduces_the_stored_features_of_real_images():
    pytest.importorskip("safetensors", reason="needs safetensors")
    import importlib.util

    spec = importlib.util.spec_from_file_location("mobilenet_v2", DATA / "backbones" / "mobilenet_v2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = office31(DATA / "office31").domains["dslr"].inputs.load(np.arange(4))
    with torch.no_grad():
        features = module.mobilenet_v2().eval()(images)
    stored = feature_file(DATA / "office31_mobilenet_v2.npz").domains["dslr"].inputs.tensor[:4]
    assert torch.allclose(features, stored, atol=1e-3)
