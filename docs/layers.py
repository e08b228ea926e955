"""The diagram of the modules, drawn from the imports in their source."""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "jaxvae"
BOX, HEIGHT, GAP, ROW, WIDTH = 128, 30, 22, 68, 780
LEFT_OUT = ("_version", "__main__", "_checks")  # two of one line, and one that nearly all import


def imports() -> dict[str, set[str]]:
    """Which modules of the package each module imports."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - set(LEFT_OUT)
    found: dict[str, set[str]] = {}
    for module in sorted(modules):
        names = set()
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                package, _, rest = node.module.partition(".")
                if package == "jaxvae":
                    names |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
        found[module] = names & modules
    return found


def layers_svg() -> str:
    """An SVG: each module below all that it imports; a line to each that no other line leads to."""
    direct = imports()

    @functools.cache
    def height(module: str) -> int:
        users = [other for other, names in direct.items() if module in names]
        return 1 + max((height(user) for user in users), default=-1)

    @functools.cache
    def reached(module: str) -> frozenset[str]:
        return frozenset(direct[module]).union(*(reached(other) for other in direct[module]))

    top = max(height(module) for module in direct)
    rows: dict[int, list[str]] = {}
    for module in direct:
        rows.setdefault(top - height(module), []).append(module)
    lines = {
        module: {other for other in names if not any(other in reached(n) for n in names)}
        for module, names in direct.items()
    }
    centre: dict[str, float] = {}
    for row in sorted(rows):
        # Below the middle of what a module imports, as far as the boxes beside it leave room.
        def wish(module: str) -> float:
            above = [centre[other] for other in lines[module]]
            return sum(above) / len(above) if above else WIDTH / 2

        names = sorted(rows[row], key=lambda module: (wish(module), module))
        step = BOX + GAP
        left = (WIDTH - step * (len(names) - 1)) / 2
        for i, module in enumerate(names):
            centre[module] = left + i * step
    bottom = {module: 20 + (top - height(module)) * ROW + HEIGHT for module in direct}
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {max(bottom.values()) + 20}" role="img" '
        'aria-label="The modules in rows; a line leads from a module up to one that it imports">'
    ]
    for module, names in lines.items():
        for other in sorted(names):
            x1, y1, x2, y2 = centre[other], bottom[other], centre[module], bottom[module] - HEIGHT
            middle = (y1 + y2) / 2
            parts.append(
                f'<path d="M{x1:g} {y1}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2}"/>'
            )
    for module in direct:
        x, y = centre[module] - BOX / 2, bottom[module] - HEIGHT
        style = "private" if module.startswith("_") and module != "__init__" else "public"
        parts.append(
            f'<rect class="{style}" x="{x:g}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{centre[module]:g}" y="{y + 20}">{module}</text>'
        )
    return "".join([*parts, "</svg>"])
