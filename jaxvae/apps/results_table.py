"""What a run comes to as a table that people read: of one run, or the mean of several."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxvae._output import counted, number, say

WIDE = 11  # columns of a number


class Row(NamedTuple):
    """A line of the table.

    Attributes:
      label: what it is, in words.
      values: of each run; an int is a count.
      unit: what follows the number, or "".
      remark: what it is to be held against, or "".
    """

    label: str
    values: Sequence[float]
    unit: str = ""
    remark: str = ""


def show(*runs: Mapping[str, Any]) -> None:
    """Print what one run comes to; of several the means and the standard deviations.

    Args:
      *runs: of each its summary, or the part of it that was measured on the test data.

    Example:
      >>> show({"test_loss": 24.5, "test_nelbo": 24.5, "test_rmse": 0.2, "baseline_rmse": 0.3})
      Results on the test data:
        loss (negative ELBO)             24.5000 nats
        reconstruction error (RMSE)       0.2000   the mean example's: 0.3000
    """
    blocks = {
        "Results on the test data:": list(_rows(runs)),
        "The topics, on the training data:": list(_topic_rows(runs)),
    }
    every = [row for rows in blocks.values() for row in rows]
    wide = max((len(row.label) for row in every), default=0)
    for title, rows in blocks.items():
        if rows or rows is blocks["Results on the test data:"]:
            _show(title, rows, wide, len(runs))


def _show(title: str, rows: Sequence[Row], wide: int, runs: int) -> None:
    """Print a block of the table, its labels so many columns wide."""
    if runs == 1:
        say(title)
        for row in rows:
            line = f"  {row.label:{wide}}  {_shown(row.values[0])} {row.unit}"
            say(f"{line}  {row.remark}".rstrip())
    else:
        say(f"{title:{wide + 2}}  {'mean':>{WIDE}}  {'std':>{WIDE}}")
        for row in rows:
            mean, spread = np.mean(row.values), np.std(row.values, ddof=1)
            line = f"  {row.label:{wide}}  {_shown(float(mean))}  {_shown(float(spread))}"
            say(f"{line} {row.unit}".rstrip())


def show_notes(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what is to be said about runs beside their numbers.

    Args:
      runs: the summary of each, by its name. Its `notes` are sentences.
    """
    for name, results in runs.items():
        for note in results.get("notes", ()):
            say(f"{name}: {note}" if len(runs) > 1 else note)


def _of(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """The numbers that all runs have, or none."""
    values = [run.get(key) for run in runs]
    return [] if None in values else values  # type: ignore[return-value]


def _rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    of = functools.partial(_of, runs)
    nats = "nats" if of("test_nelbo") else ""
    loss, bound = of("test_loss"), of("test_nelbo")
    if loss and bound and np.allclose(loss, bound, rtol=1e-6):
        yield Row("loss (negative ELBO)", loss, nats)
    elif loss:
        yield Row("loss" if nats else "loss, in the original's units", loss, nats)
        if bound:
            yield Row("negative ELBO", bound, nats)
    if values := of("test_reconstruction"):
        yield Row("reconstruction term", values, nats)
    if values := of("test_kl"):
        yield Row("KL divergence", values, nats)
    parts = [key.removesuffix("_dimensions") for key in runs[0] if key.endswith("_dimensions")]
    for part in parts if len(parts) > 1 else ():
        if values := of(f"{part}_kl"):
            yield Row(f"KL divergence of the {part}", values, nats)
    if values := of("test_rmse"):
        baseline = of("baseline_rmse")
        remark = f"the mean example's: {number(float(np.mean(baseline)), WIDE)}" if baseline else ""
        yield Row("reconstruction error (RMSE)", values, remark=remark)
    if values := of("test_explained"):
        yield Row("share of the variance explained", values)
    if values := of("test_accuracy"):
        known = of("test_labels")
        remark = f"of the {counted(int(known[0]), 'example')} with a label" if known else ""
        yield Row("accuracy of the category", values, remark=remark)
    if of("topics_in_use"):
        if values := of("test_perplexity"):
            unigram = number(float(np.mean(of("unigram_perplexity"))), WIDE)
            yield Row("perplexity of unseen words", values, "", f"their frequencies': {unigram}")
        if of("test_accuracy"):  # the prior has seen the labels of the training data
            yield from _agreement(runs)
        return
    several = sum(bool(of(f"{part}_in_use")) for part in parts) > 1
    for part in parts:
        which = f" of the {part}" if len(parts) > 1 else ""
        total = f"of {runs[0][f'{part}_dimensions']}"
        if values := of(f"{part}_in_use"):
            yield Row(f"categories in use{which if several else ''}", values, total)
        elif values := of(f"{part}_active"):
            yield Row(f"active dimensions{which}", values, total)


def _topic_rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """How good topics are."""
    of = functools.partial(_of, runs)
    if not of("topics_in_use"):
        return
    for key, label in (
        ("npmi", "coherence (NPMI)"),
        ("diversity", "diversity of the words"),
        ("redundancy", "redundancy of the topics"),
    ):
        if values := of(key):
            yield Row(label, values)
    yield Row("topics in use", of("topics_in_use"), f"of {runs[0]['topics']}")
    if not of("test_accuracy"):
        yield from _agreement(runs)


def _agreement(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for key, label in (
        ("adjusted_rand_index", "labels, adjusted Rand index"),
        ("normalized_mutual_information", "labels, mutual information"),
        ("nearest_neighbour_accuracy", "labels, by 5 neighbours"),
    ):
        if values := _of(runs, key):
            yield Row(label, values)


def _shown(value: float) -> str:
    return f"{value:{WIDE}d}" if isinstance(value, int) else f"{number(value, WIDE):>{WIDE}}"
