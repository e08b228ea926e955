"""A topic model of more documents than fit: memory, speed and topics of one pass over a stream.

`python benchmarks/topic_scale.py` plants topics in 1,000,000 documents of 30,000 words, writes them
in shards to a temporary folder (0.5 GB), and reads these back as memory-mapped rows. It takes about
twenty minutes on two cores and writes `results/topic_scale.json` and `.md`. What is measured runs
in processes of its own: one pass of `TopicModel.fit` each, and the passes of a stream in turns with
those of the same documents in memory, by the seconds of the pass alone, nothing compiled in it.
`--quick` takes 20,000 documents of 2,000 words, less than a minute, and writes no file.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
import scipy.sparse
import timing

import jaxvae
from jaxvae import topics
from jaxvae.apps.topics.documents import Documents

TOPICS, LENGTH, MIXTURE, PEAKED = 20, 80, 0.1, 0.1
SHARD = 10_000  # documents of a file, which the stream gives at once
HELD = 20_000  # documents that are compared in memory
LIMIT_MB, LEAST_RATIO = 2_000, 0.5
PARTS = {"data": np.uint16, "indices": np.int32, "indptr": np.int64}


def planted(words, seed=0):
    """Topics [K, V]: Zipf's frequencies, most of them far lower in a topic, a few far higher."""
    rng = np.random.default_rng(seed)
    usual = 1 / (np.arange(words) + 10.0)
    topic_word = usual * rng.gamma(PEAKED, size=(TOPICS, words))
    return topic_word / topic_word.sum(axis=1, keepdims=True)


def documents(rng, ends, rows, words):
    """Documents of LDA's story, CSR [rows, words]; `ends` is where each topic's words end."""
    mixtures = rng.dirichlet(np.full(TOPICS, MIXTURE), size=rows)
    lengths = np.maximum(rng.poisson(LENGTH, size=rows), 1)
    each = rng.multinomial(lengths, mixtures).ravel()
    topic = np.repeat(np.tile(np.arange(TOPICS), rows), each)
    row = np.repeat(np.arange(rows), lengths)
    place = np.searchsorted(ends, topic + rng.random(len(topic)), side="right")
    word = np.minimum(place - topic * words, words - 1)
    ones = np.ones(len(word), np.uint16)
    return scipy.sparse.coo_array((ones, (row, word)), shape=(rows, words)).tocsr()


def write_shards(folder, number, words):
    """The documents on the disk, a file of each part of each shard."""
    topic_word = planted(words)
    ends = (np.cumsum(topic_word, axis=1) + np.arange(TOPICS)[:, None]).ravel()
    rng, entries = np.random.default_rng(1), 0
    for start in range(0, number, SHARD):
        rows = documents(rng, ends, min(SHARD, number - start), words)
        entries += rows.nnz
        for part, dtype in PARTS.items():
            name = f"{part}-{start // SHARD:05d}.npy"
            np.save(folder / name, getattr(rows, part).astype(dtype))
    return entries / number


def batches(folder, words, number):
    """The first documents, a shard at a time, memory-mapped for as long as it is read."""
    for shard in range(-(-number // SHARD)):
        parts = (np.load(folder / f"{part}-{shard:05d}.npy", mmap_mode="r") for part in PARTS)
        data, indices, indptr = parts
        rows = scipy.sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, words))
        yield rows[: number - shard * SHARD]


def peak_mb():
    """The most that this process has held, and those that it started."""
    status = Path("/proc/self/status").read_text().splitlines()
    # Not getrusage: its maximum begins with that of the process that started this one.
    own = int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) * 1024 / 1e6


def one_pass(folder, words, number):
    """`TopicModel.fit` of the stream: seconds, memory, and whether the topics are the planted."""
    passes = []

    def source():
        passes.append(stamps := [])
        for batch in batches(folder, words, number):
            stamps.append(time.perf_counter())
            yield batch

    started = time.perf_counter()
    model = topics.TopicModel(TOPICS, random_state=0).fit(source)
    seconds = time.perf_counter() - started
    stamps, peak, rate = max(passes, key=len), peak_mb(), None
    if len(stamps) >= 10:  # fewer are read ahead of the steps, and say nothing of their speed
        rate = (len(stamps) - 1) * SHARD / (stamps[-1] - stamps[0])
    wanted = planted(words)
    found = model.topic_word_[topics.match(wanted, model.topic_word_)]
    products = (wanted * found).sum(axis=1)
    cosines = products / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
    return {
        "documents": number,
        "seconds": seconds,
        "until the pass": stamps[0] - started,
        "documents a second": rate,
        "peak MB": peak,
        "mean cosine": float(cosines.mean()),
        "lowest cosine": float(cosines.min()),
    }


def in_turns(folder, words, number, rounds):
    """Documents a second of passes over a stream and over the same documents in memory."""
    stream = functools.partial(batches, folder, words, number)
    held = scipy.sparse.vstack(list(stream()), format="csr")
    model = topics.TopicModel(TOPICS, init="random", random_state=0)
    model.partial_fit(held[: model.batch_size])
    vae, key = model.vae_, jax.random.key(0)
    optimizer = jaxvae.average_params(optax.adam(model.learning_rate), 0.99)
    begun = jaxvae.init_state(key, vae, optimizer, jnp.zeros((1, words)))

    def timer(data):
        state = jax.tree.map(jnp.array, begun)  # it is donated
        size = model.batch_size
        _, history = jaxvae.fit(
            key, vae, data, batch_size=size, epochs=1, optimizer=optimizer, state=state
        )
        return history.epochs[0].seconds

    timers = {
        "stream": functools.partial(timer, Documents(stream)),
        "in memory": functools.partial(timer, held),
    }
    for call in timers.values():
        call()
    seconds = timing.in_turns(timers, rounds)
    return {
        "documents": number,
        "ratio": timing.ratio(seconds["in memory"], seconds["stream"]),
        **{name: number / float(np.median(each)) for name, each in seconds.items()},
    }


def fresh(part, *arguments):
    """A part in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", part, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measured(number, words, rounds):
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="topic-scale-") as place:
        folder = Path(place)
        started = time.perf_counter()
        distinct = write_shards(folder, number, words)
        seconds = time.perf_counter() - started
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{number:,} documents of {distinct:.0f} distinct words, {size:.0f} MB on the disk, "
              f"written in {seconds:.0f} s", flush=True)  # fmt: skip
        held, passes = min(number, HELD), []
        turns = fresh("turns", folder, words, held, rounds)
        print(json.dumps(turns), flush=True)
        for rows in sorted({held, number}):
            passes.append(fresh("pass", folder, words, rows))
            print(json.dumps(passes[-1]), flush=True)
    data = {"documents": number, "words": words, "distinct words a document": distinct,
            "MB on the disk": size, "seconds to write": seconds}  # fmt: skip
    return {"data": data, "topics": TOPICS, "passes": passes, "turns": turns}


def text_of(results):
    """To read."""
    data, turns = results["data"], results["turns"]
    rows = [
        [
            f"{own['documents']:,}",
            f"{own['seconds']:,.0f}",
            f"{own['documents a second']:,.0f}" if own["documents a second"] else "-",
            f"{own['peak MB']:,.0f}",
            f"{own['mean cosine']:.3f}",
            f"{own['lowest cosine']:.3f}",
        ]
        for own in results["passes"]
    ]
    header = ["documents streamed", "seconds of `fit`", "documents a second", "peak memory, MB",
              "mean cosine", "lowest cosine"]  # fmt: skip
    names = "stream", "in memory"
    return "\n\n".join(
        (
            f"{data['words']:,} words, {results['topics']} planted topics, about "
            f"{data['distinct words a document']:.0f} distinct words a document, "
            f"{data['MB on the disk']:,.0f} MB on the disk. One pass, each in a process of its "
            "own; the cosines are those of the topics found and planted:",
            report.markdown(header, rows),
            f"Passes over {turns['documents']:,} documents in turns, seconds of the pass alone; "
            f"the stream reaches {turns['ratio']:.2f} of the documents a second of memory:",
            report.markdown(
                ["from", "documents a second"], [[n, f"{turns[n]:,.0f}"] for n in names]
            ),
        )
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 documents, no file")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", nargs="+", metavar="ARGUMENT", help="what `fresh` asks for")
    chosen = parser.parse_args(arguments)
    if chosen.part:
        name, folder, *numbers = chosen.part
        part = {"pass": one_pass, "turns": in_turns}[name]
        print(json.dumps(part(Path(folder), *map(int, numbers))))
        return 0
    if chosen.quick:
        chosen.documents, chosen.words, chosen.rounds = 20_000, 2_000, 3
    results = measured(chosen.documents, chosen.words, chosen.rounds)
    if chosen.quick:
        print(f"\n{text_of(results)}")
    else:
        report.write("topic_scale", results, text_of(results), packages=["scipy"])
    whole = results["passes"][-1]
    fits = whole["peak MB"] < LIMIT_MB and results["turns"]["ratio"] >= LEAST_RATIO
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
