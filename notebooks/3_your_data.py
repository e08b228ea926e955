# %% [markdown]
# # Your own data
#
# From a folder of pictures to a trained model, its categories, blends of them and new
# pictures; then the same from the command line and in a scikit-learn pipeline. Put your
# own folder in place of ours: we write one first, to have one. All files go to a folder
# that is thrown away at the end.

# %%
# %matplotlib inline
import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from PIL import Image
from sklearn.datasets import load_digits

import jaxvae
from jaxvae import figures
from jaxvae.apps import cli

plt.rcParams["figure.dpi"] = 72
QUICK = "JAXVAE_QUICK" in os.environ  # for the tests: fewer epochs
temporary = tempfile.TemporaryDirectory()
os.chdir(temporary.name)

digits = load_digits()
Path("pictures").mkdir()
for i, pixels in enumerate(digits.images):
    Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(f"pictures/{i:04d}.png")
print(sorted(os.listdir("pictures"))[:3], "...")

# %% [markdown]
# ## From files to an array
#
# Pictures of one size make an array [N, H, W]. Divide it by the largest value, into [0,
# 1]. `from_arrays` checks it, flattens the pictures, and holds every tenth out for the
# test.

# %%
paths = sorted(Path("pictures").glob("*.png"))
images = np.stack([np.asarray(Image.open(path).convert("L")) for path in paths]) / 255
data = jaxvae.datasets.from_arrays(images)
print(f"{images.shape} -> {data.x_train.shape} to train on, {data.x_test.shape} held out")

# %% [markdown]
# ## A model without labels
#
# The folder has no labels, so each category gets the same prior. A concentration below 1
# asks for few categories a picture. The likelihood's noise has variance 1, which is wide
# for values in [0, 1]: under the ELBO itself the latent of these pictures would stay
# unused. `kl_weight=0.1` makes it cheaper to use ([Which
# scale](../docs/your_data.md#which-scale-which-likelihood)).
#
# With a `checkpoint_dir` the run is saved as it goes. We stop it early.

# %%
key = jax.random.key(0)
vae = jaxvae.dirichlet_vae(
    jaxvae.dense_dirichlet_network(64, 12, layers=2),
    prior=jaxvae.symmetric_prior(0.3),
    likelihood=jaxvae.likelihoods.normal(1.0),
    kl_weight=0.1,
)
optimizer = optax.adam(1e-3)


def train(epochs, folder):
    return jaxvae.fit(
        key,
        vae,
        data.x_train,
        batch_size=64,
        epochs=epochs,
        optimizer=optimizer,
        checkpoint_dir=folder,
    )


epochs = 20 if QUICK else 80
stopped, history = train(epochs // 4, "checkpoints")
print(f"saved after {len(history.epochs)} epochs, at step {int(stopped.step)}")

# %% [markdown]
# The same call goes on from what the folder holds. Nothing is lost by the stop: the run
# ends where one that never stopped ends, to the bit. `load_state` reads it back, tomorrow
# or in another program.

# %%
state, history = train(epochs, "checkpoints")
unstopped, _ = train(epochs, "never_stopped")
same = jax.tree.map(lambda a, b: bool((a == b).all()), state.params, unstopped.params)
bit_equal = all(jax.tree.leaves(same))
last = history.epochs[-1]
print(f"{len(history.epochs)} epochs; the two runs are equal to the bit: {bit_equal}")
print(f"KL {last.kl:.2f} nats, reconstruction {last.reconstruction:.2f} nats")

state = jaxvae.load_state("checkpoints", vae, optimizer, data.x_train)
print("loaded: step", int(state.step))

# %% [markdown]
# ## What it found
#
# What each category looks like, alone. Nobody named them, so their order means nothing,
# and one that hardly any picture uses decodes to a blur.

# %%
shares = jaxvae.encode_mean(vae, state.params, data.x_train)
corners = vae.decode(state.params, jnp.eye(12))
figures.corners(corners, data.image_shape)

# %% [markdown]
# For each of the five most used categories, a row of the pictures with the largest share
# of it.

# %%
used = np.argsort(-shares.mean(axis=0))[:5]
typical = np.concatenate([data.x_train[np.argsort(-shares[:, k])[:10]] for k in used])
figures.image_grid(
    typical,
    data.image_shape,
    columns=10,
    title=f"Typical of categories {used.tolist()}, by rows",
)

# %% [markdown]
# ## Blends and new pictures
#
# A blend of two categories is a point between two corners. A new picture is a draw from
# the prior.

# %%
share = jnp.linspace(0, 1, 7)
first, second = (jnp.eye(12)[k] for k in used[:2])
between = (1 - share[:, None]) * first + share[:, None] * second
names = str(used[0]), str(used[1])
figures.blend(vae.decode(state.params, between), share, names, data.image_shape)

# %%
z = vae.sample_prior(state.params, jax.random.key(1), (30, 12))
figures.image_grid(
    vae.decode(state.params, z),
    data.image_shape,
    columns=10,
    title="Draws from the prior, decoded",
)

# %% [markdown]
# ## The command line
#
# The same without Python, from one file. `command(...)` stands for a terminal here; it
# leaves out the line of each epoch and the times. Labels in the file, as `y`, would make
# the prior, unless `--prior symmetric` says otherwise.

# %%
np.savez("mine.npz", x=images)


def command(line):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = cli.main(line.split()[1:])
    if status != 0:
        raise RuntimeError(f"{line} ended with status {status}")
    left_out = re.compile(r" *(epoch|\d+/\d+|\d+ epochs|Compil|seconds)")
    lines = out.getvalue().splitlines()
    shown = [text for text in lines if not left_out.match(text)]
    print(f"$ {line}", *shown, "", sep="\n")


command(
    "jaxvae train --data mine.npz --prior symmetric --prior-concentration 0.3 "
    f"--latent-dim 12 --layers 2 --kl-weight 0.1 --epochs {epochs} --out mine"
)
command("jaxvae generate mine --count 30 --out new.npy")
command("jaxvae encode mine mine.npz --out shares.csv")
print("the run's folder:", ", ".join(sorted(os.listdir("mine"))))

# %% [markdown]
# ## In a scikit-learn pipeline
#
# The estimators take what scikit-learn's take. `NormalVAE` and `DirichletVAE` turn
# examples into latents for the next step; `DirichletVAEClassifier` is a step for the end.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from jaxvae.estimators import DirichletVAEClassifier, NormalVAE

X_train, X_test, y_train, y_test = train_test_split(
    digits.data, digits.target, test_size=0.2, random_state=0
)
epochs = 15 if QUICK else 60
latents = make_pipeline(
    MaxAbsScaler(),
    NormalVAE(8, layers=2, kl_weight=0.05, epochs=epochs, random_state=0),
    LogisticRegression(max_iter=2000),
).fit(X_train, y_train)
categories = make_pipeline(
    MaxAbsScaler(), DirichletVAEClassifier(layers=2, epochs=epochs, random_state=0)
).fit(X_train, y_train)
latent_score, category_score = (
    latents.score(X_test, y_test),
    categories.score(X_test, y_test),
)
print(f"logistic regression on 8 latent numbers: accuracy {latent_score:.3f}")
print(f"a category for each label:               accuracy {category_score:.3f}")

# %% [markdown]
# More on scales, likelihoods and networks of your own: [Your own
# data](../docs/your_data.md). More on long runs: [Checkpoints](../docs/checkpoints.md).
