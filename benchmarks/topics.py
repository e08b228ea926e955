"""Topic models on real counts: jaxvae's against its peers, in quality, stability and seconds.

`python benchmarks/topics.py` takes hours on two cores, nearly all of them the neural peers', and
writes `results/topics.json` and `.md` after each case: what was interrupted goes on by `--resume`.
`news` (20 and 50 topics) and `pbmc` (10) are files of counts in the folder JAXVAE_COUNTS, or in
the folder `counts` beside JAXVAE_DATA; `--data FILE.npz --topics K` takes any other of that form:
a CSR matrix (`data`, `indices`, `indptr`, `shape`), `features`, and if there are such `tokens` and
`token_offsets` (the words in their order) and `labels`.

Each peer is fitted at its defaults, and at the best of a few settings, chosen by the perplexity of
validation documents, which are a tenth of the training documents. Test documents, another tenth,
are cut in two: a model sees one half and predicts the other. Peers run in the first environment
(`--python`) that has them, a process for each case; who is in none of them is named in the results.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import report
import scipy.sparse
import topic_peers

from jaxvae import topics

ROOT = Path(__file__).resolve().parents[1]
SETS = {"pbmc": (10,), "news": (20, 50)}
DOCUMENTS = 1000  # to time `transform` with
NPMI_WINDOW, C_V_WINDOW = 10, 110
NOTE = (
    "CPU seconds are those of the process, on all cores, from a matrix of counts: what is compiled "
    "counts (in the first fit), imports do not; threads that wait sleep (`OMP_WAIT_POLICY`). "
    "Perplexity is that of the unseen halves of test documents; coherence, topics in use and the "
    "agreement with labels are of training documents."
)
FIGURES = {  # of a run: what it is called in a table, and its digits
    "perplexity": ("perplexity", 0),
    "npmi": ("NPMI", 3),
    "c_v": ("C_v", 3),
    "diversity": ("diversity", 2),
    "in use": ("topics in use", 1),
    "adjusted Rand index": ("adjusted Rand index", 2),
    "nearest neighbours": ("5-NN accuracy", 3),
    "transform": ("transform of 1,000, CPU s", 2),
}


class Own(topic_peers.Peer):
    """jaxvae's, at its defaults: posteriors are refined."""

    title, package, module = "jaxvae TopicModel", "jaxvae", "jaxvae.topics"
    quick = {"max_iter": 2}  # noqa: RUF012

    def fit(self, train, seed):
        self.model = topics.TopicModel(self.topics, random_state=seed, **self.options).fit(train)

    def topic_word(self):
        return self.model.components_

    def mixtures(self, counts):
        return self.model.transform(counts)

    def word_probabilities(self, counts):
        return self.model.word_probabilities(counts)


class ByProbability(Own):
    """Its words in the order of their probability, as the others have them: `components_` puts
    those first that a topic has more of than the rest."""

    title = "jaxvae TopicModel, words by probability"

    def topic_word(self):
        return self.model.topic_word_


OWN = {"jaxvae": Own, "jaxvae, by probability": ByProbability}
PEERS = {**OWN, **topic_peers.PEERS}


class Data(NamedTuple):
    """Documents. `texts` are their words in order; None: each document is one window."""

    name: str
    counts: scipy.sparse.csr_array
    texts: list | None
    labels: np.ndarray | None


def load(path):
    """A file of counts."""
    with np.load(path) as file:
        known = dict(file)
    parts = known["data"].astype(np.float32), known["indices"].astype(np.int32), known["indptr"]
    counts = scipy.sparse.csr_array(parts, tuple(known["shape"].tolist()))
    texts = None
    if "tokens" in known:
        texts = np.split(known["tokens"].astype(np.int64), known["token_offsets"][1:-1])
    return Data(Path(path).stem, counts, texts, known.get("labels"))


def folder_of_counts():
    """Where the files lie."""
    if given := os.environ.get("JAXVAE_COUNTS"):
        return Path(given)
    if beside := os.environ.get("JAXVAE_DATA"):
        return Path(beside).resolve().parent / "counts"
    raise SystemExit("set JAXVAE_COUNTS to the folder of news.npz and pbmc.npz, or use --data FILE")


def unigram(train, unseen):
    """The perplexity of the words' shares alone."""
    share = np.asarray(train.sum(axis=0)).ravel() + 1e-12
    return topics.perplexity(np.tile(share, (unseen.shape[0], 1)), unseen)


def find_pythons(pythons, names):
    """Which interpreter runs each peer, and what is said of those that none can run."""
    found, missing = {}, {}
    for name in names:
        reasons = []
        for python in (sys.executable,) if name in OWN else (*pythons, sys.executable):
            probe = ["-c", "import jaxvae"]
            if name not in OWN:
                probe = [topic_peers.__file__, "--probe", name]
            done = subprocess.run([python, *probe], capture_output=True, text=True)
            if done.returncode == 0:
                found[name] = str(python)
                break
            reasons.append((done.stderr.strip() or "it does not start").splitlines()[-1])
        else:
            missing[name] = next((r for r in reasons if not r.startswith("ModuleNot")), reasons[0])
            print(f"{PEERS[name].title} is left out: {missing[name]}", flush=True)
    return found, missing


def fresh(python, task):
    """`topic_peers.work` in a process of its own."""
    script = __file__ if task["peer"] in OWN else topic_peers.__file__
    arguments = ["--one"] if task["peer"] in OWN else []
    file = Path(task["out"], "task.json")
    file.write_text(json.dumps(task))
    # Threads that wait sleep: PyTorch's burn most of the seconds otherwise, where others run too.
    done = subprocess.run(
        [python, script, *arguments, str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"it ended with {done.returncode}")
    return json.loads(Path(task["out"], "done.json").read_text())


def fitted(python, name, number, options, seeds, matrices):
    """Fit a peer: what `work` says, and the arrays of each seed."""
    with tempfile.TemporaryDirectory() as folder:
        place, out = Path(folder, "data"), Path(folder, "out")
        place.mkdir()
        out.mkdir()
        for matrix, rows in matrices.items():
            scipy.sparse.save_npz(place / f"{matrix}.npz", scipy.sparse.csr_matrix(rows))
        task = {"peer": name, "topics": number, "options": options, "seeds": seeds}
        done = fresh(python, task | {"data": str(place), "out": str(out)})
        arrays = []
        for seed in seeds:
            with np.load(out / f"seed-{seed}.npz") as file:
                arrays.append(dict(file))
    return done, arrays


def tried(python, name, number, data, train):
    """The perplexity of validation documents with each setting, the defaults first."""
    rows = data.counts[train]
    parts = topics.document_completion(rows, test=0.1, random_state=1)
    matrices, each = {"train": rows[parts.train], "seen": parts.seen}, []
    for options in ({}, *PEERS[name].best):
        try:
            done, (arrays,) = fitted(python, name, number, options, [0], matrices)
        except RuntimeError as error:
            each.append({"options": options, "error": str(error)})
            continue
        loss = topics.perplexity(arrays["word_probabilities"], parts.unseen)
        each.append({"options": options, "perplexity": loss, "cpu": done["fits"][0]["fit"]["cpu"]})
        print(f"  {PEERS[name].title}, validation, {said(options)}: {loss:.0f}", flush=True)
    return each


def said(options):
    """Options in words."""
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "the defaults"


def judged(arrays, data, parts):
    """What is measured of the fit of one seed."""
    words = topics.top_words(arrays["topic_word"])
    texts = data.counts[parts.train]
    windows = {"npmi": {}, "c_v": {}}
    if data.texts is not None:
        texts = [data.texts[row] for row in parts.train]
        windows = {"npmi": {"window": NPMI_WINDOW}, "c_v": {"window": C_V_WINDOW}}
    top = min(25, arrays["topic_word"].shape[1])
    result = {
        "perplexity": topics.perplexity(arrays["word_probabilities"], parts.unseen),
        "npmi": float(np.nanmean(topics.npmi(words, texts, **windows["npmi"]))),
        "c_v": float(np.nanmean(topics.c_v(words, texts, **windows["c_v"]))),
        "diversity": topics.diversity(arrays["topic_word"], top=top),
        "in use": topics.topics_in_use(arrays["mixtures"]),
    }
    if data.labels is not None:
        found = topics.agreement(arrays["mixtures"], data.labels[parts.train])
        result["adjusted Rand index"] = found.adjusted_rand_index
        result["nearest neighbours"] = found.nearest_neighbour_accuracy
    return result


def measured(python, name, number, options, seeds, data, parts):
    """A case: all seeds of a peer with one list of options."""
    train = data.counts[parts.train]
    thousand = train[np.resize(np.arange(train.shape[0]), DOCUMENTS)]
    matrices = {"train": train, "seen": parts.seen, "thousand": thousand}
    load_before = os.getloadavg()[0]
    done, arrays = fitted(python, name, number, options, seeds, matrices)
    runs = [
        {"seed": seed, **judged(own, data, parts), **{f: s["cpu"] for f, s in seconds.items()},
         "fit, by the clock": seconds["fit"]["wall"]}
        for seed, own, seconds in zip(seeds, arrays, done["fits"], strict=True)
    ]  # fmt: skip
    case = {"options": options, "version": done["version"], "python": done["python"]}
    if len(seeds) > 1:
        case["stability"] = topics.stability([own["topic_word"] for own in arrays])
    return case | {"load_before": load_before, "runs": runs}


def cases_of(data, number, name, python, chosen):
    """The cases of a peer on a data set, one after the other: its defaults, and its best."""
    parts, peer = topics.document_completion(data.counts), PEERS[name]
    seeds = list(range(chosen.seeds))
    for setting in chosen.settings:
        options, validation = dict(peer.quick) if chosen.quick else {}, None
        if setting == "best":
            if not peer.best or chosen.quick:
                continue
            validation = tried(python, name, number, data, parts.train)
            right = [each for each in validation if "perplexity" in each]
            options = min(right, key=lambda each: each["perplexity"])["options"] if right else {}
        key = {"data": data.name, "topics": number, "peer": name, "setting": setting}
        extra = {} if validation is None else {"validation": validation}
        if validation is not None and not options:  # nothing to fit again
            yield key | extra | {"options": options, "runs": []}
            continue
        yield key | extra | measured(python, name, number, options, seeds, data, parts)


def key_of(case):
    return case["data"], case["topics"], case["peer"], case["setting"]


def kept(file, asked):
    """What was measured before, on this kind of machine."""
    nothing = {"sets": {}, "missing": {}, "cases": []}
    if file is None or not file.is_file():
        return nothing
    results = json.loads(file.read_text())
    if all(results["machine"][name] == asked[name] for name in ("processor", "cores")):
        return {name: results[name] for name in nothing}
    print(f"{file} is of another machine and begins anew", flush=True)
    return nothing


def finished(case, seeds):
    """Whether all seeds are there, or the defaults were the best."""
    return len(case["runs"]) >= seeds or (not case["runs"] and "validation" in case)


def ordered(cases):
    """Data sets and peers in the order of the tables."""
    sets = list(dict.fromkeys([*SETS, *(case["data"] for case in cases)]))
    peers, settings = list(PEERS), ["defaults", "best"]

    def place(case):
        name, number, peer, setting = key_of(case)
        return sets.index(name), number, peers.index(peer), settings.index(setting)

    return sorted(cases, key=place)


def text_of(results):
    """To read: of each data set the means, the standard deviations, and what was chosen."""
    blocks = []
    for name, number in dict.fromkeys(key_of(case)[:2] for case in results["cases"]):
        cases = [c for c in results["cases"] if key_of(c)[:2] == (name, number)]
        facts = results["sets"][name]
        blocks.append(f"## {name}, {number} topics")
        blocks.append(
            f"{facts['documents']:,} documents, {facts['words']:,} words; the perplexity of the "
            f"words' shares alone is {facts['unigram']:,.0f}. Means over the seeds:"
        )
        shown = [case for case in cases if case["runs"]]
        figures = [f for f in FIGURES if any(values(c, f) for c in shown)]
        titles = [FIGURES[figure][0] for figure in figures]
        seconds = ["first fit, CPU s", "further fit, CPU s"]
        header = ["who", "settings", "seeds", *titles, "stability", *seconds]
        blocks.append(report.markdown(header, [row_of_means(c, figures) for c in shown]))
        deviations = [row_of_deviations(c, figures) for c in shown if len(c["runs"]) > 1]
        if deviations:
            blocks.append("Standard deviations over the seeds:")
            blocks.append(report.markdown(["who", "settings", *titles], deviations))
        best = [case for case in cases if "validation" in case]
        if best:
            blocks.append(
                "Best by the perplexity of validation documents: "
                + "; ".join(f"{PEERS[c['peer']].title}: {said(c['options'])}" for c in best)
                + "."
            )
    blocks.append(NOTE)
    if results["missing"]:
        lines = [f"{PEERS[name].title} ({why})" for name, why in results["missing"].items()]
        blocks.append(f"Not run: {'; '.join(lines)}.")
    return "\n\n".join(blocks)


def values(case, figure):
    return [run[figure] for run in case["runs"] if run.get(figure) is not None]


def cell(number, digits):
    return "-" if number is None or not np.isfinite(number) else f"{number:,.{digits}f}"


def row_of_means(case, figures):
    each = {f: values(case, f) for f in figures}
    cells = [cell(np.mean(v) if v else None, FIGURES[f][1]) for f, v in each.items()]
    first, *further = values(case, "fit")
    cells += [cell(case.get("stability"), 2), cell(first, 1)]
    cells.append(cell(np.mean(further) if further else None, 1))
    return [PEERS[case["peer"]].title, case["setting"], len(case["runs"]), *cells]


def row_of_deviations(case, figures):
    each = {f: values(case, f) for f in figures}
    cells = [cell(np.std(v, ddof=1) if len(v) > 1 else None, FIGURES[f][1] + (f == "perplexity"))
             for f, v in each.items()]  # fmt: skip
    return [PEERS[case["peer"]].title, case["setting"], *cells]


def write(folder, results):
    """The results so far; each file is whole at any time."""
    where = results["machine"]
    versions = {PEERS[c["peer"]].package: c["version"] for c in results["cases"] if "version" in c}
    line = ", ".join(f"{name} {value}" for name, value in {**where, **versions}.items())
    text = f"{text_of(results)}\n\nMeasured on: {line}.\n"
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (("json", json.dumps(results, indent=1) + "\n"), ("md", text)):
        part = folder / f"topics.{file}.part"
        part.write_text(content)
        part.replace(folder / f"topics.{file}")


def sets_of(chosen):
    """The data sets, each with the numbers of topics that are asked for."""
    for name in chosen.data or (("pbmc",) if chosen.quick else SETS):
        known = name in SETS
        path = folder_of_counts() / f"{name}.npz" if known else Path(name)
        if not path.is_file():
            print(f"{path} is not there and left out", flush=True)
            continue
        yield load(path), list(chosen.topics or SETS.get(name, (20,)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", metavar="NAME", help="news, pbmc, or files .npz")
    parser.add_argument("--topics", type=int, nargs="+", metavar="K")
    parser.add_argument("--only", choices=list(PEERS), nargs="+", default=list(PEERS))
    parser.add_argument("--settings", choices=["defaults", "best"], nargs="+",
                        default=["defaults", "best"])  # fmt: skip
    parser.add_argument("--seeds", type=int, help="how many; 3 where nothing is said")
    parser.add_argument("--quick", action="store_true", help="pbmc, a seed, few passes, no file")
    parser.add_argument("--resume", action="store_true", help="leave out what has been measured")
    parser.add_argument("--python", nargs="+", type=Path, help="interpreters of environments")
    parser.add_argument("--out", type=Path, help="another folder for the results")
    parser.add_argument("--one", metavar="TASK", help="what `fresh` asks for")
    chosen = parser.parse_args(arguments)
    if chosen.one:
        topic_peers.main(chosen.one, PEERS)
        return 0
    chosen.seeds = chosen.seeds or (1 if chosen.quick else 3)
    folder = chosen.out or (None if chosen.quick else report.RESULTS)
    usual = ROOT / ".venv-topics" / "bin" / "python"
    pythons = chosen.python or ([usual] if usual.is_file() else [])
    found, missing = find_pythons(pythons, chosen.only)
    machine = report.machine(["scipy"])
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        machine["jaxvae"] = importlib.metadata.version("jaxvae")
    results = {"machine": machine, "seeds": chosen.seeds}
    results |= kept(folder and folder / "topics.json", machine)
    out = results["missing"] | missing
    results["missing"] = {name: why for name, why in out.items() if name not in found}
    for data, numbers in sets_of(chosen):
        parts = topics.document_completion(data.counts)
        rows, width = data.counts.shape
        base = unigram(data.counts[parts.train], parts.unseen)
        results["sets"][data.name] = {"documents": rows, "words": width, "unigram": base}
        for number in numbers:
            for name, python in found.items():
                one_peer(results, folder, data, number, name, python, chosen)
    print(f"\n{text_of(results)}")
    return 0


def one_peer(results, folder, data, number, name, python, chosen):
    """Measure the cases of a peer on a data set, and write each as soon as it is there."""
    title = f"{data.name}, {number} topics, {PEERS[name].title}"
    wanted = argparse.Namespace(**vars(chosen))
    if chosen.resume:
        done = {key_of(c) for c in results["cases"] if finished(c, chosen.seeds)}
        wanted.settings = [s for s in chosen.settings if (data.name, number, name, s) not in done]
    began = time.perf_counter()
    try:
        for case in cases_of(data, number, name, python, wanted):
            others = [c for c in results["cases"] if key_of(c) != key_of(case)]
            results["cases"] = ordered([*others, case])
            if folder is not None:
                write(folder, results)
            took, began = time.perf_counter() - began, time.perf_counter()
            print(f"{title}, {case['setting']}: {took:.0f} s", flush=True)
    except RuntimeError as error:
        results["missing"][name] = f"{data.name}, {number} topics: {error}"
        print(f"{title} failed: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
