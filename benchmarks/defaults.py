"""How the defaults of `jaxvae train` were chosen: on validation data, over seeds.

`python benchmarks/defaults.py` takes about a quarter of an hour on two cores and writes
`results/defaults.json` and `.md`; MNIST comes from the folder JAXVAE_DATA. A fifth of the training
examples are set aside to judge by; the test examples are not looked at. One choice at a time is
moved away from the default. Of each setting:

- accuracy: of the largest category, on the examples set aside;
- RMSE: of their reconstructions;
- judged: of draws from each category's prior, those that a classifier of the three nearest
  neighbours among the training examples calls by the category's name: over all, and the worst.
"""

import argparse
import dataclasses
import operator
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
from sklearn.neighbors import KNeighborsClassifier

import jaxvae
from jaxvae.apps import chosen, description
from jaxvae.apps.options import Options

DRAWS, NEIGHBOURS = 100, 10_000
# Of each choice the settings; which field of which part of the description it is.
CHOICES = {
    "category_gain": ("latent", "category_gain", (1.0, 10.0)),
    "category_kl_weight": (None, "category_kl_weight", (4.0,)),
    "total_concentration": (None, "total_concentration", (8.0, 100.0)),
    "smoothness": (None, "smoothness", (0.5,)),
    "scale at the start": ("likelihood", "scale", (1.0,)),
    "hidden_units": (None, "hidden_units", (128,)),
    "layers": (None, "layers", (4,)),
    "style_dim": (None, "style_dim", (4, 16)),
    "average": (None, "average", (0.0,)),
}
MNIST = {
    "category_kl_weight": (1.0, 12.25),
    "total_concentration": (50.0,),
    "hidden_units": (256,),
}


def aside(data, share=0.2):
    """A data set whose test examples are a share of its training examples."""
    order = np.random.default_rng(0).permutation(len(data.x_train))
    count = round(share * len(order))
    own, other = order[count:], order[:count]
    return data._replace(
        x_train=data.x_train[own],
        y_train=data.y_train[own],
        x_test=data.x_train[other],
        y_test=data.y_train[other],
    )


def model_of(data, part, field, value, **given):
    """The default model, with one choice of its own."""
    if part is None and field is not None:
        given[field] = value
    options = chosen.resolve(Options(**given), data)
    made = chosen.describe(options, data)
    if part is not None:
        made = dataclasses.replace(
            made, **{part: dataclasses.replace(getattr(made, part), **{field: value})}
        )
    return description.build(made), options


def measured(data, vae, options, seeds):
    """What the model comes to from each seed, trained as one program."""
    rng = np.random.default_rng(1)
    order = rng.permutation(len(data.x_train))
    held = order[: round(options.hold_out * len(order))]
    own = order[len(held) :]
    optimizer = optax.adam(options.learning_rate)
    if options.average:
        optimizer = jaxvae.average_params(optimizer, options.average)
    states, histories = jaxvae.fit_many(
        jax.random.split(jax.random.key(0), seeds),
        vae,
        data.x_train[own],
        data.y_train[own],
        validation=(data.x_train[held], data.y_train[held]),
        patience=options.patience,
        batch_size=options.batch_size,
        epochs=options.epochs,
        optimizer=optimizer,
    )
    some = rng.permutation(len(data.x_train))[:NEIGHBOURS]
    knn = KNeighborsClassifier(3).fit(data.x_train[some], data.y_train[some])
    averaged = jaxvae.averaged_params(states)
    for seed in range(seeds):
        params = jax.tree.map(operator.itemgetter(seed), averaged)
        again = jaxvae.reconstruct(jax.random.key(1), vae, params, data.x_test)
        shares = []
        for category in range(data.categories):
            batch = jaxvae.Batch(y=jnp.full(DRAWS, category, jnp.int32))
            z = vae.sample_prior(params, jax.random.key(2 + category), batch)
            x = np.asarray(vae.decode(params, z)).reshape(DRAWS, -1)
            shares.append(float((knn.predict(x) == category).mean()))
        yield {
            "seed": seed,
            "accuracy": jaxvae.accuracy(vae, params, data.x_test, data.y_test),
            "rmse": float(np.sqrt(np.mean((again - data.x_test) ** 2))),
            "judged": float(np.mean(shares)),
            "worst": min(shares),
            "epochs": len(histories[seed].epochs),
        }


def settings(seeds):
    """Each setting that is tried: the data, the choice, its value, what is given beside it."""
    digits, mnist = aside(jaxvae.datasets.load_digits()), aside(jaxvae.datasets.load_mnist())
    for choice, (part, field, values) in CHOICES.items():
        for value in values:
            yield "digits", digits, choice, (part, field, value), {}, seeds
    for choice, values in MNIST.items():
        for value in values:
            yield "mnist", mnist, choice, (None, choice, value), {"epochs": 10}, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results, rows, of_default = [], [], {}
    for name, data, choice, where, given, seeds in settings(options.seeds):
        vae, resolved = model_of(data, *where, **given)
        default = (vae, resolved) == model_of(data, None, None, None, **given)
        runs = of_default.get(name) if default else None
        if runs is None:
            runs = list(measured(data, vae, resolved, seeds))
        if default:
            of_default[name] = runs
        result = {"data": name, "choice": choice, "value": where[2], "default": default}
        results.append({**result, "runs": runs})
        means = {key: np.mean([run[key] for run in runs]) for key in runs[0] if key != "seed"}
        shown = [f"{means[key]:.3f}" for key in ("accuracy", "rmse", "judged", "worst")]
        mark = "yes" if default else ""
        rows.append([name, choice, f"{where[2]:.4g}", mark, *shown, f"{means['epochs']:.0f}"])
        print(rows[-1], flush=True)
    header = ["data", "choice", "value", "default", "accuracy", "RMSE", "judged", "worst", "epochs"]
    report.write("defaults", {"settings": results}, report.markdown(header, rows))


if __name__ == "__main__":
    sys.exit(main())
