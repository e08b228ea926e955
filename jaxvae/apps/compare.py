"""`jaxvae compare`: several runs side by side, as a table and as a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import tyro

from jaxvae._output import WIDTH, say, say_made
from jaxvae.apps import compared, outputs, topic_sweeps
from jaxvae.apps.compared import Entry

GAP = 2  # between the columns of a table
LONGEST, LONGEST_NAME = 28, 40  # letters of an option's value; of a run's name
NOTHING = "-"
RMSE = "test RMSE"  # the title of a panel

RunPaths = tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN")]]


@dataclass(frozen=True)
class Compare:
    """Compare runs: print a table of their results and of the options in which they differ, and
    draw their training curves and results into one picture."""

    EXAMPLES: ClassVar = (
        ("jaxvae compare runs/first runs/second", "two runs"),
        ("jaxvae compare runs/* --csv runs.csv", "all runs, as a file too"),
    )

    runs: RunPaths
    """The folders that `jaxvae train` has written. Of a sweep each run is listed; of several seeds
    the mean and the standard deviation."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The picture, a .png, .pdf or .svg. Default: comparison.png, or where that exists
    comparison-2.png."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .csv for all results and for the options in which the runs differ. Default: none."""
    force: bool = False
    """Replace the files if they exist."""
    quiet: bool = False
    """Print the names of the files and nothing else."""

    def run(self) -> int:
        if not self.runs:
            raise ValueError("runs must be at least one folder that `jaxvae train` wrote, got none")
        found = [entry for path in self.runs for entry in compared.read(path)]
        each = {entry.folder.resolve(): entry for entry in found}
        if len(each) < len(found):
            say("A run that is named more than once is shown once.")
        entries = named_apart(list(each.values()))
        for line in report(entries):
            say(line)
        if self.csv is not None:
            columns = all_columns(entries)
            out = outputs.write_new(
                self.csv,
                "comparison.csv",
                (".csv",),
                lambda path: outputs.write_table(path, columns),
                replace=self.force,
                name="csv",
            )
            say_made("The table is in", out)
        curves, figures, marks = panels(entries)
        if not any(curves.values()) and not any(figures.values()):
            say("There is no picture, as no run has finished an epoch.")
            return 0

        def draw(path: Path) -> None:
            from jaxvae.apps.figures import comparisons  # Matplotlib is slow to import

            names = [entry.name for entry in entries]
            page = comparisons.run_comparison(curves, figures, names=names, marks=marks)
            page.savefig(path, dpi=110)

        endings = (".png", ".pdf", ".svg")
        out = outputs.write_new(self.out, "comparison.png", endings, draw, replace=self.force)
        say_made("The picture is in", out)
        return 0


def named_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Give runs of one name names that tell them apart.

    Args:
      entries: the runs.

    Returns:
      The runs, called by the folder above too, or by their whole path, where their names are alike.
    """

    def apart(entries: Sequence[Entry], name_of: Callable[[Entry], str]) -> list[Entry]:
        names = [entry.name for entry in entries]
        return [
            entry._replace(name=name_of(entry)) if names.count(entry.name) > 1 else entry
            for entry in entries
        ]

    with_parent = apart(entries, lambda e: f"{e.folder.absolute().parent.name}/{e.name}")
    return apart(with_parent, lambda e: str(e.folder))


def report(entries: Sequence[Entry], *, best: str | None = None) -> list[str]:
    """What is said of runs: their figures, how they differ, and what cannot be compared.

    Args:
      entries: the runs.
      best: the name of the one that is marked, or None.

    Returns:
      The lines of the tables, of at most 80 letters, and then whole sentences.
    """
    names = [_short(e.name, LONGEST_NAME) + (" *" if e.name == best else "") for e in entries]
    options = {
        f"--{name.replace('_', '-')}": [_option(value) for value in values]
        for name, values in compared.differing(entries).items()
    }
    blocks = [_results(entries), _training(entries) | options]
    lines = ["On the test data:", *table(names, blocks[0]), "", *table(names, blocks[1])]
    parts = dict.fromkeys(" + ".join(e.parts) for e in entries if len(e.parts) > 1)
    said = [f"KL and active are those of {own}." for own in parts]
    if any(e.mean(f"{part}_in_use") is not None for e in entries for part in e.parts):
        said.append("in_use counts the categories that are the largest share of some test example.")
    if any("topics_in_use" in entry.figures for entry in entries):
        said.append("in_use counts the topics that are the largest of 0.2% of the documents.")
        said.append("perplexity is of unseen words of test documents: the lower, the better.")
    if any("baseline_rmse" in entry.figures for entry in entries):
        said.append("mean_rmse is that of the mean training example, which knows nothing of x.")
    said += [f"{entry.name} {note}." for entry in entries for note in entry.notes]
    return [*lines, *said, *compared.warnings(entries)]


def table(names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """A table of runs, split into several below each other where it is too wide.

    Args:
      names: of the rows.
      columns: by their names the cell of each row.

    Returns:
      Lines of at most 80 letters, unless one column alone is wider.

    Example:
      >>> table(["a", "bc"], {"loss": ["1.00", "12.50"], "epochs": ["60", "60"]})
      ['run   loss  epochs', 'a     1.00      60', 'bc   12.50      60']
    """
    first = ["run", *names]
    wide = max(map(len, first))
    blocks: list[list[list[str]]] = []
    room = 0
    for name, cells in columns.items():
        column = [name, *cells]
        width = max(map(len, column))
        if not blocks or width + GAP > room:
            blocks.append([])
            room = WIDTH - wide
        blocks[-1].append([cell.rjust(width) for cell in column])
        room -= width + GAP
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        for row, *cells in zip(first, *block, strict=True):
            lines.append((" " * GAP).join([row.ljust(wide), *cells]).rstrip())
    return lines


def _results(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """What the runs came to; a column where a run has such a figure."""
    found = {"loss": _column(entries, "test_loss")}
    both = [(e.mean("test_loss"), e.mean("test_nelbo")) for e in entries]
    if any(a is not None and b is not None and not np.isclose(a, b, rtol=1e-4) for a, b in both):
        found["nelbo"] = _column(entries, "test_nelbo")
    for name in ("held_out_loss", "held_out_nelbo"):
        if any(name in entry.figures for entry in entries):
            found[name] = _column(entries, name)
    found |= {
        "rmse": _column(entries, "test_rmse"),
        "mean_rmse": _column(entries, "baseline_rmse", spread=False),
        "kl": [_by_part(e, "kl", "test_kl", "{:.2f}") for e in entries],
        "accuracy": _column(entries, "test_accuracy"),
        "perplexity": _column(entries, "test_perplexity"),
        "npmi": _column(entries, "npmi"),
        "redundancy": _column(entries, "redundancy"),
        "stability": _column(entries, "stability"),
    }
    return {name: cells for name, cells in found.items() if set(cells) != {NOTHING}}


def _training(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """How much of the latent the runs use, and what their training took."""
    found = {
        "active": [_by_part(e, "active", "", "{:.3g}") for e in entries],
        "in_use": [_by_part(e, "in_use", "topics_in_use", "{:.3g}") for e in entries],
        "epochs": [_cell(e.figures.get("epochs"), 0) for e in entries],
        "seconds": [_cell(e.figures.get("seconds"), 1) for e in entries],
    }
    return {name: cells for name, cells in found.items() if set(cells) != {NOTHING}}


def _column(entries: Sequence[Entry], figure: str, *, spread: bool = True) -> list[str]:
    means = [abs(mean) for entry in entries if (mean := entry.mean(figure)) is not None]
    digits = 2 if means and max(means) >= 10 else 4
    values = [entry.figures.get(figure, ()) for entry in entries]
    return [_cell(own if spread else own[:1], digits) for own in values]


def _cell(values: Sequence[float] | None, digits: int) -> str:
    """A mean, and the standard deviation of several seeds."""
    if not values:
        return NOTHING
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(set(values)) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _by_part(entry: Entry, figure: str, total: str, form: str) -> str:
    """The mean of a figure in each part of the latent, or in all together."""
    means = [entry.mean(f"{part}_{figure}") for part in entry.parts]
    means = means if any(mean is not None for mean in means) else [entry.mean(total)]
    return " + ".join(form.format(mean) for mean in means if mean is not None) or NOTHING


def _option(value: Any) -> str:
    return (
        NOTHING if value is None else _short(f"{value:g}" if type(value) is float else str(value))
    )


def _short(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def all_columns(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """All that is known of runs, as columns of a file.

    Args:
      entries: the runs.

    Returns:
      By name the cells of each run: its figures, of several seeds their mean and in a column
      `..._std` their standard deviation, and the options that differ, "--epochs" where a figure
      has that name. "" where there is none.
    """
    found = {
        "run": [entry.name for entry in entries],
        "folder": [str(entry.folder) for entry in entries],
        "seeds": [str(max(map(len, e.figures.values()), default=0)) for e in entries],
    }
    options = compared.differing(entries)
    for figure in dict.fromkeys(name for entry in entries for name in entry.figures):
        values = [entry.figures.get(figure, ()) for entry in entries]
        if figure == "seed":  # the options say it
            continue
        found[figure] = [f"{np.mean(own):.9g}" if own else "" for own in values]
        if any(len(own) > 1 for own in values):
            found[f"{figure}_std"] = [
                f"{np.std(own, ddof=1):.9g}" if len(own) > 1 else "" for own in values
            ]
    plain = {
        f"--{name.replace('_', '-')}" if name in found else name: [
            "" if value is None else str(value) for value in values
        ]
        for name, values in options.items()
    }
    return found | plain


def panels(entries: Sequence[Entry]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What `figures.run_comparison` draws of runs.

    Args:
      entries: the runs.

    Returns:
      The curves, a panel for those whose losses can be compared; the figures, of the losses and
      the errors only where those of all runs can; and the mean training example's error.
    """
    known = [(e, compared.yardstick(e.config)) for e in entries if e.config is not None]
    groups: list[list[tuple[Entry, compared.Yardstick]]] = []
    for entry, stick in known:
        for group in groups:
            if compared.comparable(group[0][1], stick):
                group.append((entry, stick))
                break
        else:
            groups.append([(entry, stick)])
    curves: dict[str, Any] = {}
    for group in groups:
        weights = all(stick.weights == group[0][1].weights for _, stick in group)
        title, own = _curves([entry for entry, _ in group], group[0][1].unit, weights)
        if own:
            curves[f"{_group_name(group[0], known)}{title}"] = own
    figures: dict[str, Any] = {}
    marks: dict[str, tuple[str, float]] = {}
    one_scale = all(stick.of_errors == known[0][1].of_errors for _, stick in known)
    if len(groups) == 1:
        weights = all(stick.weights == known[0][1].weights for _, stick in known)
        nats = known[0][1].unit == "nats"
        if weights or nats:
            name = "test_loss" if weights else "test_nelbo"
            title = "test loss" if weights else "test nelbo"
            figures[f"{title} (nats)" if nats else title] = _of(entries, name)
    if one_scale:
        figures[RMSE] = _of(entries, "test_rmse")
        marks = baseline(entries)
    figures["test KL"] = _of(entries, "test_kl")
    if one_scale:
        figures |= topic_sweeps.panels(lambda figure: _of(entries, figure))
    figures["test accuracy"] = _of(entries, "test_accuracy")
    return curves, {name: own for name, own in figures.items() if own}, marks


def baseline(entries: Sequence[Entry]) -> dict[str, tuple[str, float]]:
    """What the errors of the reconstructions are compared with in a picture.

    Args:
      entries: runs on the same data.

    Returns:
      By the title of the panel a name and the mean training example's error; nothing where no run
      has it.
    """
    known = [mean for entry in entries if (mean := entry.mean("baseline_rmse")) is not None]
    return {RMSE: ("the mean example", known[0])} if known else {}


def _group_name(
    first: tuple[Entry, compared.Yardstick], known: Sequence[tuple[Entry, compared.Yardstick]]
) -> str:
    """What sets the runs of a panel apart from the others: their data, likelihood, or the first."""
    entry, stick = first
    if all(compared.comparable(stick, other) for _, other in known):
        return ""
    assert entry.config is not None
    name = compared.options_of(entry.config)["data"]
    if any(
        stick.data == other.data and not compared.comparable(stick, other) for _, other in known
    ):
        name = f"{name}, {stick.likelihood}, {entry.name} …"
    return f"{name}: "


def _of(entries: Sequence[Entry], figure: str) -> dict[str, Any]:
    return {entry.name: entry.figures[figure] for entry in entries if figure in entry.figures}


def _curves(entries: Sequence[Entry], unit: str, weights: bool) -> tuple[str, dict[str, Any]]:
    """The losses of runs by the epoch: on the held-out examples where all runs have such.

    Of losses that weigh the KL differently, it is what all have in common.
    """
    held_out = all(
        record.get("validation_loss") is not None
        for entry in entries
        for records in entry.curves
        for record in records
    )
    suffix = " (nats)" if unit == "nats" else ""
    if weights:
        title, value = "training loss", lambda r: r["loss"]
        if held_out:
            title, value = "held-out loss", lambda r: r["validation_loss"]
    elif unit == "nats":  # of the training examples alone is it on record
        title, value = "training nelbo", lambda r: r["reconstruction"] + r["kl"]
    else:
        title, value = "training reconstruction", lambda r: r["reconstruction"]
    own = {}
    for entry in entries:
        rows = [_finite([value(record) for record in records]) for records in entry.curves]
        if rows := [row for row in rows if row]:
            own[entry.name] = rows
    return title + suffix, own


def _finite(values: Sequence[float]) -> list[float]:
    """A curve as far as it is finite."""
    bad = [i for i, value in enumerate(values) if not np.isfinite(value)]
    return list(values[: bad[0]] if bad else values)
