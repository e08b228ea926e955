"""How alike the consensus of five seeds is to that of five others, and how good it is.

`python benchmarks/topic_consensus.py` takes ten minutes on two cores. Ten models with ten seeds are
fitted to the training documents; each half of them has a consensus, and a model that starts there.
Data as for `topics.py`.
"""

import argparse
from pathlib import Path

import numpy as np
import report
import topics as benchmark

from jaxvae import topics


def figures(data, train, parts, model):
    """What is measured of a model."""
    texts, window = (train, {}) if data.texts is None else (
        [data.texts[row] for row in parts.train], {"window": benchmark.NPMI_WINDOW})  # fmt: skip
    words = topics.top_words(model.components_)
    return (
        topics.perplexity(model.word_probabilities(parts.seen), parts.unseen),
        float(np.nanmean(topics.npmi(words, texts, **window))),
        topics.diversity(model.components_, top=25),
    )


def measured(data, number, seeds):
    """The rows of a data set: single seeds, and the models that start at a consensus."""
    parts = topics.document_completion(data.counts)
    train = data.counts[parts.train]
    single = [topics.TopicModel(number, random_state=seed).fit(train) for seed in range(seeds)]
    halves = [single[: seeds // 2], single[seeds // 2 :]]
    starts = [topics.consensus([one.topic_word_ for one in half]) for half in halves]
    common = [
        topics.TopicModel(number, init=start, random_state=seed).fit(train)
        for seed, start in enumerate(starts)
    ]
    rows = []
    for who, models in (("one seed", single), ("from a consensus", common)):
        found = np.array([figures(data, train, parts, one) for one in models])
        alike = topics.stability([one.components_ for one in models])
        rows.append({"who": who, "models": len(models), "stability": alike, "figures": found})
    rows[1]["of the consensus itself"] = topics.stability(starts)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", nargs="+", default=list(benchmark.SETS))
    chosen = parser.parse_args()
    results, table = [], []
    for name in chosen.data:
        known = name in benchmark.SETS
        path = benchmark.folder_of_counts() / f"{name}.npz" if known else Path(name)
        for number in benchmark.SETS.get(name, (20,)):
            for row in measured(benchmark.load(path), number, chosen.seeds):
                means = row["figures"].mean(axis=0)
                row["figures"] = row["figures"].tolist()
                results.append({"data": path.stem, "topics": number} | row)
                table.append([
                    path.stem, number, row["who"], row["models"], f"{row['stability']:.2f}",
                    f"{means[0]:,.0f}", f"{means[1]:.3f}", f"{means[2]:.2f}",
                ])  # fmt: skip
                print(table[-1], flush=True)
    header = [
        "data", "topics", "models", "how many", "stability", "perplexity", "NPMI", "diversity"
    ]  # fmt: skip
    text = (
        f"Models of one seed, and models that start at the consensus of {chosen.seeds // 2} of "
        "them each and are trained as long. Stability is the mean Jaccard index of the "
        "ten first words of matched topics.\n\n" + report.markdown(header, table)
    )
    report.write("topic_consensus", {"rows": results}, text, ["scipy", "scikit-learn"])


if __name__ == "__main__":
    main()
