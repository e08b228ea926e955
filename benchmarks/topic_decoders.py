"""The three decoders of `TopicModel`, on articles, on cells, and on documents made as LDA says.

The first one with and without the last phase of training, too. `python
benchmarks/topic_decoders.py` takes fifteen minutes on two cores. Data as for `topics.py`; the
planted documents are `jaxvae.topics.planted(documents=5000, topics=20, words=1000)`.
"""

import argparse

import numpy as np
import report
import topic_consensus
import topics as benchmark

from jaxvae import topics

# By name: a decoder, and the rounds of the last phase; where it is by default, and where not.
CASES = {
    "hybrid": {},
    "hybrid, final_rounds=0": {"final_rounds": 0},
    "hybrid, final_rounds=4": {"final_rounds": 4},
    "mixture": {"decoder": "mixture"},
    "product": {"decoder": "product"},
}
SAME = {"news": "hybrid, final_rounds=0", "pbmc": "hybrid, final_rounds=4"}  # as the default
SAME["planted"] = SAME["pbmc"]


def sets():
    """The data, with the number of topics, and those that are known."""
    for name in ("news", "pbmc"):
        data = benchmark.load(benchmark.folder_of_counts() / f"{name}.npz")
        yield data, benchmark.SETS[name][0], None
    own = topics.planted(documents=5000, topics=20, words=1000)
    yield benchmark.Data("planted", own.counts, None, None), 20, own.topics


def cosine(known, found):
    """The mean cosine of the known topics and those found, matched."""
    found = found[topics.match(known, found)]
    norms = np.linalg.norm(known, axis=1) * np.linalg.norm(found, axis=1)
    return float(((known * found).sum(axis=1) / norms).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    results, table = [], []
    for data, number, known in sets():
        parts = topics.document_completion(data.counts)
        train = data.counts[parts.train]
        for decoder, options in CASES.items():
            if decoder == SAME[data.name]:
                continue
            models = [
                topics.TopicModel(number, random_state=seed, **options).fit(train)
                for seed in range(chosen.seeds)
            ]
            found = [topic_consensus.figures(data, train, parts, one) for one in models]
            row = {"data": data.name, "topics": number, "decoder": decoder, "figures": found}
            if known is not None:
                row["cosine"] = [cosine(known, one.topic_word_) for one in models]
            results.append(row)
            means = np.mean(found, axis=0)
            table.append([
                data.name, number, decoder, f"{means[0]:,.0f}", f"{means[1]:.3f}",
                f"{means[2]:.2f}", f"{np.mean(row['cosine']):.3f}" if known is not None else "-",
            ])  # fmt: skip
            print(table[-1], flush=True)
    header = ["data", "topics", "decoder", "perplexity", "NPMI", "diversity", "cosine"]
    text = (
        f"Means over {chosen.seeds} seeds, at the defaults. Cosine: of the known topics and those "
        "found.\n\n" + report.markdown(header, table)
    )
    report.write("topic_decoders", {"rows": results}, text, ["scipy", "scikit-learn"])


if __name__ == "__main__":
    main()
