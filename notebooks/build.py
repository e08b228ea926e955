"""Make the notebooks: `python notebooks/build.py [N_name.py ...]`.

A notebook's source is a Python script in the percent format: `# %% [markdown]` starts a
cell of text, `# %%` one of code, and a magic stands in a comment. It is run in a fresh
kernel, in an empty folder, and written with its outputs to the `.ipynb` beside it.
"""

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 600_000  # bytes a notebook
CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
MAGIC = re.compile(r"^# (?=%\w)", re.MULTILINE)
COMMENT = re.compile(r"^# ?", re.MULTILINE)
# What would tell of the machine that ran it, or is no result: paths, progress bars.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|work|Users|usr|opt|var)/|[A-Z]:\\|\d%\|"
)


def read_cells(path: Path) -> list[tuple[str, str]]:
    """The cells of a text form: ("markdown" or "code", source) each."""
    before, *parts = CELL.split(path.read_text())
    if before.strip():
        raise ValueError(f"{path.name} must begin with a cell, got {before[:40]!r}")
    cells = []
    for markdown, text in zip(parts[::2], parts[1::2], strict=True):
        if markdown:
            cells.append(("markdown", COMMENT.sub("", text.strip())))
        else:
            cells.append(("code", MAGIC.sub("", text.strip())))
    return cells


def faults(notebook: dict) -> list[str]:
    """What a notebook's outputs must not hold: errors, warnings, paths of a machine."""
    found = []
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            text = "".join(
                output.get("text", output.get("data", {}).get("text/plain", ""))
            )
            if output["output_type"] == "error":
                found.append(
                    f"cell {number} raised {output['ename']}: {output['evalue']}"
                )
            elif output.get("name") == "stderr" or FOREIGN.search(text):
                found.append(f"cell {number} printed {text!r}")
    return found


def execute(path: Path) -> dict:
    """Run a text form in a fresh kernel; the notebook with its outputs."""
    import nbclient
    import nbformat.v4 as v4

    cells = []
    for number, (kind, source) in enumerate(read_cells(path)):
        new_cell = v4.new_markdown_cell if kind == "markdown" else v4.new_code_cell
        cells.append(new_cell(source, id=f"cell-{number}"))  # the same at each run
    metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    notebook = v4.new_notebook(cells=cells)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            resources=resources,
            record_timing=False,
            coalesce_streams=True,
            timeout=3600,
        ).execute()
    notebook.metadata = metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller_png(output.data["image/png"])
    return notebook


def smaller_png(encoded: str) -> str:
    """The same PNG in base64 without its alpha channel, grey where it has no colour."""
    from PIL import Image, ImageChops

    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    grey = image.convert("L")
    if ImageChops.difference(image, grey.convert("RGB")).getbbox() is None:
        image = grey
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main(names: list[str]) -> int:
    """Make the named notebooks, or all."""
    import nbformat

    os.environ.pop("JAXVAE_QUICK", None)
    for path in [Path(name) for name in names] or sorted(HERE.glob("[0-9]_*.py")):
        notebook = execute(path)
        text = nbformat.writes(notebook) + "\n"
        path.with_suffix(".ipynb").write_text(text)
        print(f"{path.stem}.ipynb: {len(cells_of(notebook))} cells, {len(text):,} bytes")
        if (found := faults(notebook)) or len(text) > LIMIT:
            print(
                f"at most {LIMIT:,} bytes are allowed, and none of:",
                *found,
                file=sys.stderr,
            )
            return 1
    return 0


def cells_of(notebook: dict) -> list[tuple[str, str]]:
    """The cells of a notebook as JSON, as `read_cells` has those of its text form."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
