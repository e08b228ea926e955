"""The benchmark of topic models: its tables, and a run on planted topics without the peers."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.topics import planted

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import topic_peers
import topics


def case(peer, setting, runs, **more):
    key = {"data": "cells", "topics": 4, "peer": peer, "setting": setting}
    return key | {"options": {}, "version": "1", "runs": runs} | more


def run(perplexity, fit):
    return {"seed": 0, "perplexity": perplexity, "npmi": 0.125, "in use": 4, "fit": fit}


@pytest.fixture
def counts(tmp_path):
    """A file of planted topics, with their words in some order and labels."""
    data = planted(documents=120, topics=4, words=30, length=40)
    rows = data.counts
    tokens = [np.repeat(np.arange(30), row.astype(int)) for row in rows.toarray()]
    np.savez(
        tmp_path / "cells.npz",
        data=rows.data.astype(np.uint16),
        indices=rows.indices,
        indptr=rows.indptr,
        shape=rows.shape,
        features=np.arange(30).astype(str),
        tokens=np.concatenate(tokens),
        token_offsets=np.cumsum([0, *map(len, tokens)]),
        labels=data.mixtures.argmax(axis=1),
    )
    return tmp_path / "cells.npz"


def here(monkeypatch):
    """Fit in this process; the peers' interpreters are not looked for."""
    fitted = []

    def fresh(python, task):
        fitted.append((task["peer"], task["options"]))
        with jax.numpy_dtype_promotion("standard"):  # as in a process of its own
            return topic_peers.work(task, topics.PEERS)

    monkeypatch.setattr(topics, "fresh", fresh)
    monkeypatch.setattr(topics, "find_pythons", lambda pythons, names: (dict.fromkeys(names), {}))
    return fitted


def test_the_tables():
    runs = [run(100, 9.0), run(110, 2.0), run(120, 4.0)]
    own = case("jaxvae", "defaults", runs, stability=0.5)
    best = case("gensim", "best", [run(90, 1.0)], options={"passes": 10}, validation=[])
    same = case("tomotopy", "best", [], validation=[])
    sets = {"cells": {"documents": 120, "words": 30, "unigram": 130.0}}
    missing = {"scvi-tools": "ModuleNotFoundError: No module named 'scvi'"}
    found = topics.ordered([same, best, own])
    assert found == [own, best, same]
    text = topics.text_of({"cases": found, "sets": sets, "missing": missing})
    means = "| jaxvae TopicModel | defaults | 3 | 110 | 0.125 | 4.0 | 0.50 | 9.0 | 3.0 |"
    assert means in text
    assert "| jaxvae TopicModel | defaults | 10.0 | 0.000 | 0.0 |" in text
    assert "| gensim LdaModel | best | 1 | 90 | 0.125 | 4.0 | - | 1.0 | - |" in text
    assert "gensim LdaModel: passes 10; tomotopy LDA (Gibbs): the defaults." in text
    assert "scvi-tools AmortizedLDA (ModuleNotFoundError" in text


@pytest.mark.skipif(importlib.util.find_spec("topmost") is not None, reason="it is installed")
def test_a_peer_that_no_environment_has_is_named(capsys):
    found, missing = topics.find_pythons([], ["topmost"])
    assert found == {}
    assert "No module named" in missing["topmost"]
    assert "TopMost ProdLDA is left out" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_of_jaxvae_and_scikit_learn(counts, monkeypatch, tmp_path):
    fitted = here(monkeypatch)
    arguments = ["--data", str(counts), "--topics", "4", "--seeds", "2", "--out", str(tmp_path)]
    both = ["--only", "jaxvae", "scikit-learn"]
    assert topics.main([*arguments, *both, "--quick", "--settings", "defaults"]) == 0
    written = json.loads((tmp_path / "topics.json").read_text())
    assert [c["peer"] for c in written["cases"]] == ["jaxvae", "scikit-learn"]
    unigram = written["sets"]["cells"]["unigram"]
    for each in written["cases"]:
        assert len(each["runs"]) == 2
        assert 0 <= each["stability"] <= 1
        for one in each["runs"]:
            assert 1 < one["perplexity"] < 1.2 * unigram
            assert set(topics.FIGURES) <= set(one)
            assert one["fit"] > 0
    assert "5-NN accuracy" in (tmp_path / "topics.md").read_text()

    # What is there is not fitted again; the best setting is chosen on validation documents.
    monkeypatch.setattr(topic_peers.ScikitLearn, "best", ({"max_iter": 3},))
    del fitted[:]
    assert topics.main([*arguments, "--only", "scikit-learn", "--resume"]) == 0
    name = "scikit-learn"
    assert fitted[:2] == [(name, {}), (name, {"max_iter": 3})]
    again = json.loads((tmp_path / "topics.json").read_text())
    assert [c["setting"] for c in again["cases"]] == ["defaults", "defaults", "best"]
    assert again["cases"][:2] == written["cases"]
    tried = {json.dumps(v["options"]): v["perplexity"] for v in again["cases"][2]["validation"]}
    assert again["cases"][2]["options"] == json.loads(min(tried, key=tried.get))
    del fitted[:]
    assert topics.main([*arguments, "--only", "scikit-learn", "--resume"]) == 0
    assert fitted == []
