"""jaxvae, its peers and a floor on the original's workload: seconds an epoch, in alternation.

Every competitor is a process of its own, stopped while another is timed; first each is checked to
learn what jaxvae learns. `make bench` runs all cases (an hour on two cores), `make bench-quick`
the batch of 64 on a third of MNIST. Writes `results/compare.json`, `.md` and `.png` after each
case; cases measured before, on the same machine with the same versions, and not again, stay.
benchmarks/README.md says who does what, and what a figure means.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import time

import numpy as np
import report
import timing
import workers
from competitors import COMPETITORS, FLOOR, Case, find, of_case
from matplotlib.figure import Figure

from jaxvae import datasets

MNIST = 60_000
LATENTS = {"dirichlet": 10, "normal": 2}
BATCH_SIZES = (64, 256, 1024)
# Loss of the last epoch of the check, against the reference's, as a share of it. Seeds differ by
# 2 to 4 percent; a wrong constant, a lost term or a batch left out shows as more.
TOLERANCE = 0.1
SEEDS_TRIED = 10  # of a competitor that loses some for good
PACKAGES = tuple(dict.fromkeys((*(c.package for c in COMPETITORS), "tf-keras")))


def cases(batch_sizes):
    return [Case(latent, k, size) for size in batch_sizes for latent, k in LATENTS.items()]


def checked(competitor, case, data, options, twin_loss=None):
    """A competitor's worker, warm, after the check of what it learns.

    Each seed has a process of its own; the last one stays. A competitor that loses some seeds for
    good is given more, ten at most, as long as one ends above twice its twin's loss.

    Returns:
      The worker; the losses of the first epochs, [seeds, epochs]; and the seeds that were lost.
    """
    # Larger batches make fewer steps: a little further than the same number of epochs.
    epochs = options.check_epochs * math.isqrt(max(1, case.batch_size // BATCH_SIZES[0]))
    seeds, losses, lost = options.seeds, [], []
    if competitor.objective is None:
        seeds = epochs = 1
    for seed in range(SEEDS_TRIED):
        worker = workers.Process()
        try:
            told = {"name": competitor.name, "case": case._asdict(), "seed": seed, "data": data}
            worker.ask("prepare", **told)
            run = [worker.ask("epoch")["loss"] for _ in range(epochs)]
        except BaseException:
            worker.close()
            raise
        last = seed == SEEDS_TRIED - 1  # timed all the same: the table says that it did not learn
        may_lose = competitor.loses_seeds and twin_loss is not None and not last
        if may_lose and run[-1] > 2 * twin_loss:
            lost.append(seed)
        else:
            losses.append(run)
        if len(losses) == seeds or last:
            return worker, losses, lost
        worker.close()


def last_loss(losses):
    """The mean over seeds of the last epoch's loss; None of a floor."""
    last = [seed[-1] for seed in losses]
    return None if None in last else float(np.mean(last))


def learns(name, losses):
    """Whether a competitor's loss agrees with its reference's; None for one that has none."""
    reference = find(name).reference
    if reference not in losses:
        return None
    wanted = last_loss(losses[reference])
    return bool(abs(last_loss(losses[name]) - wanted) <= TOLERANCE * abs(wanted))


def run_case(case, chosen, data, options):
    """Check and time the competitors of one case."""
    load = os.getloadavg()[0]
    losses, lost, missing, running = {}, {}, {}, {}
    with contextlib.ExitStack() as stack:
        for name in (c.name for c in of_case(case) if c in chosen):
            started = time.perf_counter()
            try:
                twin_loss = (
                    last_loss(losses[find(name).twin]) if find(name).twin in losses else None
                )
                running[name], losses[name], lost[name] = checked(
                    find(name), case, data, options, twin_loss
                )
                stack.callback(running[name].close)
                said = f"losses {losses[name]}"
            except workers.WorkerError as error:
                missing[name] = said = str(error)
            print(f"{name}: {said}, {time.perf_counter() - started:.0f} s", flush=True)
        timers = {
            name: lambda worker=worker: worker.ask("epoch")["seconds"]
            for name, worker in running.items()
        }
        seconds = timing.in_turns(timers, options.rounds)
    return {
        "case": case._asdict(),
        "rows": options.rows,
        "load_before": load,
        "losses": losses,
        "lost_seeds": lost,
        "learns": {name: learns(name, losses) for name in losses},
        "seconds": seconds,
        "missing": missing,
    }


def per_mnist(result):
    """The median seconds of each competitor for 60,000 images."""
    share = MNIST / result["rows"]
    return {n: float(np.median(s)) * share for n, s in result["seconds"].items()}


def relative(result, name, other):
    """How many times as long as another, or None where that one was not run."""
    seconds = result["seconds"]
    return timing.ratio(seconds[name], seconds[other]) if other in seconds else None


def times(value):
    return "-" if value is None else f"{value:.2f}"


def table(results):
    """A Markdown table, a line a competitor and case."""
    header = [
        "latent",
        "batch",
        "who",
        "s / 60,000 images",
        "x floor",
        "x jaxvae",
        "loss",
        "learns",
    ]
    lines = []
    for result in results:
        case = Case(**result["case"])
        for name, seconds in per_mnist(result).items():
            loss, learned = last_loss(result["losses"][name]), result["learns"][name]
            lines.append(
                [
                    case.latent,
                    case.batch_size,
                    name,
                    f"{seconds:.2f}",
                    times(relative(result, name, FLOOR)),
                    times(relative(result, name, find(name).base)),
                    "-" if loss is None else f"{loss:.4g}",
                    {True: "yes", False: "**no**", None: "-"}[learned],
                ]
            )
        lines += [
            [case.latent, case.batch_size, name, f"not run: {why}", "-", "-", "-", "-"]
            for name, why in result["missing"].items()
        ]
    return report.markdown(header, lines)


def plot(results):
    """Bars of seconds an epoch by competitor, a panel a latent, a colour a batch size."""
    sizes = sorted({r["case"]["batch_size"] for r in results})
    figure = Figure(figsize=(11, 6), layout="constrained")
    for ax, latent in zip(figure.subplots(1, 2), LATENTS, strict=True):
        of_latent = {r["case"]["batch_size"]: r for r in results if r["case"]["latent"] == latent}
        names = [
            c.name for c in COMPETITORS if any(c.name in r["seconds"] for r in of_latent.values())
        ]
        height = 0.8 / len(sizes)
        for place, size in enumerate(sizes):
            seconds = per_mnist(of_latent[size]) if size in of_latent else {}
            at = [names.index(name) + (place - (len(sizes) - 1) / 2) * height for name in seconds]
            bars = ax.barh(at, list(seconds.values()), height, label=f"batch {size}")
            ax.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
        ax.set(title=f"{latent.capitalize()} latent", xlabel="seconds for 60,000 images")
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.grid(axis="x", alpha=0.3)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(sizes))
    figure.savefig(report.RESULTS / "compare.png", dpi=110)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="batch 64, 20,000 images, one seed")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--rows", type=int, help="training images, 60,000 at most")
    parser.add_argument("--batch-sizes", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="competitors, by table name")
    parser.add_argument("--replot", action="store_true", help="table and plot anew, from the JSON")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.rows = options.rows or (20_000 if options.quick else MNIST)
    options.batch_sizes = options.batch_sizes or (BATCH_SIZES[:1] if options.quick else BATCH_SIZES)
    options.seeds = 1 if options.quick else 3
    options.check_epochs = 3 if options.quick else 2
    return options


def kept_cases():
    """What was measured before, by this machine with these versions, in the order of the table."""
    file = report.RESULTS / "compare.json"
    if not file.is_file():
        return {}
    kept = json.loads(file.read_text())
    if kept["machine"] != report.machine(PACKAGES):
        return {}
    return {Case(**result["case"]): result for result in kept["cases"]}


def main(argv=None):
    options = parse(argv)
    if options.replot:
        plot(json.loads((report.RESULTS / "compare.json").read_text())["cases"])
        return 0

    mnist = datasets.load_mnist()
    chosen = [c for c in COMPETITORS if options.only is None or c.name in options.only]
    x, y = mnist.x_train[: options.rows], mnist.y_train[: options.rows]
    results = kept_cases()
    with workers.saved(x, y) as data:
        for case in cases(options.batch_sizes):
            print(f"\n{case}", flush=True)
            results[case] = run_case(case, chosen, data, options)
            ordered = sorted(results.values(), key=lambda r: r["case"]["batch_size"])
            report.write(
                "compare",
                {"tolerance": TOLERANCE, "cases": ordered},
                table(ordered),
                PACKAGES,
            )
            plot(ordered)
    learned = [results[case]["learns"] for case in cases(options.batch_sizes)]
    return 1 if any(v is False for each in learned for v in each.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
