"""One style for all pictures: `PALETTE` and `MARKERS` for labels, `STYLE` for the rest.

Ten labels differ in a colour that the colour-blind can tell apart and, where points are large
enough to show it, in a marker.
"""

from typing import Any

import matplotlib as mpl
from matplotlib.rcsetup import cycler

# Petroff, 2021, Accessible color sequences for data visualization, arXiv:2107.02270.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">")
# Of heat maps: numbers with a sign, white at 0; and amounts, white at none.
SIGNED, AMOUNT = "RdBu_r", "Blues"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "figure.titlesize": 13,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "image.cmap": "gray",
    "figure.constrained_layout.h_pad": 0.1,  # inches; less lets titles touch the edge
    "figure.constrained_layout.w_pad": 0.1,
}
styled = mpl.rc_context(STYLE)  # a decorator


def colour_and_marker(label: int) -> tuple[str, str]:
    """The look of a label: ten colours, ten markers, a hundred pairs of them.

    Args:
      label: an integer of at least 0.

    Returns:
      The colour and the marker.
    """
    return PALETTE[label % 10], MARKERS[(label + label // 10) % 10]


def short(name: str, most: int = 14) -> str:
    """A name that is not too long for its place.

    Args:
      name: of a label or a column.
      most: characters.

    Returns:
      The name, its end left out where it is longer.
    """
    return name if len(name) <= most else f"{name[: most - 1]}…"
