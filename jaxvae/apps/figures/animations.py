"""Pictures that move, and the files that they go to."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.figure import Figure
from PIL import Image

from jaxvae._door import door
from jaxvae.apps.figures import arguments
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.style import colour_and_marker, short, styled


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
) -> FuncAnimation:
    """A walk through the latent space, a frame for each step.

    Args:
      images: what decodes from each step [N, D].
      captions: a line of text for each step.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      shares: the point on the simplex at each step [N, K], drawn as bars beside the image; or
        None.
      names: of the categories beside the bars; None: their numbers.

    Returns:
      The animation; its `save("walk.gif", writer=GifWriter(fps=12))` writes it.

    Raises:
      ValueError, TypeError: if captions or shares are not one for each image, or images do not fit
        image_shape; the argument is named.

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
    figure = Figure(figsize=(3.2 if shares is None else 5.6, 3.6), dpi=80)
    # Placed by hand: a layout of its own for each frame would make the picture tremble.
    width = 0.88 if shares is None else 0.5
    ax = figure.add_axes((0.06, 0.06, width, 0.8))
    caption = figure.suptitle(captions[0], y=0.96)
    ax.set_axis_off()
    shown = images
    if not arguments.is_image(image_shape):
        lines = ax.plot(arguments.curves(images[0], image_shape).T, linewidth=1.5)
        low, high = float(images.min()), float(images.max())
        ax.set_ylim(low, max(high, low + 1e-9))
    else:
        shown = np.clip(images.reshape(-1, *image_shape), 0, 1)  # type: ignore[misc]
        picture = ax.imshow(shown[0], vmin=0, vmax=1)
    if shares is not None:
        shares = arguments.examples("shares", shares)
        if len(shares) != len(images):
            raise ValueError(
                f"shares must be one row for each of {len(images)} images, got {len(shares)}"
            )
        categories = range(shares.shape[1])
        side = figure.add_axes((0.64, 0.14, 0.32, 0.7))
        colours = [colour_and_marker(k)[0] for k in categories]
        bars = side.barh(categories, shares[0], color=colours, edgecolor="0.3", linewidth=0.5)
        side.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "½", "1"))
        side.set(ylim=(len(categories) - 0.4, -0.6), xlabel="share")
        if len(categories) <= 20:
            side.set_yticks(categories, None if names is None else [short(n) for n in names])
        side.tick_params(length=0)

    def draw(step: int) -> list[Any]:
        caption.set_text(captions[step])
        if not arguments.is_image(image_shape):
            for line, curve in zip(lines, arguments.curves(images[step], image_shape), strict=True):
                line.set_ydata(curve)
        else:
            picture.set_data(shown[step])
        if shares is not None:
            for bar, share in zip(bars, shares[step], strict=True):
                bar.set_width(share)
        return []

    return FuncAnimation(figure, draw, frames=len(images), interval=80)
