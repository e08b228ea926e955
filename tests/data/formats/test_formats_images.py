"""Folders of pictures, and the stream of them."""

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvae.data.formats.image_stream import stream_images
from jaxvae.data.formats.registry import read
from jaxvae.data.formats.source import Reading

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 8), np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)


def saved(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    own = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    own.save(path, **options)
    return path


def test_no_labels(tmp_path):
    for i in (2, 0, 1):
        saved(tmp_path / f"{i}.png", GREY + i)
    source = read(tmp_path)
    assert source.x.dtype == np.uint8
    np.testing.assert_array_equal(source.x, np.stack([GREY, GREY + 1, GREY + 2]))
    assert source.ids == ("0.png", "1.png", "2.png")
    assert (source.y, source.label_names, source.kind) == (None, None, "images")
    assert source.said == ()
    np.testing.assert_array_equal(read(tmp_path / "1.png").x, [GREY + 1])


def test_sub_folders_are_labels(tmp_path):
    for name in ("dogs/deep/1.png", "dogs/2.PNG", "cats/3.png"):
        saved(tmp_path / name, GREY)
    source = read(tmp_path)
    assert source.ids == ("cats/3.png", "dogs/2.PNG", "dogs/deep/1.png")
    assert source.y.tolist() == ["cats", "dogs", "dogs"]
    assert source.label_names == ("cats", "dogs")
    assert read(tmp_path, Reading(label="none")).y is None
    saved(tmp_path / "loose.png", GREY)
    with pytest.raises(ValueError, match=r"must all lie in sub-folders.*loose\.png"):
        read(tmp_path)
    assert read(tmp_path, examples_only=True).y.tolist() == ["cats", "dogs", "dogs", None]
    for i in range(10):
        saved(tmp_path / "cats" / f"more{i}.png", GREY)
    source = read(tmp_path)
    assert len(source.x) == 13
    assert "loose.png" in source.said[0]


@pytest.mark.parametrize(
    ("folders", "test", "said"),
    [
        (("train", "test"), "test", ()),
        (("Training", "Testing"), "Testing", ()),
        (("train", "val"), "val", ("The folder val is the test.",)),
        (("train", "validation", "test"), "test", ("The folder validation is not read.",)),
    ],
)
def test_splits(tmp_path, folders, test, said):
    for i, name in enumerate(folders):
        saved(tmp_path / "wrapped" / name / "cats" / "1.png", np.full((2, 2), i, np.uint8))
        saved(tmp_path / "wrapped" / name / "dogs" / "1.png", np.full((2, 2), i, np.uint8))
    for path in (tmp_path, tmp_path / "wrapped"):
        source = read(path)
        assert source.x.max() == 0
        assert source.x_test.min() == folders.index(test)
        assert source.y_test.tolist() == source.y.tolist() == ["cats", "dogs"]
        assert source.said == said


def test_a_split_without_labels_of_the_test(tmp_path):
    for name in ("train/cats/1.png", "train/dogs/1.png", "test/1.png"):
        saved(tmp_path / name, GREY)
    assert read(tmp_path).y_test.tolist() == [None]


def test_train_may_be_a_label(tmp_path):
    for name in ("train/1.png", "car/1.png", "plane/1.png"):
        saved(tmp_path / name, GREY)
    assert read(tmp_path).label_names == ("car", "plane", "train")


def test_what_is_passed_over(tmp_path):
    saved(tmp_path / "a.png", GREY)
    for name in (".hidden.png", "Thumbs.db", "__MACOSX/b.png", ".git/c.png", "._a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert read(tmp_path).said == ()
    (tmp_path / "notes.md").write_text("notes")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.xml").write_text("")
    source = read(tmp_path)
    assert len(source.x) == 1
    assert source.said == ("2 other files are left out.",)
    (tmp_path / "round").symlink_to(tmp_path)
    assert len(read(tmp_path).x) == 1


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "tif", "tiff", "pgm", "webp"])
def test_formats_of_grey(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    saved(tmp_path / f"a.{ending}", GREY, **options)
    x = read(tmp_path).x
    np.testing.assert_array_equal(x[..., 0] if ending == "webp" else x, [GREY])


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_formats_of_colour(tmp_path, ending):
    saved(tmp_path / f"a.{ending}", RGB, **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(read(tmp_path).x, [RGB])


@pytest.mark.parametrize("ending", ["jpg", "jpeg"])
def test_jpeg(tmp_path, ending):
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    saved(tmp_path / f"a.{ending}", smooth, quality=100)
    np.testing.assert_allclose(read(tmp_path).x[0].astype(int), smooth, atol=2)
    saved(tmp_path / f"b.{ending}", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100)
    x = read(tmp_path).x
    assert x.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(x[1].reshape(-1, 3).mean(0), [255, 0, 0], atol=3)


def test_grey_beside_colour_is_colour(tmp_path):
    saved(tmp_path / "a.png", GREY)
    saved(tmp_path / "b.png", RGB)
    x = read(tmp_path).x
    np.testing.assert_array_equal(x[0], np.repeat(GREY[..., None], 3, axis=-1))
    np.testing.assert_array_equal(x[1], RGB)


def test_few_bits_and_many(tmp_path):
    saved(tmp_path / "a.png", Image.fromarray(GREY > 127))
    np.testing.assert_array_equal(read(tmp_path).x[0], (GREY > 127) * 255)
    deep = np.array([[0, 257 * 3, 65535], [128, 129, 40000]], np.uint16)
    saved(tmp_path / "deep" / "a.png", deep)
    saved(tmp_path / "deep" / "b.tif", deep)
    source = read(tmp_path / "deep")
    np.testing.assert_array_equal(source.x, [np.round(deep / 257)] * 2)
    assert source.said == (
        "2 of 2 pictures have 16 bits, of which the upper 8 are kept; an .npy keeps them all.",
    )
    assert read(tmp_path / "a.png").said == ()
    saved(tmp_path / "float" / "a.tif", np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"a\.tif is not a whole picture.*floats"):
        read(tmp_path / "float")


def test_palettes(tmp_path):
    saved(tmp_path / "a.png", Image.fromarray(GREY).convert("P"))
    grey = read(tmp_path).x
    assert grey.shape == (1, 6, 8)
    np.testing.assert_array_equal(grey, [GREY])
    few = Image.fromarray(RGB).quantize(8)
    saved(tmp_path / "b.png", few)
    np.testing.assert_array_equal(read(tmp_path).x[1], np.asarray(few.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_is_white(tmp_path, mode):
    clear = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    clear.putpixel((1, 1), (0, 0, 0, 255))
    if mode == "P":
        picture = Image.new("P", (4, 2), 0)
        picture.putpalette([0, 0, 0, 0, 0, 0])
        picture.putpixel((1, 1), 1)
        saved(tmp_path / "a.png", picture, transparency=0)
    else:
        saved(tmp_path / "a.png", clear.convert(mode))
    x = read(tmp_path).x[0]
    assert x[0, 0].min() == 255
    assert x[1, 1].max() == 0
    assert x.ndim == (3 if mode == "RGBA" else 2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_orientation(tmp_path, orientation, ending):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", RGB, exif=exif, **options)
    with Image.open(path) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read(tmp_path).x, [upright])
    assert upright.shape == ((8, 6, 3) if orientation > 4 else (6, 8, 3))


def test_orientation_of_a_photo(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "a.jpg", np.repeat(np.array([[0], [255]], np.uint8), 8, 0), exif=exif)
    np.testing.assert_allclose(read(tmp_path).x[0][0, [0, -1]].astype(int), [255, 0], atol=5)


def test_the_first_picture_of_a_film(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(tmp_path).x, [GREY])


def test_sizes(tmp_path):
    saved(tmp_path / "a.png", GREY)
    saved(tmp_path / "b.png", GREY[:4])
    message = r"a\.png has 6x8, .*b\.png has 4x8 .*--image-size 6 8"
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
    x = read(tmp_path, Reading(image_size=(3, 4))).x
    assert x.shape == (2, 3, 4)
    halves = GREY.reshape(3, 2, 4, 2).astype(float).mean(axis=(1, 3))
    np.testing.assert_allclose(x[0], halves, atol=1)
    for size in ((0, 4), (3,)):
        with pytest.raises(ValueError, match="image_size must be a height and a width"):
            Reading(image_size=size)
    with pytest.raises(ValueError, match="--text does not apply"):
        read(tmp_path, Reading(text="a"))


@pytest.mark.parametrize("where", ["start", "end"])
def test_a_damaged_picture(tmp_path, where):
    saved(tmp_path / "a.png", RNG.integers(0, 256, (64, 64), np.uint8))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(b"nothing" if where == "start" else whole[:-200])
    with pytest.raises(ValueError, match=r"b\.png is not a whole picture"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"b\.png is not a whole picture"):
        list(stream_images(tmp_path, batch_size=1))


@pytest.fixture
def folder(tmp_path):
    for i in range(23):
        saved(tmp_path / ("even", "odd")[i % 2] / f"{i:02}.png", np.full((4, 5), i, np.uint8))
    return tmp_path


def test_a_stream(folder):
    stream = stream_images(folder, batch_size=5)
    assert len(stream) == 23
    assert stream.label_names == ("even", "odd")
    for _ in range(2):
        batches = list(stream)
        assert [len(x) for x, _ in batches] == [5, 5, 5, 5, 3]
        x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
        assert (x.dtype, x.shape, y.dtype) == (np.uint8, (23, 4, 5), np.int32)
        np.testing.assert_array_equal(y, x[:, 0, 0] % 2)
        np.testing.assert_array_equal(x, read(folder).x)


def test_a_stream_in_random_order(folder):
    stream = stream_images(folder, batch_size=8)

    def passes(number):
        shuffled = stream.shuffled(jax.random.key(number))
        return [[int(n) for x, _ in shuffled for n in x[:, 0, 0]] for _ in range(2)]

    first, second = passes(1)
    assert first != second != sorted(second)
    assert sorted(first) == sorted(second) == list(range(23))
    assert passes(1) == [first, second] != passes(2)
    assert [int(n) for x, _ in stream for n in x[:, 0, 0]] != first  # itself it is not shuffled
    with pytest.raises(TypeError, match="key must be a typed key"):
        stream.shuffled(1)


def test_a_stream_without_labels_or_left_early(tmp_path):
    for i in range(40):
        saved(tmp_path / f"{i}.png", RGB)
    stream = stream_images(tmp_path, batch_size=4, image_size=(2, 2))
    for x in stream:
        assert x.shape == (4, 2, 2, 3)
        break
    assert stream.label_names is None
    with pytest.raises(FileNotFoundError, match="existing folder"):
        stream_images(tmp_path / "gone", batch_size=4)
    with pytest.raises(ValueError, match="batch_size must be"):
        stream_images(tmp_path, batch_size=0)


def test_a_stream_is_what_training_reads(folder):
    from jaxvae.data import streaming

    rows = list(streaming.read(stream_images(folder, batch_size=7)))
    assert sum(len(batch.x) for batch in rows) == 23
    assert rows[0].x.dtype == np.uint8
