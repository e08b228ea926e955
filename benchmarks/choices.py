"""What `jaxvae train` reaches with each model and with some options, on data that need no download.

`python benchmarks/choices.py` takes about 15 minutes on two cores and writes `results/choices.json`
and `.md`; the pages on how to choose show its numbers. `--only NAME ...` measures some cases and
keeps the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
import report
from sklearn import datasets

import jaxvae
from jaxvae import bind, latents, likelihoods, objectives, priors

SEEDS = 3
UNIT = "--model normal --latent-dim 8 --likelihood-scale 1"
# By name: the options of `jaxvae train`, on the digits or on a table.
CASES = {
    "joint": "",
    "joint, no labels": "--prior symmetric",
    "dirichlet": "--model dirichlet",
    "dirichlet, original": "--model dirichlet --objective original",
    "normal 2": "--model normal",
    "normal 8": "--model normal --latent-dim 8",
    "normal 16": "--model normal --latent-dim 16",
    "logistic_normal": "--model logistic_normal",
    "unit": UNIT,
    "unit, weight 0.1": f"{UNIT} --kl-weight 0.1",
    "weight 10": "--model normal --latent-dim 8 --kl-weight 10",
    **{
        f"categories {k}, {concentration}": f"--model dirichlet --prior symmetric --latent-dim {k} "
        f"--prior-concentration {concentration}"
        for concentration in ("1.0", "0.3", "0.1")
        for k in (5, 10, 20)
    },
    "low floor": "--model dirichlet --prior symmetric --latent-dim 10 --prior-concentration 0.1 "
    "--concentration-floor 0.01",
    **{name: f"--data {name}.csv" for name in ("iris", "wine", "breast_cancer")},
}
# By name: what the command line has no option for, with the likelihood of `UNIT`.
OBJECTIVES = {
    "unit, warm-up": lambda steps: objectives.elbo(
        kl_weight=optax.linear_schedule(0.0, 1.0, steps // 2)
    ),
    "unit, free bits": lambda steps: objectives.elbo(free_bits=2.0),
}
KEPT = ("epochs", "test_loss", "test_kl", "test_rmse", "baseline_rmse", "test_accuracy")
OF_PARTS = ("_dimensions", "_active", "_kl", "_in_use")


def tables(folder):
    """scikit-learn's small tables as CSV, the labels by name in the column `label`."""
    for name in ("iris", "wine", "breast_cancer"):
        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.data.assign(label=bunch.target_names[bunch.target])
        frame.to_csv(folder / f"{name}.csv", index=False)


def by_command(options, folder):
    """The figures of each seed's summary, from 0 on."""
    command = [sys.executable, "-m", "jaxvae", "train", *options.split(), "--seeds", str(SEEDS)]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        subprocess.run([*command, "--out", out], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        files = [Path(out, f"seed-{seed}", "summary.json") for seed in range(SEEDS)]
        summaries = [json.loads(file.read_text()) for file in files]
    return [
        {
            name: value
            for name, value in summary.items()
            if value is not None and (name in KEPT or name.endswith(OF_PARTS))
        }
        for summary in summaries
    ]


def by_objective(make, seed, epochs=100):
    """The same figures of a model of unit variance that is trained with another objective."""
    data, key = jaxvae.datasets.load_digits(), jax.random.key(seed)
    vae = bind(
        jaxvae.dense_normal_network(64, 8, layers=2, hidden_units=256),
        latents.normal,
        priors.standard_normal(),
        likelihoods.normal(1.0),
        make(epochs * -(-len(data.x_train) // 64)),
    )
    state, _ = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=epochs)
    test = jaxvae.evaluate(key, vae, state.params, data.x_test)
    part = jaxvae.collapse_report(key, vae, state.params, data.x_test).parts["z"]
    made = jaxvae.reconstruct(key, vae, state.params, data.x_test)
    errors = (np.asarray(other) - data.x_test for other in (made, data.x_train.mean(axis=0)))
    rmse, baseline = (float(np.sqrt(np.mean(error**2))) for error in errors)
    return {
        "epochs": epochs,
        "test_loss": test.nelbo,
        "test_kl": test.kl,
        "test_rmse": rmse,
        "baseline_rmse": baseline,
        "z_dimensions": part.dimensions,
        "z_active": part.active,
        "z_kl": part.kl,
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*CASES, *OBJECTIVES])
    chosen = parser.parse_args(argv).only or [*CASES, *OBJECTIVES]
    file = report.RESULTS / "choices.json"
    cases = json.loads(file.read_text())["cases"] if file.is_file() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables(folder)
        for case in chosen:
            if case in CASES:
                runs = by_command(CASES[case], folder)
            else:
                runs = [by_objective(OBJECTIVES[case], seed) for seed in range(SEEDS)]
            cases[case] = {"options": CASES.get(case, ""), "runs": runs}
            print(case, runs[0], flush=True)
            write({name: cases[name] for name in [*CASES, *OBJECTIVES] if name in cases})


def write(cases):
    columns = ("epochs", "test_loss", "test_kl", "test_rmse", "baseline_rmse", "test_accuracy")

    def cell(runs, name):
        each = [run[name] for run in runs if name in run]
        return f"{np.mean(each):.3f} ± {np.std(each):.3f}" if each else "-"

    rows = [
        [name, case["options"] or "-", *(cell(case["runs"], column) for column in columns)]
        for name, case in cases.items()
    ]
    table = report.markdown(["case", "options", *columns], rows)
    note = f"Mean and standard deviation over {SEEDS} seeds."
    report.write("choices", {"seeds": SEEDS, "cases": cases}, f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
