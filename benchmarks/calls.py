"""One call at a time: encode, decode and a draw given x, at batch 1 and 4,096.

On arrays that are there already, each call waited for; the README's Dirichlet model. JAX hands a
call to a thread of its own, which takes longer than a small network; "at once" is jaxvae without
that (`jax.config.update("jax_cpu_enable_async_dispatch", False)`). Every competitor is a process of
its own, and they take turns.
`make bench-calls` takes three minutes and writes `results/calls.json` and `.md`.
"""

import argparse
import contextlib

import numpy as np
import report
import timing
import workers
from competitors import COMPETITORS, Case

CASE = Case("dirichlet", 10, 64)
BATCH_SIZES = (1, 4096)
CALLERS = (
    "jaxvae",
    "jaxvae, at once",
    "jaxvae.compat",
    "PyTorch, eager",
    "TensorFlow, the original",
)
PACKAGES = tuple(dict.fromkeys(c.package for c in COMPETITORS))


def measured(size, rounds, seconds):
    """Seconds of one call at a batch size, by function and name, a number a round."""
    calls = {}
    with contextlib.ExitStack() as stack:
        for name in CALLERS:
            worker = workers.Process()
            stack.callback(worker.close)
            told = {"name": name, "case": CASE._asdict(), "batch_size": size}
            try:
                functions = worker.ask("functions", **told)["functions"]
            except workers.WorkerError as error:
                print(f"{name} was not run: {error}", flush=True)
                continue
            for function in functions:
                calls.setdefault(function, {})[name] = lambda worker=worker, function=function: (
                    worker.ask("call", function=function, seconds=seconds)["seconds"]
                )
        return {name: timing.in_turns(timers, rounds) for name, timers in calls.items()}


def table(calls):
    """A Markdown table, a line a batch size and function."""
    names = list(dict.fromkeys(name for row in calls for name in row["seconds"]))

    def micros(seconds):
        return "-" if seconds is None else f"{1e6 * float(np.median(seconds)):,.0f}"

    lines = [
        [row["function"], row["batch_size"], *(micros(row["seconds"].get(name)) for name in names)]
        for row in calls
    ]
    return report.markdown(["microseconds a call", "batch", *names], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    rounds, seconds = (3, 0.2) if options.quick else (9, 0.5)
    calls = [
        {"batch_size": size, "function": function, "seconds": of_names}
        for size in BATCH_SIZES
        for function, of_names in measured(size, rounds, seconds).items()
    ]
    report.write("calls", {"calls": calls}, table(calls), PACKAGES)


if __name__ == "__main__":
    main()
