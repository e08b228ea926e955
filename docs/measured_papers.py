"""The figures of papers beside ours, for the pages: see `figures.py`."""

from markers import table
from measured_speed import Results, machine


def papers(results: Results) -> dict[str, str]:
    """The table of each paper, as `benchmarks/papers.py` made it."""
    made = {
        name: table(own["header"], [[str(cell) for cell in row] for row in own["rows"]])
        for name, own in results["tables"].items()
    }
    return {"machine": machine(results), **made}
