"""What it costs to read people's files: a table against pandas alone, a folder of pictures.

`python benchmarks/inputs.py` takes about eight minutes on two cores and writes
`results/inputs.json` and `.md`. A million rows of 20 columns and a label, as CSV and as Parquet:
`jaxvae.datasets.load` and one epoch of `fit`, against pandas's own read, `to_numpy(float32)` and
the same epoch. Then folders of PNGs, one with ten times as many as the other: `stream_images` and
`load`, each with an epoch. Each in a fresh process, in alternated rounds; what counts begins after
the imports, which are the same for all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pandas
import pyarrow  # noqa: F401, so that its import counts for nobody
import report
import timing
from PIL import Image

import jaxvae
from jaxvae import datasets, latents, likelihoods, objectives, priors, transforms

ROWS, COLUMNS, BATCH = 1_000_000, 20, 512
PICTURES = {"28x28, grey": ((28, 28), 20_000), "64x64, colour": ((64, 64, 3), 16_000)}
TARGET = 2.0  # times pandas's seconds, and its memory
PACKAGES = ("pandas", "pyarrow", "pillow")
TIMES = {
    "read_seconds": "x pandas, seconds to read",
    "seconds": "x pandas, seconds",
    "mib": "x pandas, MiB",
}


def table(folder, rows):
    """The same table in two files, by the names of their formats."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, COLUMNS)).round(4)
    frame = pandas.DataFrame(values, columns=[f"column {i}" for i in range(COLUMNS)])
    frame["label"] = np.array([f"kind {i}" for i in range(10)])[rng.integers(0, 10, rows)]
    paths = {"CSV": Path(folder, "table.csv"), "Parquet": Path(folder, "table.parquet")}
    frame.to_csv(paths["CSV"], index=False)
    frame.to_parquet(paths["Parquet"], engine="pyarrow")
    return paths


def pictures(folder, count, shape):
    """A folder of pictures of noise in ten sub-folders."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = Path(folder, f"kind {i % 10}", f"{i:06}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path)
    return Path(folder)


def read_load(path):
    data = datasets.load(path)
    return data.x_train, data.y_train


def read_pandas(path):
    """As many rows as `load` leaves to train on: it sets every tenth aside."""
    frame = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    y = frame.pop("label").astype("category").cat.codes.to_numpy(np.int32)
    x = frame.to_numpy(np.float32)
    kept = len(x) - len(x) // 10
    return x[:kept], y[:kept]


def read_stream(path):
    return datasets.stream_images(path, batch_size=BATCH), None


READERS = {"load": read_load, "pandas": read_pandas, "stream_images": read_stream}


def memory(field):
    """MiB that this process holds (VmRSS), or the most that it has held (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


def one(reader, path):
    """Read and train in this process: seconds and MiB above what the imports left."""
    held, started = memory("VmRSS"), time.perf_counter()
    x, y = READERS[reader](Path(path))
    read, read_peak = time.perf_counter(), memory("VmHWM")
    shape = x.shape if reader == "stream_images" else x.shape[1:]
    network = jaxvae.dense_normal_network(shape, 2, layers=1, hidden_units=64)
    scale = transforms.divided_by(255 if Path(path).is_dir() else 1)
    vae = jaxvae.bind(
        network,
        latents.normal,
        priors.standard_normal(),
        likelihoods.normal(),
        objectives.elbo(),
        transform=scale,
    )
    jaxvae.fit(jax.random.key(0), vae, x, y, batch_size=BATCH, epochs=1)
    ended, peak = time.perf_counter(), memory("VmHWM")
    return {
        "read_seconds": read - started,
        "seconds": ended - started,
        "read_mib": read_peak - held,
        "mib": peak - held,
        "imports_mib": held,
    }


def fresh(reader, path):
    """`one` in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", reader, str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def in_rounds(cases, rounds):
    """Each case in alternated rounds: the lists of what `one` measures, by the case's name."""

    def once(name, reader, path):
        def call():
            measured = fresh(reader, path)
            seconds, mib = measured["seconds"], measured["mib"]
            print(f"{name}: {seconds:.1f} s, {mib:,.0f} MiB above the imports", flush=True)
            return measured

        return call

    for reader, path in cases.values():
        fresh(reader, path)  # the files are read from disk once
    each = timing.in_turns({name: once(name, *case) for name, case in cases.items()}, rounds)
    return {
        name: {field: [one[field] for one in measured] for field in measured[0]}
        for name, measured in each.items()
    }


def ratios(measured):
    """Of `load` to pandas: the medians over rounds, of the whole and of the reading alone."""
    own, other = measured["load"], measured["pandas"]
    fields = ("seconds", "mib", "read_seconds", "read_mib")
    return {field: timing.ratio(own[field], other[field]) for field in fields}


def tables(results):
    def median(values):
        return float(np.median(values))

    lines = []
    for form, measured in results["tables"].items():
        for name, own in measured.items():
            line = [form, name, *(f"{median(own[f]):.2f}" for f in ("read_seconds", "seconds"))]
            line += [f"{median(own[f]):,.0f}" for f in ("read_mib", "mib")]
            times = ratios(measured)
            line += [f"{times[f]:.2f}" if name == "load" else "1.00" for f in TIMES]
            lines.append(line)
    header = ["a table", "who", "seconds to read", "and an epoch", "MiB to read", "and an epoch"]
    text = report.markdown([*header, *TIMES.values()], lines)
    lines = [
        [
            name,
            *(f"{median(own[field]):.2f}" for field in ("read_seconds", "seconds")),
            *(f"{median(own[field]):,.0f}" for field in ("read_mib", "mib")),
        ]
        for name, own in results["pictures"].items()
    ]
    return text + "\n\n" + report.markdown(["pictures", *header[2:]], lines)


def measure(share, rounds):
    rows = round(ROWS * share)
    results = {"rows": rows, "tables": {}, "pictures": {}}
    with tempfile.TemporaryDirectory() as folder:
        for form, path in table(folder, rows).items():
            cases = {reader: (reader, path) for reader in ("load", "pandas")}
            results["tables"][form] = in_rounds(cases, rounds)
        cases = {}
        for form, (shape, most) in PICTURES.items():
            for count in (round(most * share / 10), round(most * share)):
                path = pictures(Path(folder, f"{form} {count}"), count, shape)
                for reader in ("stream_images", "load"):
                    cases[f"{count:,} of {form}: {reader}"] = (reader, path)
        results["pictures"] = in_rounds(cases, rounds)
    results["ratios"] = {form: ratios(own) for form, own in results["tables"].items()}
    return results


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows and pictures")
    parser.add_argument("--one", nargs=2, metavar=("READER", "PATH"), help="what `fresh` asks for")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one(*options.one)))
        return 0
    results = measure(options.share, options.rounds)
    report.write("inputs", results, tables(results), PACKAGES)
    both = [own[field] for own in results["ratios"].values() for field in ("seconds", "mib")]
    return int(max(both) > TARGET)


if __name__ == "__main__":
    sys.exit(main())
