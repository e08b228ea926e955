"""Arrays and pictures as text that the page reads: base64 in JSON."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np

MISSING = 65535  # of 16 bits, a value that is missing
BLOCK = 8  # pixels a side of what a JPEG compresses together


def encoded(content: bytes) -> str:
    """Bytes as base64.

    Args:
      content: any.

    Returns:
      The text.

    Example:
      >>> encoded(b"abc")
      'YWJj'
    """
    return base64.b64encode(content).decode("ascii")


def plain(array: np.ndarray, dtype: str) -> dict[str, Any]:
    """An array as it is, in a type of the page's.

    Args:
      array: of numbers.
      dtype: "f2", "f4", "i1" or "u4"; bytes lie in the order that browsers have, little end first.

    Returns:
      What the page's `unpack` reads.

    Example:
      >>> plain(np.ones((1, 2)), "f2")
      {'dtype': 'f2', 'shape': [1, 2], 'data': 'ADwAPA=='}
    """
    own = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(own.shape), "data": encoded(own.tobytes())}


def quantised(array: np.ndarray) -> dict[str, Any]:
    """An array in 16 bits, each column between its least and its largest value.

    Args:
      array: [N, D]; NaN where a value is missing.

    Returns:
      What the page's `unpack` reads. A value is off by at most 1 / 131,068 of its column's range.

    Example:
      >>> quantised(np.array([[0.0, 5.0], [1.0, 5.0]]))["high"]
      [1.0, 5.0]
    """
    seen = np.isfinite(array)
    low = np.where(seen, array, np.inf).min(axis=0)
    high = np.where(seen, array, -np.inf).max(axis=0)
    empty = ~seen.any(axis=0)
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)
    width = np.where(high > low, high - low, 1.0)
    shares = (np.where(seen, array, low) - low) / width
    numbers = np.where(seen, np.round(shares * (MISSING - 1)), MISSING)
    return {**plain(numbers, "u2"), "low": rounded(low), "high": rounded(high)}


def rounded(numbers: Any, digits: int = 7) -> list[float]:
    """Numbers with so many digits: more are none in float32, and only make the page longer.

    Args:
      numbers: an array.
      digits: of each.

    Returns:
      They, flat.

    Example:
      >>> rounded(np.array([1 / 3, 1e-9]), 3)
      [0.333, 1e-09]
    """
    return [float(f"{number:.{digits}g}") for number in np.ravel(numbers)]


def sprite(pictures: np.ndarray, columns: int, *, lossy: bool = False) -> dict[str, Any]:
    """Pictures side by side in one.

    Args:
      pictures: [N, H, W] or [N, H, W, 3], from 0 to 1; NaN is drawn grey.
      columns: how many in a row.
      lossy: a JPEG, else a PNG.

    Returns:
      What the page's `sprite` reads: the picture as an address, and where in it which one is.

    Example:
      >>> made = sprite(np.zeros((3, 4, 4)), 2)
      >>> made["columns"], made["tile"], made["source"][:22]
      (2, [4, 4], 'data:image/png;base64,')
    """
    from PIL import Image  # imported when it is used: other commands need none of it

    count, height, width = pictures.shape[:3]
    tile = [height, width]
    if lossy:  # so that no block holds pixels of two pictures
        tile = [-(-side // BLOCK) * BLOCK for side in tile]
        more = [(0, 0), (0, tile[0] - height), (0, tile[1] - width)]
        pictures = np.pad(pictures, more + [(0, 0)] * (pictures.ndim - 3), mode="edge")
    rows = -(-count // columns)
    whole = np.full((rows * columns, *pictures.shape[1:]), 0.5)
    whole[:count] = np.nan_to_num(pictures, nan=0.5)
    laid = whole.reshape(rows, columns, *whole.shape[1:]).swapaxes(1, 2)
    laid = laid.reshape(rows * tile[0], columns * tile[1], *whole.shape[3:])
    picture = Image.fromarray(np.uint8(np.round(np.clip(laid, 0, 1) * 255)))
    content = io.BytesIO()
    if lossy:
        picture.save(content, "JPEG", quality=88, subsampling=0, optimize=True)
    else:
        picture.save(content, "PNG", optimize=True)
    kind = "jpeg" if lossy else "png"
    source = f"data:image/{kind};base64,{encoded(content.getvalue())}"
    return {"source": source, "columns": columns, "tile": tile, "shape": [height, width]}


def smaller(pictures: np.ndarray, longest: int) -> np.ndarray:
    """Pictures whose longer side is at most so many pixels, each the mean of those it stands for.

    Args:
      pictures: [N, H, W, ...].
      longest: in pixels.

    Returns:
      The pictures, or smaller ones.

    Example:
      >>> smaller(np.zeros((2, 100, 60)), 50).shape
      (2, 50, 30)
    """
    height, width = pictures.shape[1:3]
    down, across = block_of(height, width, longest)
    if down == across == 1:
        return pictures
    sides = height // down, width // across
    cut = pictures[:, : sides[0] * down, : sides[1] * across]
    blocks = cut.reshape(len(cut), sides[0], down, sides[1], across, *cut.shape[3:])
    return blocks.mean(axis=(2, 4))


def block_of(height: int, width: int, longest: int) -> tuple[int, int]:
    """The pixels, down and across, of which `smaller` makes one.

    Args:
      height, width: of a picture, in pixels.
      longest: as of `smaller`.

    Returns:
      A square's sides, or less where a picture is flatter than the square.

    Example:
      >>> block_of(100, 60, 50), block_of(2, 200, 50)
      ((2, 2), (2, 4))
    """
    factor = -(-max(height, width) // longest)
    return min(factor, height), min(factor, width)


def most_that_fit(make: Callable[[int], Any], counts: list[int], size: int) -> Any:
    """The first of what is made that is no longer than so many characters, or the last.

    Args:
      make: of each count.
      counts: from the largest on.
      size: characters of base64, about.

    Returns:
      What was made.

    Example:
      >>> most_that_fit(lambda n: "x" * n, [9, 5, 2], 6)
      'xxxxx'
    """
    for count in counts:
        made = make(count)
        if len(str(made)) <= size:
            break
    return made
