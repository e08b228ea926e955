"""Pictures: a folder of them as one array of bytes."""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.formats.source import Reading, Source, needed, refuse_unused
from jaxvae.data.formats.texts import labels_of
from jaxvae.data.formats.trees import File, scan

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"
)  # fmt: skip
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # Pillow's grey of more than 8 bits
GREY = ("1", "L", "LA", "La", *DEEP)
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
ORIENTATION = 0x0112  # of EXIF
TURNED = (5, 6, 7, 8)  # orientations that exchange height and width
AT_ONCE = 32  # pictures a thread decodes before it takes others


class Form(NamedTuple):
    """What a picture is, by its header.

    Example:
      >>> Form(28, 28, True).grey
      True
    """

    height: int
    width: int
    grey: bool
    deep: bool = False  # of more than 8 bits


def read_images(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A folder of pictures; its sub-folders are the labels.

    Args:
      path: the folder, or one picture; `train` and `test` in it are the split.
      reading: its `image_size` counts. A new pixel is the mean of those that it covers (Pillow's
        BOX): so nothing rings, and no value is beyond those of the picture; the proportions change
        where those of the new size differ.
      examples_only: pictures that lie beside the sub-folders have no label, and are no error.

    Returns:
      uint8 [N, H, W] where all pictures are grey, else RGB [N, H, W, 3]. What is transparent is
      laid on white, 16 bits become 8, an EXIF orientation is applied, of a film the first picture
      counts. The ids are the files' paths in the folder.

    Raises:
      ValueError: if a picture is damaged, or sizes differ and no `image_size` is given.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("cats", "dogs"):
      ...     (folder / name).mkdir()
      ...     Image.new("L", (8, 6)).save(folder / name / "1.png")
      >>> source = read_images(folder, Reading())
      >>> source.x.shape, source.y.tolist(), source.ids
      ((2, 6, 8), ['cats', 'dogs'], ('cats/1.png', 'dogs/1.png'))
    """
    refuse_unused(str(path), reading, ("image_size",))
    if path.is_file():
        x = decoded([path], forms([path]), reading.image_size)
        return Source(x, ids=(path.name,), kind="images")
    tree = scan(path, ENDINGS, "pictures", loose_labels=examples_only)
    if reading.label is not None:
        tree = tree.without_labels()
    files: list[File] = [*tree.train, *tree.test]
    paths = [file.path for file in files]
    own = forms(paths)
    x = decoded(paths, own, reading.image_size, resizable=not examples_only)
    y, y_test = labels_of(tree)
    said = tree.said
    if deep := sum(form.deep for form in own):
        said = (
            *said,
            f"{deep} of {len(own)} pictures have 16 bits, of which the upper 8 are kept; an .npy "
            "keeps them all.",
        )
    return Source(
        x[: len(tree.train)],
        y,
        x[len(tree.train) :] if tree.test else None,
        y_test,
        label_names=tree.label_names,
        ids=tuple(file.id for file in tree.train),
        kind="images",
        said=said,
    )


def forms(paths: Sequence[Path]) -> list[Form]:
    """What pictures are, by their headers alone.

    Args:
      paths: N files.

    Returns:
      The form of each [N].

    Raises:
      ValueError: if one is damaged; it is named.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> path = Path(tempfile.mkdtemp(), "a.png")
      >>> Image.new("RGB", (3, 2)).save(path)
      >>> forms([path])
      [Form(height=2, width=3, grey=False, deep=False)]
    """
    image = needed("PIL.Image", "pictures")

    def form(path: Path) -> Form:
        with image.open(path) as picture:
            width, height = picture.size
            if _orientation(picture) in TURNED:
                width, height = height, width
            return Form(height, width, is_grey(picture), picture.mode in DEEP)

    return [own for part in in_threads(form, paths) for own in part]


def decoded(
    paths: Sequence[Path],
    own: Sequence[Form],
    image_size: tuple[int, int] | None,
    *,
    resizable: bool = True,
) -> np.ndarray:
    """Pictures as one array.

    Args:
      paths: N files.
      own: their forms.
      image_size: the height and width that all are resized to, or None.
      resizable: whether there is an option for it, which an error then names.

    Returns:
      uint8 [N, H, W], or [N, H, W, 3] where one of them has colours.

    Raises:
      ValueError: if one is damaged, or sizes differ and no `image_size` is given.

    Example:
      >>> decoded([], [Form(4, 6, True)], None).shape
      (0, 4, 6)
    """
    shape = common_shape(paths, own, image_size, resizable=resizable)
    x = np.empty((len(paths), *shape), np.uint8)
    read = decoder(shape)

    def put(row: int) -> None:
        x[row] = read(paths[row])

    for _ in in_threads(put, range(len(paths)), paths):
        pass
    return x


def common_shape(
    paths: Sequence[Path],
    own: Sequence[Form],
    image_size: tuple[int, int] | None,
    *,
    resizable: bool = True,
) -> tuple[int, ...]:
    """The shape that all pictures get.

    Args:
      paths: N files, for the error.
      own: their forms.
      image_size: the height and width that all are resized to, or None.
      resizable: as of `decoded`.

    Returns:
      (H, W), or (H, W, 3) where one of them has colours.

    Raises:
      ValueError: if sizes differ and no `image_size` is given.

    Example:
      >>> common_shape([], [Form(4, 6, True), Form(4, 6, False)], None)
      (4, 6, 3)
    """
    first = own[0]
    if image_size is None:
        for path, form in zip(paths, own, strict=False):
            if form[:2] != first[:2]:
                hint = f"--image-size {first.height} {first.width} resizes all of them"
                if not resizable:
                    hint = "give all of them the size of those that the run was trained on"
                raise ValueError(
                    f"pictures must have one size: {paths[0]} has {first.height}x{first.width}, "
                    f"{path} has {form.height}x{form.width} (height x width); {hint}"
                )
        image_size = first[:2]
    size = (int(image_size[0]), int(image_size[1]))
    return size if all(form.grey for form in own) else (*size, 3)


def decoder(shape: tuple[int, ...]) -> Callable[[Path], np.ndarray]:
    """A function that reads one picture.

    Args:
      shape: what it gives: (H, W) or (H, W, 3).

    Returns:
      From a path to uint8 of that shape.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> path = Path(tempfile.mkdtemp(), "a.png")
      >>> Image.new("L", (3, 2), 255).save(path)
      >>> decoder((2, 3))(path).tolist()
      [[255, 255, 255], [255, 255, 255]]
    """
    image = needed("PIL.Image", "pictures")
    mode = "L" if len(shape) == 2 else "RGB"
    size = (shape[1], shape[0])

    def read(path: Path) -> np.ndarray:
        with image.open(path) as picture:
            turn = TURNS.get(_orientation(picture))
            own = plain(picture, mode)
            if turn is not None:
                own = own.transpose(image.Transpose[turn])
            if own.size != size:
                own = own.resize(size, image.Resampling.BOX)
            return np.asarray(own)

    return read


# Of each orientation of EXIF, how Pillow sets the picture upright.
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def in_threads(
    work: Callable[[Any], Any], items: Sequence[Any], paths: Sequence[Path] | None = None
) -> Iterable[list[Any]]:
    """Do some work on each of many items, in a few threads.

    Args:
      work: of an item.
      items: N of them, in order.
      paths: the file of each, for errors; None: they are the items.

    Yields:
      The results, in order, some at a time.

    Raises:
      ValueError: if the work on one fails; its file is named.

    Example:
      >>> list(in_threads(lambda n: 2 * n, [1, 2], [Path("a"), Path("b")]))
      [[2, 4]]
    """
    names: Sequence[Any] = items if paths is None else paths

    def some(start: int) -> list[Any]:
        rows = range(start, min(start + AT_ONCE, len(items)))
        return [named(work, items[row], names[row]) for row in rows]

    pool = ThreadPoolExecutor(threads(), thread_name_prefix="jaxvae-pictures")
    try:
        yield from pool.map(some, range(0, len(items), AT_ONCE))
    finally:
        pool.shutdown(cancel_futures=True)


def named(work: Callable[[Any], Any], item: Any, path: Path) -> Any:
    """Do some work on a picture, and name its file where that fails.

    Args:
      work: of the item.
      item: what it is done on.
      path: the file.

    Returns:
      What the work gives.

    Raises:
      ValueError: if it fails, but for want of memory, of the file, or of the right to read it.

    Example:
      >>> named(int, "x", Path("a.png"))
      Traceback (most recent call last):
      ValueError: a.png is not a whole picture: invalid literal for int() with base 10: 'x'
    """
    try:
        return work(item)
    except (FileNotFoundError, PermissionError, ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make Pillow raise a dozen kinds
        raise ValueError(f"{path} is not a whole picture: {error}") from None


def threads() -> int:
    """How many threads decode: one a processor, two at least and eight at most.

    Returns:
      The number.

    Example:
      >>> 2 <= threads() <= 8
      True
    """
    return min(8, max(2, os.cpu_count() or 1))


def _orientation(picture: Any) -> int:
    """The orientation that the header says; Pillow applies a TIFF's itself."""
    if "exif" not in picture.info or picture.format == "TIFF":
        return 1
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return 1  # what a camera wrote wrong; the picture itself may be whole


def is_grey(picture: Any) -> bool:
    """Whether a picture has no colours, by its mode and palette.

    Args:
      picture: of Pillow.

    Returns:
      Whether it has none.

    Example:
      >>> from PIL import Image
      >>> is_grey(Image.new("LA", (2, 1))), is_grey(Image.new("RGB", (2, 1)))
      (True, False)
    """
    if picture.mode not in ("P", "PA"):
        return picture.mode in GREY
    palette = np.array(picture.getpalette() or [], np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def plain(picture: Any, mode: str) -> Any:
    """A picture of 8 bits, without transparency: what is transparent is laid on white.

    Args:
      picture: of Pillow, in any mode.
      mode: "L" or "RGB".

    Returns:
      A picture in this mode.

    Raises:
      ValueError: if its values are floats, or integers beyond 16 bits.

    Example:
      >>> from PIL import Image
      >>> np.asarray(plain(Image.new("RGBA", (2, 1), (9, 9, 9, 0)), "L")).tolist()
      [[255, 255]]
    """
    image = needed("PIL.Image", "pictures")
    if picture.mode in DEEP:
        deep = np.asarray(picture).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError(f"its values must be from 0 to 65535, got {deep.min()}, {deep.max()}")
        eight = (deep * 255 + 32767) // 65535  # to the nearest
        picture = image.fromarray(eight.astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("its values must be integers, got floats; save it as an .npy")
    elif picture.mode in WITH_ALPHA or "transparency" in picture.info:
        over = picture.convert("RGBA")
        picture = image.alpha_composite(image.new("RGBA", over.size, "white"), over).convert("RGB")
    elif picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
    # A grey palette was made RGB, whose weighted sum is its grey again.
    return picture if picture.mode == mode else picture.convert(mode)
