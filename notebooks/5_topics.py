# %% [markdown]
# # Topics of articles, programmes of cells
#
# An article is about several things at once, and a cell runs several programmes of genes.
# A **topic model** finds what is mixed, the topics, and how much of each is in a
# document. Here it finds 20 topics of news articles and 10 programmes of blood cells. It
# sees counts alone: how often each word is in each article, each gene in each cell.
#
# The outputs below are of 3,715 articles and of 700 cells. To see them again, set
# `JAXVAE_COUNTS` to a folder with `news.npz` and `pbmc.npz`, or put them into the folder
# `counts` beside that of `JAXVAE_DATA`. Without them the notebook runs on documents that
# it makes itself.

# %%
# %matplotlib inline
import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
from sklearn.manifold import TSNE

from jaxvae import figures, topics
from jaxvae.apps import cli

plt.rcParams["figure.dpi"] = 72
QUICK = "JAXVAE_QUICK" in os.environ  # for the tests: small documents, made here
folder = os.environ.get("JAXVAE_COUNTS")
if not folder and (beside := os.environ.get("JAXVAE_DATA")):
    folder = Path(beside).resolve().parent / "counts"
files = [Path(folder or ".", name) for name in ("news.npz", "pbmc.npz")]
REAL = bool(folder) and not QUICK and all(path.is_file() for path in files)


def load(name, planted):
    """Counts, the names of their columns, and the labels of their rows."""
    if not REAL:
        made = topics.planted(topics=planted, documents=400, words=200)
        names = np.array([f"word{j}" for j in range(200)])
        return made.counts, names, [f"kind {k}" for k in made.mixtures.argmax(axis=1)]
    with np.load(Path(folder, f"{name}.npz")) as file:
        parts = file["data"], file["indices"], file["indptr"]
        labels = (
            file["label_names"][file["labels"]].tolist() if "labels" in file else None
        )
        counts = scipy.sparse.csr_array(parts, shape=tuple(file["shape"]))
        return counts.astype(np.int32), file["features"], labels


articles, words, _ = load("news", 20)
print("real articles" if REAL else "no files of counts: documents that are made here")
print(
    f"{articles.shape[0]:,} articles, {articles.shape[1]:,} different words, "
    f"{articles.sum():,.0f} in all"
)

# %% [markdown]
# ## Twenty topics
#
# One article in ten is held out for the test. The others are fitted. Words such as *the*
# were left out when the articles were counted.

# %%
parts = topics.document_completion(articles, test=0.1)
train, held_out = articles[parts.train], articles[parts.test]
passes = 40 if QUICK else None  # None: as many as the model chooses
model = topics.TopicModel(20, max_iter=passes, random_state=0).fit(train)
print(model.topics(words))

# %% [markdown]
# The share is that of all words of the articles. The topics have numbers and no names,
# and their order means nothing. The words that come first are frequent in their topic
# and rarer elsewhere.
#
# How frequent they are, for the ten largest topics:

# %%
largest = np.argsort(-model.topic_shares_)[:10]
figures.topic_bars(
    model.topic_word_[largest],
    names=[f"{model.topic_names_[k]}: {model.topic_shares_[k]:.0%}" for k in largest],
    column_names=words,
    relevance=model.components_[largest],
    title="The ten largest topics and their shares",
)

# %% [markdown]
# ## Articles that the model has not seen
#
# `transform` gives the mixture of topics of each article, old or new. Here are the
# held-out articles that have most of the four largest topics. Of an article we show the
# words that are frequent in it and in few others.

# %%
mixtures = model.transform(held_out)
rarity = -np.log(((train > 0).sum(axis=0) + 1) / (train.shape[0] + 1))


def typical(article, top=7):
    """The words that are frequent in an article and in few others (tf-idf)."""
    weight = article.toarray().ravel() * rarity
    return ", ".join(words[np.argsort(-weight, kind="stable")[:top]])


print(f"{mixtures.shape[0]} articles, {mixtures.shape[1]} shares each\n")
for k in largest[:4]:
    print(f"{model.topic_names_[k]}: {', '.join(model.topics(words)[k].words[:7])}")
    for row in np.argsort(-mixtures[:, k])[:3]:
        print(f"  {mixtures[row, k]:.0%}  {typical(held_out[[row]])}")

# %% [markdown]
# ## One article
#
# We take the held-out article whose second topic is largest. What the model knows of a
# mixture is a Dirichlet distribution, so that each share has an interval. It says how
# sure the model is of the shares if its topics are right; it knows nothing of other
# topics that could have been found.

# %%
row = np.sort(mixtures, axis=1)[:, -2].argmax()
lower, upper = model.intervals(held_out, level=0.9)
order = np.argsort(-mixtures[row])[:6]
share, table = mixtures[row, order], model.topics(words, top=4)
print("its words:", typical(held_out[[row]], top=10))

figure, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
reach = share - lower[row, order], upper[row, order] - share
ax.barh(range(6), share, color=figures.PALETTE[0])
ax.errorbar(share, range(6), xerr=reach, fmt="none", ecolor="0.25", capsize=3)
ax.set_yticks(range(6), [", ".join(table[k].words) for k in order])
ax.set(xlabel="share of the article, with its 90% interval", xlim=(0, 1))
ax.invert_yaxis()

# %% [markdown]
# ## How good is it?
#
# The model sees half of the words of each held-out article and predicts the other half.
# The **perplexity** says among how many words it wavers, as if they were equally likely.
# A model that knows how frequent each word is, and nothing of the article, is the
# baseline.
#
# **NPMI** is the coherence of a topic: 1 where its ten first words only come together, 0
# where they come together as by chance. It is computed here from the articles that the
# model was fitted to. **Diversity** is the share of different words among the 25 first
# words of all topics.

# %%
predicted = model.word_probabilities(parts.seen)
frequency = np.asarray(train.sum(axis=0)).ravel() + 0.5
baseline = np.tile(frequency, (len(parts.test), 1))
model_perplexity = topics.perplexity(predicted, parts.unseen)
baseline_perplexity = topics.perplexity(baseline, parts.unseen)
coherence = topics.npmi(topics.top_words(model.components_, top=10), train)
print(f"perplexity: {model_perplexity:.0f}; of the baseline {baseline_perplexity:.0f}")
print(f"NPMI:       {coherence.mean():.2f} in the mean")
for said, k in ("best", coherence.argmax()), ("worst", coherence.argmin()):
    print(
        f"  {said:6}    {coherence[k]:.2f}  {', '.join(model.topics(words)[k].words[:6])}"
    )
print(f"diversity:  {topics.diversity(model.components_):.2f}")

# %% [markdown]
# ## A topic of your own
#
# None of the topics has to be the one that you look for. Give it a name and a few words.
# The words make it likelier that the model finds such a topic, and it may still add
# others to them.

# %%
if REAL:
    wanted = {
        "climate": ["climate", "emissions", "carbon", "warming"],
        "schools": ["school", "schools", "students", "teachers"],
    }
else:
    planted = topics.top_words(model.components_, words, top=4)
    wanted = {"first": planted[0].tolist(), "second": planted[1].tolist()}
columns = {name: np.flatnonzero(np.isin(words, own)) for name, own in wanted.items()}
seeded = topics.TopicModel(20, seed_words=columns, max_iter=passes, random_state=0)
seeded.fit(train)
print(topics.TopicTable(seeded.topics(words)[: len(wanted)]))

# %% [markdown]
# ## Other seeds
#
# Another random seed gives somewhat different topics. **Stability** says how alike they
# are: 1 where all seeds find the same first ten words for each topic, 0 where they share
# none.

# %%
models = [model] + [
    topics.TopicModel(20, max_iter=passes, random_state=seed).fit(train)
    for seed in (1, 2)
]
stability = topics.stability([one.components_ for one in models])
print(f"stability of three seeds: {stability:.2f}")

# %% [markdown]
# `consensus` matches the topics of the seeds and takes their mean. A topic whose cosine
# with each seed's own is near 1 is found by all of them; one that is far from 1 should
# not be trusted much.

# %%
common = topics.consensus([one.topic_word_ for one in models])


def cosines(one, other):
    """The cosine of each row with that of the same number."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


alike = np.min(
    [
        cosines(common, one.topic_word_[topics.match(common, one.topic_word_)])
        for one in models
    ],
    axis=0,
)
first_words = topics.top_words(common, words, top=6)
for said, some in (
    ("most alike", np.argsort(-alike)[:4]),
    ("least alike", np.argsort(alike)[:4]),
):
    print(f"{said} in three seeds, by the least cosine:")
    for k in some:
        print(f"  {alike[k]:.2f}  {', '.join(first_words[k])}")

# %% [markdown]
# A model whose topics start at the consensus has topics that other seeds find too. It
# predicts unseen words a little worse than the seeds' own models.

# %%
both = topics.TopicModel(20, init=common, max_iter=passes, random_state=0).fit(train)
for name, one in zip(
    ("seed 0", "seed 1", "seed 2", "consensus"), [*models, both], strict=True
):
    found = topics.perplexity(one.word_probabilities(parts.seen), parts.unseen)
    print(f"{name:9}  perplexity {found:.0f}")

# %% [markdown]
# ## Cells
#
# Nothing changes for cells but the names: a document is a cell, a word is a gene, and a
# topic is a **programme**, genes that are active together.

# %%
cells, genes, types = load("pbmc", 10)
programmes = topics.TopicModel(10, max_iter=passes, random_state=0).fit(cells)
shares = programmes.transform(cells)
print(f"{cells.shape[0]} cells of {cells.shape[1]} genes\n")
print(programmes.topics(genes))

# %% [markdown]
# The cells have labels, their types, which the model has not seen. Below is the mean
# mixture of the cells of each type. The columns have the first two genes of a programme.

# %%
SHORT = {
    "CD4+/CD25 T Reg": "T, regulatory",
    "CD4+/CD45RA+/CD25- Naive T": "T, CD4 naive",
    "CD4+/CD45RO+ Memory": "T, CD4 memory",
    "CD8+ Cytotoxic T": "T, CD8",
    "CD8+/CD45RA+ Naive Cytotoxic": "T, CD8 naive",
    "CD14+ Monocyte": "monocyte",
    "CD19+ B": "B",
    "CD34+": "CD34+",
    "CD56+ NK": "NK",
    "Dendritic": "dendritic",
}
types = np.array([SHORT.get(name, name) for name in types])
kinds, kind, sizes = np.unique(types, return_inverse=True, return_counts=True)
means = np.stack([shares[kind == k].mean(axis=0) for k in range(len(kinds))])
order = np.argsort(means.argmax(axis=0), kind="stable")
first_genes = topics.top_words(programmes.components_, genes, top=2)
figures.heat_maps(
    {"": means[:, order]},
    column_names=[", ".join(first_genes[k]) for k in order],
    row_names=[f"{name} ({size})" for name, size in zip(kinds, sizes, strict=True)],
    title="Programmes of the cells of each type",
    unit="mean share",
    signed=False,
)

# %% [markdown]
# How well do the programmes tell the types? The first two numbers compare the largest
# programme of each cell with its type; they are 1 where these agree and about 0 by
# chance. The third is how often the five cells with the nearest mixtures tell a cell's
# type. For comparison we deal the mixtures out to the cells at random.

# %%
found = topics.agreement(shares, types)
shuffled = topics.agreement(np.random.default_rng(0).permutation(shares), types)
print("                                 programmes  at random")
for name in found._fields:
    print(f"{name:31}  {getattr(found, name):10.2f}  {getattr(shuffled, name):9.2f}")

# %% [markdown]
# A map of the cells, by t-SNE of the square roots of their mixtures: cells with similar
# mixtures lie near each other. How far apart two groups lie says little. B cells and
# CD34+ cells form groups of their own, and so do most monocytes and dendritic cells. The
# types of T cells overlap; their mean mixtures above are alike too.

# %%
plane = TSNE(init="pca", random_state=0).fit_transform(np.sqrt(shares))
figure = figures.latent_scatter(
    plane,
    kind,
    names=kinds,
    medians=False,
    title="Cells by their programmes",
    legend="cell type",
)
figure.axes[0].set(xlabel="", ylabel="", xticks=[], yticks=[])
figure

# %% [markdown]
# ## The command line
#
# The same from a file, in one line. `command(...)` stands for a terminal here; it leaves
# out the line of each epoch and the times. The command sees that the file holds counts,
# and trains a topic model of 20 topics.

# %%
temporary = tempfile.TemporaryDirectory()
os.chdir(temporary.name)
np.savez(
    "news.npz",
    data=articles.data,
    indices=articles.indices,
    indptr=articles.indptr,
    shape=articles.shape,
    features=words,
)


def command(line):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = cli.main(line.split()[1:])
    if status != 0:
        raise RuntimeError(f"{line} ended with status {status}")
    left_out = re.compile(r" *(epoch|\d+/\d+|\d+ epochs|Compil)")
    lines = out.getvalue().splitlines()
    print(f"$ {line}", *(text for text in lines if not left_out.match(text)), sep="\n")


command("jaxvae train --data news.npz --out run" + " --epochs 20" * QUICK)

# %% [markdown]
# What each function promises, other decoders, labels and covariates: [Topics and other
# mixtures](../docs/topics.md). Texts are counted by scikit-learn's `CountVectorizer`, or
# by the command line itself: `jaxvae train --data news.txt`.
