"""Examples and labels of one row, as other libraries hold them, become NumPy's."""

from typing import Any

import numpy as np

from jaxvae.data.formats.images import is_grey, plain
from jaxvae.data.formats.source import brief


def example(where: str, value: Any) -> np.ndarray:
    """x of one row as an array of numbers.

    Args:
      where: the row, for errors.
      value: an array or tensor of any library, a list of numbers, or a picture of Pillow.

    Returns:
      An array of at least one axis.

    Raises:
      TypeError: if it is none of these.

    Example:
      >>> example("row 0", [[1, 2]]).shape
      (1, 2)
    """
    try:
        is_picture = hasattr(value, "convert") and hasattr(value, "mode")
        made = picture(value) if is_picture else array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{where} must be an array or a picture, got {brief(value)}: {error}"
        ) from None
    if made.dtype.kind not in "biuf" or made.ndim == 0:
        raise TypeError(f"{where} must be an array or a picture, got {brief(value)}")
    return made


def array(value: Any) -> np.ndarray:
    """An array of what is one in any library.

    Args:
      value: an array, a tensor, a list.

    Returns:
      NumPy's, perhaps of objects.

    Example:
      >>> array([1.0, 2.0]).dtype
      dtype('float64')
    """
    if hasattr(value, "detach"):  # a tensor of torch, which may lie on a GPU
        value = value.detach().cpu()
    if not hasattr(value, "__array__") and hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value)


def label(value: Any) -> Any:
    """A label of one row.

    Args:
      value: a number, a name, None, or one of these in an array or tensor.

    Returns:
      It as Python has it; a one-hot one as an array.

    Example:
      >>> label(np.int64(3)), label("cat")
      (3, 'cat')
    """
    if not hasattr(value, "__array__") and not hasattr(value, "numpy"):
        return value
    made = array(value)
    return made.item() if made.ndim == 0 else made


def picture(value: Any) -> np.ndarray:
    """A picture of Pillow as `read_images` would give it.

    Args:
      value: the picture.

    Returns:
      uint8 [H, W] where it is grey, else RGB [H, W, 3]; float32 [H, W] where its values are.

    Raises:
      ValueError: if its integers are beyond 16 bits.

    Example:
      >>> from PIL import Image
      >>> picture(Image.new("RGBA", (2, 1), (9, 9, 9, 0))).tolist()
      [[[255, 255, 255], [255, 255, 255]]]
    """
    if value.mode == "F":
        return np.asarray(value)
    return np.asarray(plain(value, "L" if is_grey(value) else "RGB"))
