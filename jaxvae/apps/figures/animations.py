"""Pictures that move, and the files that they go to."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from jaxvae._door import door
from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.style import PALETTE, colour_and_marker, short, styled


@door("figures")
class GifWriter(AbstractMovieWriter):
    """Writes an animation as a GIF whose frames share one palette of 256 colours.

    With one palette only what changed is stored: a third of the bytes of Matplotlib's own writer,
    which gives each frame a palette.

    Example:
      >>> import tempfile
      >>> animation = walk(np.eye(4), ["a", "b", "c", "d"], (2, 2))
      >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
      ...     animation.save(file.name, writer=GifWriter(fps=12))
      ...     file.read(3)
      b'GIF'
    """

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self._frames: list[Image.Image] = []

    def grab_frame(self, **options: Any) -> None:
        buffer = io.BytesIO()
        self.fig.savefig(buffer, format="rgba", dpi=self.dpi, **options)
        frame = Image.frombytes("RGBA", self.frame_size, buffer.getvalue())
        self._frames.append(frame.convert("RGB"))

    def finish(self) -> None:
        some = self._frames[::3]
        pixels = Image.fromarray(np.concatenate([np.asarray(frame) for frame in some]))
        palette = pixels.quantize(256)
        first, *rest = (
            frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames
        )
        first.save(
            self.outfile, "GIF", save_all=True, append_images=rest, duration=1000 / self.fps, loop=0
        )


@styled
def walk(
    images: Any,
    captions: Sequence[str],
    image_shape: ImageShape,
    *,
    shares: Any = None,
    names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    unit: str = "",
    note: str = "",
) -> FuncAnimation:
    """A walk through the latent space, a frame for each step.

    Args:
      images: what decodes from each step [N, D].
      captions: a line of text for each step.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      shares: the point on the simplex at each step [N, K], drawn as bars beside the image; or
        None.
      names: of the categories beside the bars; None: their numbers.
      column_names: of the D values of an example that is no image: each then is a bar.
      unit: of these values.
      note: a line below, or nothing.

    Returns:
      The animation; its `save("walk.gif", writer=GifWriter(fps=12))` writes it.

    Raises:
      ValueError, TypeError: if captions or shares are not one for each image, or images do not fit
        image_shape or column_names; the argument is named.

    Example:
      >>> animation = walk(np.eye(4), ["a", "b", "c", "d"], (2, 2), shares=np.eye(4))
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
      ...     animation.save(file.name, writer=GifWriter(fps=2))
      ...     with Image.open(file.name) as gif:
      ...         gif.n_frames
      4
    """
    images = arguments.examples("images", images, image_shape)
    if len(captions) != len(images):
        raise ValueError(
            f"captions must be one for each of {len(images)} images, got {len(captions)}"
        )
    if column_names is not None and (
        image_shape is not None or len(column_names) != images.shape[1]
    ):
        raise ValueError(
            f"column_names must be one for each of {images.shape[1]} values of an example that is "
            f"no image, got {len(column_names)} for the shape {image_shape}"
        )
    bars_of = [short(str(name), 18) for name in column_names or ()]
    height = max(3.6, 1.2 + 0.17 * len(bars_of))
    figure = Figure(figsize=(3.2 if shares is None else 5.6, height), dpi=80)
    # Placed by hand: a layout of its own for each frame would make the picture tremble.
    width = 0.88 if shares is None else 0.5
    lines = [sheets.wrapped(text, figure.get_figwidth(), sheets.TITLE) for text in captions]
    size = 10 if any("\n" in text for text in lines) else sheets.TITLE
    if size < sheets.TITLE:  # so that the lines stay above the picture
        lines = [sheets.wrapped(text, figure.get_figwidth(), size) for text in captions]
    caption = figure.suptitle(lines[0], y=0.97, va="top", size=size)
    lift = 0.06 if note else 0.0
    top = min(0.86, 0.95 - sheets.text_height(lines, size) / height)
    if note:
        figure.text(0.5, 0.03, note, ha="center", va="bottom", size=9, color="0.35")
    if bars_of:
        indent = min(0.4, sheets.text_width(bars_of, 8) / figure.get_figwidth() + 0.02)
        ax = figure.add_axes((0.02 + indent, 0.16 + lift, width - indent, top - 0.16 - lift))
        show = _bars(ax, images, bars_of, unit)
    else:
        ax = figure.add_axes((0.06, 0.06 + lift, width, top - 0.06 - lift))
        ax.set_axis_off()
        show = _pictures(ax, images, image_shape)
    if shares is not None:
        shares = arguments.examples("shares", shares)
        if len(shares) != len(images):
            raise ValueError(
                f"shares must be one row for each of {len(images)} images, got {len(shares)}"
            )
        known = None if names is None else [short(name) for name in names]
        few = known or [str(shares.shape[1])]
        indent = min(0.2, sheets.text_width(few, 11) / figure.get_figwidth())
        side = figure.add_axes((0.6 + indent, 0.16 + lift, 0.37 - indent, top - 0.16 - lift))
        bars = _share_bars(side, shares[0], known)

    def draw(step: int) -> list[Any]:
        caption.set_text(lines[step])
        show(step)
        if shares is not None:
            for bar, share in zip(bars, shares[step], strict=True):
                bar.set_width(share)
        return []

    return FuncAnimation(figure, draw, frames=len(images), interval=80)


def _pictures(ax: Axes, images: np.ndarray, image_shape: ImageShape) -> Callable[[int], None]:
    """Draw the first example as an image or as curves; gives what shows another."""
    if image_shape is not None and arguments.is_image(image_shape):
        shown = np.clip(images.reshape(-1, *image_shape), 0, 1)
        picture = ax.imshow(shown[0], vmin=0, vmax=1)
        return lambda step: picture.set_data(shown[step])
    lines = ax.plot(arguments.curves(images[0], image_shape).T, linewidth=1.5)
    low, high = float(images.min()), float(images.max())
    ax.set_ylim(low, max(high, low + 1e-9))

    def show(step: int) -> None:
        for line, curve in zip(lines, arguments.curves(images[step], image_shape), strict=True):
            line.set_ydata(curve)

    return show


def _bars(ax: Axes, rows: np.ndarray, names: Sequence[str], unit: str) -> Callable[[int], None]:
    """Draw the first row as a bar for each column; gives what shows another."""
    bars = ax.barh(range(len(names)), rows[0], color=PALETTE[0])
    low, high = min(0.0, float(rows.min())), max(0.0, float(rows.max()))
    room = 0.05 * max(high - low, 1e-9)
    ax.set(xlim=(low - room * (low < 0), high + room), ylim=(len(names) - 0.4, -0.6))
    ax.set_xlabel(unit, size=9)
    ax.set_yticks(range(len(names)), names, size=8)
    ax.tick_params("x", labelsize=8)
    ax.tick_params("y", length=0)
    ax.axvline(0, color="0.3", linewidth=0.8)

    def show(step: int) -> None:
        for bar, value in zip(bars, rows[step], strict=True):
            bar.set_width(value)

    return show


def _share_bars(ax: Axes, shares: np.ndarray, names: Sequence[str] | None) -> Any:
    """Draw the shares of the categories; gives their bars."""
    categories = range(len(shares))
    colours = [colour_and_marker(k)[0] for k in categories]
    bars = ax.barh(categories, shares, color=colours, edgecolor="0.3", linewidth=0.5)
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "½", "1"))
    ax.set(ylim=(len(categories) - 0.4, -0.6), xlabel="share")
    if len(categories) <= 20:
        ax.set_yticks(categories, names)
    ax.tick_params(length=0)
    return bars
