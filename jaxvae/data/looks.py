"""What numbers look like: bytes, counts, columns of different units; and what scale suits them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data import sparse

CHUNK = 1 << 19  # values looked at together: what is computed of them needs no more memory
SAMPLE = 20_000  # rows whose quantiles stand for those of all
HEAVY = 10.0  # spreads from the middle, beyond which a column has heavy tails
LARGEST = 1e18  # beyond it squares are no float32: no unit that anyone measures in, but a fault
COLUMNS = 10  # that a table of counts has at least, which do not show it by being mostly 1
NARROWEST = 0.1  # the largest value of numbers from 0 to 1 that are left as they are


class Scale(NamedTuple):
    """How the user's numbers become the model's: `(x - centre) / width`, and by what curve.

    Attributes:
      curve: "linear", or "arcsinh", which is linear near 0 and logarithmic far from it.
      centre: a number, or one for each value of the last axis of an example.
      width: the same, above zero.
    """

    curve: str = "linear"
    centre: Any = 0.0
    width: Any = 1.0

    @property
    def changes(self) -> bool:
        """Whether the model's numbers are others than the user's."""
        moved = np.ndim(self.width) > 0 or (self.centre, self.width) != (0, 1)
        return self.curve != "linear" or moved


class Look(NamedTuple):
    """What numbers look like.

    Attributes:
      sentence: in words, with what is made of them.
      scale: that suits them.
      counts: whether they are counts, for a likelihood of counts.
    """

    sentence: str
    scale: Scale = Scale()
    counts: bool = False


class _Summary(NamedTuple):
    """Of the numbers seen, in all and by column [D]."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    whole: bool
    zeros: float  # share of all
    positive: np.ndarray  # how many are above zero
    small: np.ndarray  # how many are 1, 2 and 3, [3, D]

    @property
    def ones(self) -> float:
        """The share of those above zero."""
        return float(self.small[0].sum() / max(1.0, self.positive.sum()))


def look(x: Any, *, images: bool = False, kind: str | None = None) -> Look:
    """Find out what numbers look like.

    Args:
      x: examples [N, ...], an array or a CSR; NaN where a value is missing.
      images: whether an example is an image, whose values are of one kind.
      kind: "counts" where it is known that they are; another where they are not; None finds out.

    Returns:
      The look.

    Example:
      >>> look(np.arange(256, dtype=np.uint8).reshape(4, 64), images=True).sentence
      'bytes, divided by 255'
      >>> look(np.random.default_rng(0).normal(100, 5, (50, 2))).scale.curve
      'linear'
    """
    if sparse.is_sparse(x):
        return _look_at_entries(x, kind)
    array = x.reshape(len(x), -1) if images or x.ndim == 2 else x.reshape(-1, x.shape[-1])
    own = _summary(array)
    low, high = float(own.low.min()), float(own.high.max())
    if max(-low, high) > LARGEST:
        return Look(f"numbers up to {max(-low, high):.4g}, beyond what is scaled")
    if kind == "counts":
        return Look(f"counts from {_number(low)} to {_number(high)}", counts=True)
    if own.whole and low >= 0 and high <= 1:
        return Look("each value is 0 or 1")
    if kind is None and not images and _are_counts(own, high):
        return Look(f"counts from {_number(low)} to {_number(high)}", counts=True)
    if low >= 0 and NARROWEST < high <= 1:
        return Look("numbers from 0 to 1, left as they are")
    if x.dtype == np.uint8 or (images and own.whole and low >= 0 and high <= 255):
        largest = high if high <= 16 else 255.0  # four bits, or eight
        return Look(f"bytes, divided by {_number(largest)}", Scale(width=largest))
    if images and -1 <= low < 0 and high <= 1:
        return Look("numbers from -1 to 1, left as they are")
    if low == high:
        return Look(f"one number alone, {_number(low)}, taken away", Scale(centre=low))
    if low >= 0 and (images or _on_one_scale(own)):
        may_count = own.whole and own.ones > 0 and not images
        hint = "; --likelihood poisson takes them as counts" if may_count else ""
        text = f"numbers from {_number(low)} to {_number(high)}, divided by {_number(high)}{hint}"
        return Look(text, Scale(width=high))
    if images:
        centre, width = float(own.mean.mean()), _pooled(own)
        return Look("numbers of any sign, standardised together", Scale("linear", centre, width))
    return _look_at_columns(array, own)


def _look_at_columns(array: np.ndarray, own: _Summary) -> Look:
    """Columns of units of their own."""
    constant = own.high == own.low
    centre, width = own.mean, np.where(constant, 1.0, own.deviation)
    ready = (np.abs(own.mean) < 0.1) & (np.abs(width - 1) < 0.5)
    curve, said = "linear", []
    middle, spread = _middle(array, own, constant)
    reach = np.maximum(own.high - middle, middle - own.low) / spread
    if heavy := int((reach > HEAVY).sum()):
        curve = "arcsinh"
        if not ready.all():
            centre, width = middle, spread
    elif ready.all() and not constant.any():
        return Look("columns that are standardised already")
    what = "columns that are standardised already" if ready.all() else "columns, each standardised"
    if count := int(constant.sum()):
        said.append(f"{count} of {len(constant)} constant")
    if heavy:
        said.append(f"{heavy} with heavy tails, so all by arcsinh")
    coarse = np.abs(own.mean) > 1e5 * width
    if coarse.any():  # float32 has seven digits
        said.append(f"{int(coarse.sum())} so far from 0 that digits are lost")
    text = f"{what} ({', '.join(said)})" if said else what
    if ready.all():
        return Look(text, Scale(curve))
    return Look(text, Scale(curve, np.float32(centre), np.float32(width)))


def _look_at_entries(x: Any, kind: str | None) -> Look:
    """A sparse matrix: zero stays zero."""
    values = np.asarray(x.data)
    if kind != "counts" and (values.dtype == bool or not values.size):
        return Look("each value is 0 or 1")
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    share = x.nnz / max(1, x.shape[0] * x.shape[1])
    entries = f"{share:.1%} of them not 0"
    whole = low >= 0 and high > 1 and bool((values == np.round(values)).all())
    if kind == "counts" or (kind is None and whole):
        return Look(f"counts up to {_number(high)}, {entries}", counts=True)
    if low >= 0 and high <= 10:
        return Look(f"numbers up to {_number(high)}, {entries}, left as they are")
    width = float(np.abs(values).max())
    if width > LARGEST:
        return Look(f"numbers up to {width:.4g}, beyond what is scaled")
    return Look(f"numbers, {entries}, divided by {_number(width)}", Scale(width=width))


def _are_counts(own: _Summary, high: float) -> bool:
    """Whole numbers, mostly 0 and 1, some larger; or in many columns, the smaller the more often.

    Of pixels and measures 1 is not the most frequent number above 0. Where only some columns reach
    beyond 1, and these start above 0 or know no 1, they are measures beside marks of yes and no.
    """
    beyond = own.high > 1
    if not own.whole or own.low.min() < 0 or own.zeros < 0.3 or beyond.mean() < 0.2:
        return False
    small = own.small[:, beyond].sum(axis=1) / max(1.0, own.positive[beyond].sum())
    if (own.low[beyond] == 0).mean() < 0.8 or small[0] < 0.05:
        return False
    if own.ones > 0.25:
        return high >= 3
    bytes_too = high <= 255 and _on_one_scale(own)
    many = len(beyond) >= COLUMNS and high > 16  # 16 levels are those of scans
    return bool(many and small[0] > small[1] > small[2] and not bytes_too)


def _on_one_scale(own: _Summary) -> bool:
    """Whether many columns start at 0 and reach much the same, as pixels do."""
    reach = own.high[own.high > own.low]
    if len(reach) < 16 or own.low.min() != 0:
        return False
    few, most = np.quantile(reach, [0.1, 0.9])
    heavy = reach.max() > 10 * most
    return bool(few > 0 and most / few <= 30 and not heavy)


def _middle(array: np.ndarray, own: _Summary, constant: Any) -> tuple[np.ndarray, np.ndarray]:
    """Median and spread of each column: outliers do not move them."""
    step = max(1, len(array) // SAMPLE, array.size // (8 * CHUNK))
    some = array[::step].astype(np.float64)
    some[~np.isfinite(some)] = np.nan  # what is infinite is refused later, by its place
    some[:, np.isnan(some).all(axis=0)] = 0
    low, middle, high = np.nanquantile(some, [0.25, 0.5, 0.75], axis=0)
    width = (high - low) / 1.349  # of a Normal, its standard deviation
    width = np.where(width > 0, width, own.deviation)
    return np.where(constant, own.mean, middle), np.where(constant, 1.0, width)


def _pooled(own: _Summary) -> float:
    """The standard deviation of all values together."""
    spread = np.mean(own.deviation**2) + np.var(own.mean)
    return float(np.sqrt(spread)) or 1.0


def _summary(array: np.ndarray) -> _Summary:
    """Of numbers [N, D], NaN left out, in float64, a chunk of rows at a time."""
    columns = array.shape[1]
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    count, total, squares = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    whole, zeros, positive, small = True, 0, np.zeros(columns), np.zeros((3, columns))
    first = next(_chunks(array))
    seen = np.isfinite(first)
    # Near the mean, so that the squares do not cancel.
    origin = np.where(seen, first, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    for chunk in _chunks(array):
        seen = np.isfinite(chunk)
        low = np.minimum(low, np.where(seen, chunk, np.inf).min(axis=0))
        high = np.maximum(high, np.where(seen, chunk, -np.inf).max(axis=0))
        from_origin = np.where(seen, chunk - origin, 0.0)
        count += seen.sum(axis=0)
        total += from_origin.sum(axis=0)
        squares += (from_origin**2).sum(axis=0)
        whole = whole and not (seen & (chunk != np.round(chunk))).any()
        zeros += int(np.count_nonzero(chunk == 0))
        small += [np.count_nonzero(chunk == number, axis=0) for number in (1, 2, 3)]
        positive += np.count_nonzero(chunk > 0, axis=0)
    known = np.maximum(count, 1)
    mean = total / known
    deviation = np.sqrt(np.maximum(squares / known - mean**2, 0))
    empty = count == 0  # a column without any value
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)
    mean = np.where(low == high, low, mean + origin)
    deviation = np.where((deviation > 0) & (low < high), deviation, 1.0)
    return _Summary(
        low,
        high,
        mean,
        deviation,
        bool(whole),
        zeros / max(1.0, float(count.sum())),
        positive,
        small,
    )


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, CHUNK // array.shape[1])
    for start in range(0, len(array), rows):
        yield array[start : start + rows].astype(np.float64)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e12 else f"{value:.4g}"
