"""Which examples of many are shown."""

import numpy as np


def evenly(total: int, most: int) -> np.ndarray:
    """So many of the examples, from the first to the last: data may be sorted by their labels.

    Args:
      total: how many there are.
      most: how many are wanted.

    Returns:
      Their places, rising.

    Example:
      >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
      ([0, 4, 8], [0, 1])
    """
    return np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))


def in_turn(labels: np.ndarray, most: int) -> np.ndarray:
    """One example of each label, then another of each, while there are any.

    Args:
      labels: [N].
      most: how many are wanted.

    Returns:
      Their places: any first part of them has of each label as many as can be.

    Example:
      >>> in_turn(np.array([7, 7, 7, 2]), 3).tolist()
      [3, 0, 1]
    """
    turn = np.zeros(len(labels), int)
    for label in np.unique(labels):
        own = labels == label
        turn[own] = np.arange(own.sum())
    return np.lexsort((labels, turn))[:most]
