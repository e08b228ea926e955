"""The diagram of the house: its storeys, and the modules of each, from the folders themselves."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "jaxvae"
# As tests/test_layers.py holds them: each imports only from those above it.
STOREYS = {
    "numerics": "draws, densities, divergences",
    "data": "batches, files, streams",
    "model": "the parts of a model, and bind",
    "training": "steps, epochs, devices, fit",
    "apps": "runs, command line, estimators, figures",
    "compat": "the 2020 script's API, beside apps",
}
WIDTH, MARGIN, HEIGHT, GAP, LETTER = 780, 14, 26, 8, 7.4


def layers_svg() -> str:
    """An SVG: a band for each storey, from the top down, with a box for each of its modules."""
    parts, y = [], 10
    for storey, says in STOREYS.items():
        names = sorted(path.stem for path in (PACKAGE / storey).rglob("*.py"))
        boxes, x, row = [], MARGIN, 0
        for name in names:
            if name == "__init__":
                continue
            width = 16 + LETTER * len(name)
            if x + width > WIDTH - MARGIN:
                x, row = MARGIN, row + 1
            boxes.append((name, x, row, width))
            x += width + GAP
        height = 34 + (row + 1) * (HEIGHT + GAP) + 4
        parts.append(
            f'<rect class="storey" x="4" y="{y}" width="{WIDTH - 8}" height="{height}" rx="8"/>'
            f'<text class="storey" x="{MARGIN}" y="{y + 22}">{storey}/  {says}</text>'
        )
        for name, x, row, width in boxes:
            top = y + 34 + row * (HEIGHT + GAP)
            parts.append(
                f'<rect x="{x:g}" y="{top}" width="{width:g}" height="{HEIGHT}" rx="5"/>'
                f'<text x="{x + width / 2:g}" y="{top + 18}">{name}</text>'
            )
        y += height + 12
    head = (
        f'<svg viewBox="0 0 {WIDTH} {y}" role="img" aria-label="The storeys of the package from '
        'the top down, each with its modules; a storey imports only from those above it">'
    )
    return "".join([head, *parts, "</svg>"])
