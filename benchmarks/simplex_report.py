"""The tables and the picture of `simplex.py`."""

import json
import math
from statistics import mean, stdev

import report
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from simplex_latents import CHOICES

TOLD, USED = 0.5, 0.5  # nats, and the share of the categories, below which a latent has collapsed
COLUMNS = {  # of a run: its title and digits
    "nll": ("NLL, nats", 2),
    "kl": ("KL", 2),
    "reconstruction": ("reconstruction", 2),
    "gap": ("NELBO - NLL", 2),
    "error": ("5-NN error", 3),
    "in use": ("categories in use", 1),
    "categories": ("of an example", 2),
    "noise": ("gradient noise", 2),
    "epoch": ("epoch, CPU s", 3),
    "train": ("training, CPU s", 1),
    "skipped": ("steps left out", 0),
}
NOTE = (
    "Means over the seeds, of the NLL with the standard deviation. NLL: of a fixed part of the "
    "test examples, by 1,000 importance draws. Gap: of the same examples. 5-NN error: of the "
    "square roots of the posterior means. In use: categories that are the largest of some test "
    "example. Of an example: 1 / sum of the squared shares. Gradient noise: of the encoder's "
    "gradient at the trained parameters, one batch, 64 keys: trace of the covariance over the "
    "squared mean."
)


def noise(gradient):
    """The trace of the covariance over the squared norm of the mean, or None."""
    trace, square = gradient["trace"], gradient["mean"]
    known = trace is not None and square is not None and square > 0
    return trace / square if known else None


def value(run, column):
    """A figure of a run, or None where it has none."""
    return noise(run["gradient"]) if column == "noise" else run.get(column)


def values(case, column):
    """The figures of all runs that have one."""
    each = [value(run, column) for run in case["runs"]]
    return [one for one in each if one is not None]


def cell(case, column):
    """The mean over the seeds."""
    each, digits = values(case, column), COLUMNS[column][1]
    if not each:
        return "-"
    text = f"{mean(each):.{digits}f}"
    return f"{text} ± {stdev(each):.{digits}f}" if column == "nll" and len(each) > 1 else text


def collapse(case):
    """Which collapse a latent shows, in a word."""
    if mean(values(case, "kl")) < TOLD:
        return "posterior"
    return "components" if mean(values(case, "in use")) < USED * case["dims"] else "none"


def groups(cases):
    """The cases side by side: by set, concentration, head and width."""
    found = {}
    order = sorted(cases, key=lambda case: list(CHOICES).index(case["latent"]))
    for case in order:
        key = case["data"], case["concentration"], case["normed"], case["dims"]
        found.setdefault(key, []).append(case)
    return dict(sorted(found.items(), key=lambda item: (item[0][1:3], item[0][0], item[0][3])))


def text_of(results):
    """To read: a table for each set and width."""
    blocks = []
    for (name, concentration, normed, width), cases in groups(results["cases"]).items():
        facts = results["sets"][name]
        head = ", batch norm in the head" if normed else ""
        blocks.append(f"## {name}, K = {width}, concentration {concentration:g}{head}")
        blocks.append(
            f"{facts['train']:,} training examples of {facts['values']:,} values, "
            f"{facts['epochs']} epochs; {facts['test']:,} test examples, {facts['nll']:,} of them "
            "for the NLL."
        )
        rows = [
            [CHOICES[case["latent"]].title, len(case["runs"]), f"{case['rate']:g}",
             *(cell(case, column) for column in COLUMNS), collapse(case)]
            for case in cases
        ]  # fmt: skip
        titles = [title for title, _ in COLUMNS.values()]
        blocks.append(report.markdown(["latent", "seeds", "rate", *titles, "collapse"], rows))
        here = [run["gradients here"] for case in cases for run in case["runs"]
                if "gradients here" in run]  # fmt: skip
        if here:
            each = {other: [noise(run[other]) for run in here] for other in here[0]}
            said = ", ".join(
                f"{other} {mean(numbers):.3f}" for other, numbers in each.items()
                if None not in numbers
            )  # fmt: skip
            blocks.append(f"Gradient noise at the parameters of the first row: {said}.")
    return "\n\n".join([*blocks, NOTE])


def plain(tree):
    """Results without numbers that are not finite, which JSON does not have."""
    if isinstance(tree, dict):
        return {name: plain(leaf) for name, leaf in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(leaf) for leaf in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


ROWS = {  # of the picture
    "nll": "NLL - that of the Dirichlet, nats",
    "in use": "share of the categories in use",
    "noise": "gradient noise",
}
NAMES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "news": "articles", "pbmc": "cells"}
SHOWN = ("beta", "gamma", "guarded", "normal", "laplace", "sticks", "concrete")
MARKS = dict(zip(SHOWN, "o^vsDPX", strict=True))


def draw(results, path):
    """The picture: a column a set, a point a latent and a width; bars from least to largest."""
    shown = [case for case in results["cases"] if case["latent"] in SHOWN
             and case["concentration"] == results["settings"]["concentration"]
             and not case["normed"]]  # fmt: skip
    sets = [name for name in NAMES if any(case["data"] == name for case in shown)]
    widths = sorted({case["dims"] for case in shown})
    known = {(case["data"], case["dims"], case["latent"]): case for case in shown}
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(len(ROWS), len(sets), squeeze=False, sharex=True)
    for (row, title), line in zip(ROWS.items(), axes, strict=True):
        for name, ax in zip(sets, line, strict=True):
            for place, latent in enumerate(SHOWN):
                points = []
                for at, width in enumerate(widths):
                    case = known.get((name, width, latent))
                    of = known.get((name, width, "beta"))
                    if case is None or of is None or not (own := relative(row, case, of)):
                        continue
                    middle = mean(own)
                    bar = middle - min(own), max(own) - middle
                    points.append((at + 0.11 * (place - 3), middle, *bar))
                if points:
                    x, y, *bars = zip(*points, strict=True)
                    label = CHOICES[latent].title.replace("`", "")
                    ax.errorbar(x, y, bars, fmt=MARKS[latent], color=f"C{place}", markersize=5,
                                capsize=2, elinewidth=1, label=label)  # fmt: skip
            ax.set_xlim(-0.5, len(widths) - 0.5)
            ax.set_xticks(range(len(widths)), [f"K = {width}" for width in widths])
            ax.grid(axis="y", alpha=0.3)
            if row == "nll":
                ax.set_title(NAMES[name])
                ax.axhline(0, color="0.6", linewidth=1)
            if row == "noise":
                ax.set_yscale("log")
                ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                ax.yaxis.set_minor_formatter(NullFormatter())
        line[0].set_ylabel(title)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=90)


def relative(row, case, of):
    """What a point of the picture shows of each seed."""
    if row == "in use":
        return [each / case["dims"] for each in values(case, row)]
    if row == "nll":
        base = {run["seed"]: run["nll"] for run in of["runs"]}
        return [run["nll"] - base[run["seed"]] for run in case["runs"] if run["seed"] in base]
    return values(case, row)


def write(folder, results, *, picture=False):
    """The results so far, or in print where no folder is given; each file is whole at any time."""
    results = plain(results)
    line = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    text = f"{text_of(results)}\n\nMeasured on: {line}.\n"
    if folder is None:
        print(text)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in (("json", json.dumps(results, indent=1) + "\n"), ("md", text)):
        part = folder / f"simplex.{ending}.part"
        part.write_text(content)
        part.replace(folder / f"simplex.{ending}")
    if picture:
        draw(results, folder / "simplex.png")
