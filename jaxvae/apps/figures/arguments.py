"""What pictures are made of: arrays of examples, checked."""

import math
from typing import Any

import numpy as np

from jaxvae.numerics import checks

ImageShape = tuple[int, int] | None


def examples(name: str, value: Any, image_shape: ImageShape = None) -> np.ndarray:
    """Examples as float64, or raise if they are none, or no images of this shape.

    Args:
      name: what a message calls them.
      value: the examples [N, D].
      image_shape: (height, width), or None where an example is no image.

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
    return array.astype(np.float64)
