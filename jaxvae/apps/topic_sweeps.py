"""Topics of several runs: how stable they are from seed to seed, and against an option's value."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxvae.apps import runs, topic_runs
from jaxvae.training import run_folder, whole_files

STABILITY = "stability"  # in the summary of several seeds
# The panels of a sweep's picture, each with its figure.
PANELS = {
    "perplexity of unseen test words": topic_runs.PERPLEXITY,
    "coherence (NPMI)": "npmi",
    "stability from seed to seed": STABILITY,
    "redundancy of the topics": "redundancy",
}
VERDICT = (
    "No run is marked as the best: how many topics are right depends on what they are for. More of "
    "them predict unseen words better, as far as the perplexity falls; take no more than are "
    "coherent, stable from seed to seed and not redundant."
)


def stability_of(folders: Sequence[Path]) -> dict[str, float]:
    """How alike the topics of the runs of several seeds are.

    Args:
      folders: of finished runs of one configuration.

    Returns:
      By the name in a summary; nothing of fewer than two runs, or of other models.

    Raises:
      ValueError, OSError: if a run cannot be read.
    """
    opened = [runs.open_run(path) for path in folders]
    if len(opened) < 2 or any(run.topics is None for run in opened):
        return {}
    from jaxvae.apps.topics import matching  # SciPy is slow to import

    each = [run.topics.relevance for run in opened]  # type: ignore[union-attr]
    top = min(topic_runs.TOP, each[0].shape[1])
    return {STABILITY: matching.stability(each, top=top)}


def write_stability(folder: Path) -> None:
    """Write into a folder of several seeds how alike their topics are, where they are such.

    Args:
      folder: that holds the runs of the seeds.

    Raises:
      ValueError, OSError: if a run cannot be read or something cannot be written.
    """
    finished = [
        path for path in run_folder.seeds_in(folder) if (path / run_folder.SUMMARY).exists()
    ]
    if found := stability_of(finished):
        whole_files.write_json(folder / run_folder.SUMMARY, {"seeds": len(finished), **found})


def panels(panel: Callable[[str], Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The panels of the picture of a sweep.

    Args:
      panel: gives the curves of a figure by its name, none where no run has it.

    Returns:
      Those that have a curve, by their titles.
    """
    found = {title: panel(figure) for title, figure in PANELS.items()}
    return {title: curves for title, curves in found.items() if curves}
