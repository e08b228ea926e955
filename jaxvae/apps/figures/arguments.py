"""What pictures are made of: arrays of examples, checked."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxvae._door import door
from jaxvae.numerics import checks


@door("figures")
class Series(NamedTuple):
    """The shape of an example that is a series, in place of an image's.

    Attributes:
      steps: in time.
      values: of each step; each gets a curve.

    Example:
      >>> Series(48, 3).values
      3
    """

    steps: int
    values: int


# (height, width), (height, width, channels), a series, or None where an example is neither.
ImageShape = tuple[int, ...] | Series | None
COLOURS = ((), (1,), (3,), (4,))  # what may stand behind the height and the width of an image


def examples(
    name: str, value: Any, image_shape: ImageShape = None, *, finite: bool = False
) -> np.ndarray:
    """Examples as float64, or raise if they are none, or no images of this shape.

    Args:
      name: what a message calls them.
      value: the examples [N, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      finite: whether no number may be missing or infinite.

    Returns:
      The examples [N, D].

    Raises:
      ValueError, TypeError: if they are no such examples; the name is in the message.
    """
    array = checks.real_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape [N, D], not empty, got {array.shape}")
    if image_shape is not None and math.prod(image_shape) != array.shape[1]:
        raise ValueError(
            f"image_shape must be of the {array.shape[1]} values of an example, got {image_shape}"
        )
    if is_image(image_shape) and tuple(image_shape or ())[2:] not in COLOURS:
        raise ValueError(
            f"image_shape must be (height, width) or with 1, 3 or 4 channels, got {image_shape}"
        )
    if finite:
        checks.finite_array(name, array)
    return array.astype(np.float64)


def is_image(image_shape: ImageShape) -> bool:
    """Whether an example is an image.

    Args:
      image_shape: of it.

    Returns:
      False for a series, and for an example of no shape.
    """
    return image_shape is not None and not isinstance(image_shape, Series)


def curves(example: np.ndarray, image_shape: ImageShape) -> np.ndarray:
    """The values of an example that is no image, a row for each curve.

    Args:
      example: [D].
      image_shape: a `Series` or None.

    Returns:
      [values, steps]; one curve where there is no shape.
    """
    if isinstance(image_shape, Series):
        return example.reshape(image_shape).T
    return example[None]
