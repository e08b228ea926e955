"""Runs of topics: what `jaxvae train` does with counts, and what is done with such a run."""

import csv
import dataclasses
import json
import re
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.sparse
from PIL import Image

import jaxvae
from conftest import results_of
from jaxvae import topics
from jaxvae.apps import (
    advice,
    chosen,
    cli,
    experiments,
    gallery,
    results,
    runs,
    topic_pages,
    topic_runs,
)
from jaxvae.apps.figures import sheets
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import of_options
from jaxvae.data.formats.source import needed
from jaxvae.model.values import frozen
from jaxvae.topics import planted

TOPICS, WORDS = 4, 40
SMALL = ["--layers", "1", "--hidden-units", "16"]
SHORT = [*SMALL, "--epochs", "2", "--latent-dim", str(TOPICS)]
DATA = planted(documents=240, topics=TOPICS, words=WORDS, length=60)
LABELS = np.array(["ant", "bee", "cat", "dog"])[DATA.mixtures.argmax(axis=1)]
NAMES = np.array([f"word{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(WORDS)])


def train(out, *options):
    return cli.main(["train", "--out", str(out), *map(str, options)])


def read(path):
    return json.loads(path.read_text())


def params_of(path):
    return jax.tree.leaves(runs.open_run(path).params)


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    """The planted counts with the names of their columns and their labels."""
    path = tmp_path_factory.mktemp("data") / "planted.npz"
    np.savez(path, data=DATA.counts.toarray(), target=LABELS, feature_names=NAMES)
    return path


@pytest.mark.parametrize("burst", [1, 32])
def test_a_run_knows_the_bursts_of_its_words_as_the_estimator_does(burst):
    """Each token of a planted document, or each thirty-two times."""
    data = jaxvae.datasets.from_arrays((burst * DATA.counts).astype(np.int32))
    options = chosen.resolve(Options(latent_dim=TOPICS, network="topics"), data)
    config = of_options(chosen.describe(options, data), options, data)
    model = topics.TopicModel(TOPICS, max_iter=1, random_state=0).fit(data.x_train)
    assert config.origin.dispersion == model._burstiness == burst
    origin = dataclasses.replace(config.origin, dispersion=2.0)
    other = dataclasses.replace(config, origin=origin)
    assert frozen(runs.optimizer(config)) == frozen(runs.optimizer(config))
    assert frozen(runs.optimizer(config)) != frozen(runs.optimizer(other))


def test_a_row_of_stored_zeros_is_a_document_without_a_word():
    x = 32 * DATA.counts
    zeros = scipy.sparse.csr_array(np.ones((5, WORDS), np.float32))
    zeros.data[:] = 0
    stored = scipy.sparse.vstack([zeros, x], format="csr").astype(np.float32)
    data = jaxvae.datasets.from_arrays(x.astype(np.int32))
    model = chosen.describe(
        chosen.resolve(Options(latent_dim=TOPICS, network="topics"), data), data
    )
    assert topic_runs.dispersion_for(model, stored) == topic_runs.dispersion_for(model, x) == 32
    assert stored.nnz == x.nnz + zeros.nnz  # the caller's own is left as it is


@pytest.fixture(scope="module")
def trained(counts, tmp_path_factory):
    """A run that has found the topics, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--data", counts, *SMALL, "--latent-dim", TOPICS, "--epochs", 400]
    options += ["--batch-size", 54]
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("sys.stdout", type("Out", (), {"write": lambda self, text: lines.append(text),
                                                     "flush": lambda self: None})())  # fmt: skip
        assert train(folder, *options) == 0
    return folder, "".join(lines)


def test_what_a_run_is(trained):
    folder, printed = trained
    run = runs.open_run(folder)
    model, training = run.config.model, run.config.training
    assert topic_runs.is_topical(model)
    assert not run.vae.parts.prior.uses_labels  # the labels are for display
    assert (model.prior.concentration, model.latent_dim) == (0.1, TOPICS)
    assert (model.network.decoder, model.network.activation) == ("hybrid", "softplus")
    assert (training.batch_size, training.learning_rate, training.momentum) == (54, 8e-3, 0.99)
    assert (training.hold_out, training.patience, training.average) == (0, None, 0.99)
    assert f"Training a model of {TOPICS} topics on 216 examples; 24 are for the test." in printed
    assert "of_counts" not in printed  # no advice: the network takes counts
    assert max(map(len, printed.splitlines())) <= 80


def test_the_topics_are_the_planted_ones(trained):
    run = runs.open_run(trained[0])
    found = run.topics.topic_word
    order = topics.match(DATA.topics, found)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b)
               for a, b in zip(DATA.topics, found[order], strict=True)]  # fmt: skip
    assert min(cosines) > 0.9
    np.testing.assert_allclose(run.topics.mixtures.sum(axis=1), 1, rtol=1e-5)
    assert run.topics.shares.sum() == pytest.approx(1)


def test_what_it_comes_to(trained):
    folder, printed = trained
    summary, run = read(folder / "summary.json"), runs.open_run(folder)
    assert summary["network"] == "topics"
    assert summary["test_perplexity"] < 0.8 * summary["unigram_perplexity"] < WORDS
    assert (summary["topics"], summary["topics_in_use"]) == (TOPICS, TOPICS)
    assert summary["adjusted_rand_index"] > 0.7
    assert summary["nearest_neighbour_accuracy"] > 0.8
    for senseless in ("test_rmse", "baseline_rmse", "test_explained", "test_accuracy"):
        assert summary[senseless] is None
    # By the public functions, of the same documents.
    words = topics.top_words(run.topics.relevance)
    assert summary["npmi"] == pytest.approx(np.nanmean(topics.npmi(words, run.data.x_train)))
    assert summary["redundancy"] == pytest.approx(topics.redundancy(run.topics.relevance))
    y = run.data.y_train
    agreed = topics.agreement(run.topics.mixtures, y)
    assert summary["adjusted_rand_index"] == pytest.approx(agreed.adjusted_rand_index)
    shown = results_of(printed[printed.index("Results on") :])
    assert shown["perplexity of unseen words"] == pytest.approx(
        summary["test_perplexity"], abs=1e-3
    )
    assert shown["topics in use"] == TOPICS
    assert "RMSE" not in printed


def test_perplexity_is_of_the_unseen_halves(trained):
    """The words' frequencies by hand; and a test document's halves are all of it."""
    run = runs.open_run(trained[0])
    counts = scipy.sparse.csr_array(run.data.x_test)
    seen, unseen = topic_runs_halves(counts)
    np.testing.assert_array_equal((seen + unseen).toarray(), counts.toarray())
    frequency = np.asarray(run.data.x_train, np.float64).sum(axis=0) + 0.5
    by_hand = topics.perplexity(np.tile(frequency, (counts.shape[0], 1)), unseen)
    assert run.topics.figures()["unigram_perplexity"] == pytest.approx(by_hand)


def topic_runs_halves(counts):
    from jaxvae.apps.topics.evaluation import cut_in_two

    return cut_in_two(counts)


def test_the_words_are_printed_and_written(trained):
    folder, printed = trained
    run = runs.open_run(folder)
    with (folder / "topics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["topic", "rank", "word", "probability"]
    assert len(rows) == TOPICS * WORDS  # there are no more words
    for topic, order in enumerate(np.argsort(-run.topics.relevance, axis=1, kind="stable")):
        own = [row for row in rows if row["topic"] == str(topic)]
        assert [int(row["rank"]) for row in own] == list(range(1, WORDS + 1))
        assert [row["word"] for row in own] == NAMES[order].tolist()
        assert sum(float(row["probability"]) for row in own) == pytest.approx(1, abs=1e-4)
        (line,) = re.findall(rf"^{topic} +\d+%  (.*)$", printed, re.MULTILINE)
        assert line.split(", ")[:3] == NAMES[order[:3]].tolist()


def test_words_that_cannot_be_written_leave_those_before(tmp_path, monkeypatch):
    def half(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "topics.csv").write_text("before")
    monkeypatch.setattr(results, "summary", lambda *_: {})
    run = SimpleNamespace(folder=tmp_path, topics=SimpleNamespace(write=half))
    with pytest.raises(OSError, match="No space left on device"):
        experiments._summarised(run, None, False)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.json", "topics.csv"}
    assert (tmp_path / "topics.csv").read_text() == "before"


def test_pictures(trained, capsys):
    folder, _ = trained
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert drawn == {"topics.png", "labels.png", "documents.png", "loss.png"}
    for path in (folder / "figures").iterdir():
        path.unlink()
    assert cli.main(["figures", str(folder)]) == 0
    for name in drawn:
        pixels = np.asarray(Image.open(folder / "figures" / name).convert("L"))
        assert pixels.std() > 5, name


def test_evaluate_prints_the_same(trained, capsys):
    folder, printed = trained
    assert cli.main(["evaluate", str(folder)]) == 0
    again = results_of(capsys.readouterr().out)
    before = results_of(printed[printed.index("Results on") :])
    assert again["perplexity of unseen words"] == before["perplexity of unseen words"]
    assert again["coherence (NPMI)"] == before["coherence (NPMI)"]


def test_encode_refines(trained, counts, tmp_path):
    """Each document's own ELBO is better than the encoder's; the means are mixtures."""
    folder, out = trained[0], tmp_path / "z.npz"
    assert cli.main(["encode", str(folder), str(counts), "--out", str(out)]) == 0
    run, x = runs.open_run(folder), DATA.counts
    with np.load(out) as arrays:
        refined, mean = arrays["concentration"], arrays["mean"]
        assert list(arrays["label"]) == LABELS.tolist()
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)
    quick = run.model.posterior(x, refine=False)
    from jaxvae.model.refinement import posterior_elbo

    def bound(q):
        key = jax.random.key(3)
        return posterior_elbo(key, run.vae, run.params, type(quick)(q), x, draws=16).mean()

    assert bound(refined) > bound(quick.concentration) + 0.1
    # So does the model that is loaded, in whatever form the documents come.
    model = jaxvae.load(folder)
    for form in (x, x.toarray()):
        np.testing.assert_allclose(model.encode(form), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.posterior(x).concentration, refined, rtol=1e-4)
    np.testing.assert_array_equal(model.categories(x), mean.argmax(axis=1))


def test_a_document_without_a_word_has_the_prior(trained):
    run = runs.open_run(trained[0])
    x = DATA.counts[:3].toarray()
    x[1] = 0
    usual = np.exp(run.params["prior"]["log_concentration"])
    found = topic_runs.posteriors(run, x).concentration
    np.testing.assert_array_equal(found[1], usual)
    np.testing.assert_allclose(run.model.encode(x)[1], usual / usual.sum(), rtol=1e-6)
    assert not np.allclose(run.model.encode(x, refine=False)[1], usual / usual.sum(), rtol=0.01)


def test_letters_that_the_font_lacks_are_told_of_once(trained, monkeypatch, capsys):
    """And no other warning is lost."""
    opened = runs.open_run(trained[0])

    def pages_of(run, data):
        warnings.warn("another", UserWarning, stacklevel=1)
        return {"a.png": sheets.sheet(3, 1, title="银行 and 市场")[0]}

    monkeypatch.setattr(topic_pages, "pages_of", pages_of)
    capsys.readouterr()
    with pytest.warns(UserWarning, match="another") as caught:
        gallery.draw(opened)
    assert len(caught) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("Matplotlib's font lacks letters (") == 1
    assert set("银行市场") <= set(said)


def test_generate_and_compare_and_explore_and_load(trained, tmp_path, capsys):
    folder = trained[0]
    assert (
        cli.main(["generate", str(folder), "--count", "5", "--out", str(tmp_path / "g.csv")]) == 0
    )
    header = (tmp_path / "g.csv").read_text().splitlines()[0].split(",")
    assert header == [*NAMES.tolist(), "category"]
    out = str(tmp_path / "noisy.csv")
    assert cli.main(["generate", str(folder), "--noise", "yes", "--out", out]) == 1
    assert "noise must be no for a multinomial likelihood" in capsys.readouterr().err
    assert cli.main(["generate", str(folder), "--category", "ant"]) == 1
    assert "except for a run whose prior is made from labels" in capsys.readouterr().err
    assert cli.main(["compare", str(folder), "--out", str(tmp_path / "c.png")]) == 0
    assert "perplexity" in capsys.readouterr().out
    assert cli.main(["explore", str(folder), "--out", str(tmp_path / "e.html")]) == 0
    model = jaxvae.load(folder)
    assert model.encode(DATA.counts[:3].toarray()).shape == (3, TOPICS)
    assert model.decode(np.eye(TOPICS)).shape == (TOPICS, WORDS)


def test_a_resumed_run_is_the_same(counts, tmp_path):
    options = ["--data", counts, *SMALL, "--latent-dim", 4, "--checkpoint-every", 1]
    assert train(tmp_path / "whole", *options, "--epochs", 4) == 0
    assert train(tmp_path / "halves", *options, "--epochs", 2) == 0
    assert cli.main(["train", "--resume", str(tmp_path / "halves"), "--epochs", "4"]) == 0
    both = (params_of(tmp_path / name) for name in ("whole", "halves"))
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)


def test_seeds_start_where_single_runs_start(counts, tmp_path, capsys):
    """And each seed at factors of its own; their stability is in the summary above them."""
    options = ["--data", counts, *SHORT]
    assert train(tmp_path / "many", *options, "--seeds", 2) == 0
    assert "Stability of the topics" in capsys.readouterr().out
    assert train(tmp_path / "one", *options, "--seed", 1) == 0
    alone, beside = (params_of(tmp_path / name) for name in ("one", "many/seed-1"))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    spread = read(tmp_path / "many" / "summary.json")
    each = [runs.open_run(tmp_path / "many" / f"seed-{seed}") for seed in (0, 1)]
    expected = topics.stability([run.topics.topic_word for run in each])
    assert spread["stability"] == pytest.approx(expected)
    values = [read(run.folder / "summary.json")["npmi"] for run in each]
    assert spread["npmi_mean"] == pytest.approx(np.mean(values))
    assert (tmp_path / "many" / "seed-0" / "topics.csv").exists()


def test_training_starts_at_the_factors(counts, tmp_path):
    """After a step that moves nothing: the background is the words' frequencies, and the topics
    tell words apart as the factors do.
    """
    options = ["--data", counts, *SMALL, "--latent-dim", 4, "--epochs", 1]
    assert train(tmp_path / "run", *options, "--learning-rate", 1e-9) == 0
    run = runs.open_run(tmp_path / "run")
    total = np.asarray(run.data.x_train, np.float64).sum(axis=0) + 0.5
    background = run.params["decoder"]["background"]
    np.testing.assert_allclose(background, np.log(total / total.sum()), atol=1e-4)
    kernel = run.params["decoder"]["topics"]
    order = topics.match(np.log(DATA.topics + 1e-3), kernel)
    alike = [np.corrcoef(a, b)[0, 1]
             for a, b in zip(np.log(DATA.topics + 1e-3), kernel[order], strict=True)]  # fmt: skip
    assert min(alike) > 0.5


def test_a_sweep(counts, tmp_path, capsys):
    folder = tmp_path / "sweep"
    options = ["--data", str(counts), *SMALL, "--epochs", "2", "--seeds", "2"]
    assert cli.main(["train", *options, "--latent-dim", "3", "5", "--out", str(folder)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "They are compared on their topics and on the test data." in printed
    assert "how many topics are right depends on what they are for" in printed
    assert "redundancy" in printed
    assert "stability" in printed
    for topic in (3, 5):
        each = [runs.open_run(folder / f"latent_dim-{topic}" / f"seed-{seed}") for seed in (0, 1)]
        expected = topics.stability([run.topics.topic_word for run in each])
        found = read(folder / f"latent_dim-{topic}" / "summary.json")["stability"]
        assert found == pytest.approx(expected)
        assert f"{expected:.4f}" in printed
    assert np.asarray(Image.open(folder / "figures" / "sweep.png").convert("L")).std() > 5


def test_labels_make_the_prior_where_asked_for(counts, tmp_path, capsys):
    """Topic c is then that of label c, from the start."""
    options = ["--data", counts, *SMALL, "--latent-dim", TOPICS, "--batch-size", 54]
    assert train(tmp_path / "run", *options, "--epochs", 200, "--prior", "labels") == 0
    run = runs.open_run(tmp_path / "run")
    assert run.vae.parts.prior.uses_labels
    assert run.config.model.prior.total_concentration == pytest.approx(10.4)
    assert run.topics.names == ("ant", "bee", "cat", "dog")
    summary = read(tmp_path / "run" / "summary.json")
    assert summary["test_accuracy"] > 0.7
    test = run.topics.test_mixtures.argmax(axis=1)
    assert (test == run.data.y_test).mean() > 0.7
    printed = capsys.readouterr().out
    before, after = printed.split("The topics, on the training data:")
    assert "labels, adjusted Rand index" in before
    assert "labels, adjusted Rand index" not in after


def test_texts_and_sparse_counts_and_cells(tmp_path):
    """Each format that holds counts; the words have the names of the file."""
    rows = DATA.counts.toarray().astype(int)
    texts = [" ".join(np.repeat(NAMES, row)) for row in rows]
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    scipy.sparse.save_npz(tmp_path / "sparse.npz", scipy.sparse.csr_matrix(DATA.counts))
    options = {"texts.csv": ["--text", "text"], "sparse.npz": []}
    try:
        anndata = needed("anndata", ".h5ad")
    except ModuleNotFoundError:
        pass
    else:
        cells = anndata.AnnData(scipy.sparse.csr_matrix(DATA.counts))
        cells.var_names, cells.obs["label"] = NAMES, LABELS
        cells.write_h5ad(tmp_path / "cells.h5ad")
        options["cells.h5ad"] = ["--label", "label"]
    for name, own in options.items():
        out = tmp_path / f"run-{name}"
        assert train(out, "--data", tmp_path / name, *own, *SHORT) == 0
        run = runs.open_run(out)
        assert topic_runs.is_topical(run.config.model)
        words = {str(k) for k in range(WORDS)} if name == "sparse.npz" else set(NAMES)
        assert set(run.topics.words) <= words
        assert len(run.topics.words) == run.topics.topic_word.shape[1]
        assert ("adjusted_rand_index" in read(out / "summary.json")) == (name == "cells.h5ad")
        assert (out / "figures" / "labels.png").exists() == (name == "cells.h5ad")


def resolved(counts, **options):
    own = Options(data=counts, **options)
    data = chosen.load_data(own)
    own = chosen.resolve(own, data)
    return own, chosen.describe(own, data)


@pytest.mark.parametrize(
    ("options", "model", "network", "likelihood"),
    [
        ({}, "dirichlet", "topics", "multinomial"),
        ({"prior": "labels"}, "dirichlet", "topics", "multinomial"),
        ({"network": "topics", "decoder": "mixture"}, "dirichlet", "topics", "multinomial"),
        ({"likelihood": "dirichlet_multinomial"}, "dirichlet", "topics", "dirichlet_multinomial"),
        # What was asked for before gives what it gave.
        ({"model": "normal"}, "normal", "dense", "multinomial"),
        ({"model": "dirichlet"}, "dirichlet", "dense", "multinomial"),
        ({"likelihood": "normal"}, "joint", "dense", "normal"),
        ({"likelihood": "poisson"}, "joint", "dense", "poisson"),
        ({"network": "dense"}, "joint", "dense", "multinomial"),
        ({"objective": "original"}, "dirichlet", "dense", "normal"),
        ({"scale": "none"}, "joint", "dense", "normal"),
    ],
)
def test_when_it_is_topics(counts, options, model, network, likelihood):
    own, description = resolved(counts, **options)
    assert (own.model, own.network, own.likelihood) == (model, network, likelihood)
    assert topic_runs.is_topical(description) == (network == "topics")
    if network == "dense":
        assert (own.batch_size, own.learning_rate, own.momentum) == (64, 1e-3, None)
        assert getattr(description.prior, "concentration", 1.0) == 1.0
        assert description.network.activation == "relu"


def test_how_long_and_what_is_held_out(counts):
    own, _ = resolved(counts)
    assert (own.latent_dim, own.hold_out, own.patience, own.epochs) == (
        10,
        0.0,
        None,
        300,  # a step each
    )
    own, _ = resolved(counts, label="none")
    assert own.latent_dim == 20
    own, _ = resolved(counts, hold_out=0.2)
    assert own.patience is not None  # early stopping where it is asked for
    own, _ = resolved(counts, patience=7)
    assert (own.hold_out, own.patience) == (0.1, 7)
    own, _ = resolved(counts, batch_size=54)
    assert (own.epochs, own.average) == (300, pytest.approx(1 - 1 / 100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "normal", "--network", "topics"], "network must be another where the latent"),
        (
            ["--network", "topics", "--likelihood", "poisson"],
            "multinomial or dirichlet_multinomial",
        ),
        (["--network", "topics", "--head", "relu"], "head must be left out with network topics"),
        (["--network", "dense", "--decoder", "mixture"], "except with --network topics"),
        (["--dropout", "1"], "dropout must be below 1"),
        (["--momentum", "1"], "momentum must be from 0 to below 1"),
        (["--prior", "labels", "--latent-dim", "3"], "at least 4, the number of labels"),
    ],
)
def test_what_is_refused(counts, tmp_path, options, message, capsys):
    assert train(tmp_path / "run", "--data", counts, *options) == 1
    assert message in capsys.readouterr().err


def test_documents_without_a_word(tmp_path):
    """They neither stop a run nor say anything: their mixtures are the prior's."""
    rows = DATA.counts.toarray()
    rows[::7] = 0
    np.savez(tmp_path / "x.npz", x=rows)
    options = ["--data", tmp_path / "x.npz", *SHORT]
    assert train(tmp_path / "run", *options) == 0
    run = runs.open_run(tmp_path / "run")
    empty = np.asarray(run.data.x_train).sum(axis=1) == 0
    assert empty.any()
    own = np.exp(run.params["prior"]["log_concentration"])
    expected = np.broadcast_to(own / own.sum(), (empty.sum(), TOPICS))
    np.testing.assert_allclose(run.topics.mixtures[empty], expected, rtol=1e-5)
    assert np.isfinite(results.of_test(run)["test_perplexity"])
    np.savez(tmp_path / "nothing.npz", x=np.zeros((30, 5), int))
    assert train(tmp_path / "none", "--data", tmp_path / "nothing.npz", "--network", "topics") == 1


def test_without_its_data_the_topics_are_drawn(counts, tmp_path, capsys):
    copied = tmp_path / "gone.npz"
    copied.write_bytes(counts.read_bytes())
    assert train(tmp_path / "run", "--data", copied, *SHORT) == 0
    copied.unlink()
    for path in (tmp_path / "run" / "figures").iterdir():
        path.unlink()
    capsys.readouterr()
    assert cli.main(["figures", str(tmp_path / "run"), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'run' / 'figures'}\n"
    assert "without the run's data, so the documents are left out" in said.err
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {
        "topics.png",
        "loss.png",
    }


def test_what_is_said_of_poor_topics():
    fine = {"topics": 20, "topics_in_use": 10, "redundancy": 0.1}
    fine |= {"test_perplexity": 90.0, "unigram_perplexity": 100.0}
    assert advice.of_topics(fine) == []
    assert "Only 9 of 20" in advice.of_topics(fine | {"topics_in_use": 9})[0]
    assert "repeat another" in advice.of_topics(fine | {"redundancy": 0.6})[0]
    assert "no better than" in advice.of_topics(fine | {"test_perplexity": 101.0})[0]
