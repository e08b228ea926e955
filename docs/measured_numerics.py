"""What was measured of the sampler and the original's workload, for the pages: see `figures.py`."""

from collections.abc import Mapping
from statistics import mean, median, stdev

from markers import table
from measured_speed import Results, machine, ratio


def mnist(results: Results) -> dict[str, str]:
    """The original's workload, 30 epochs of MNIST."""
    runs: dict[tuple[str, str], list[Results]] = {}
    for run in results["runs"]:
        runs.setdefault((run["model"], run["objective"]), []).append(run)
    columns = ("final_loss", "test_loss", "test_reconstruction", "test_kl", "test_accuracy")

    def cell(own: list[Results], name: str) -> str:
        digits = 4 if name == "test_accuracy" or own[0]["test_loss"] < 1 else 2
        return f"{mean(run[name] for run in own):.{digits}f}" if name in own[0] else "-"

    def accuracy(objective: str) -> str:
        return f"{mean(run['test_accuracy'] for run in runs['dirichlet', objective]):.2f}"

    header = ["latent", "objective", "training loss", "test loss", "test reconstruction", "test KL"]
    return {
        "machine": machine(results),
        "table": table(
            [*header, "test accuracy"],
            [[*case, *(cell(own, name) for name in columns)] for case, own in runs.items()],
        ),
        "seeds": str(len(runs["dirichlet", "original"])),
        "accuracy": accuracy("original"),
        "accuracy_elbo": accuracy("elbo"),
    }


def robust_start(results: Results) -> dict[str, str]:
    """Twenty seeds, two epochs of MNIST, each head."""
    made, rows = {}, []
    for head in ("softplus", "relu"):
        own = [run for run in results["runs"] if run["head"] == head]
        accuracy = [run["test_accuracy"] for run in own]
        dead = str(sum(run["dead"] > 0 for run in own))
        above = str(sum(value > 0.95 for value in accuracy))
        ends = [f"{f(accuracy):.4f}" for f in (min, median, max)]
        rows.append([head, dead, above, *ends])
        made |= {f"{head}_dead": dead, f"{head}_least": ends[0], "seeds": str(len(own))}
    header = ["head", "runs with a dead category", "runs above 0.95 accuracy"]
    return {"table": table([*header, "least accuracy", "median", "largest"], rows), **made}


def compat(results: Results) -> dict[str, str]:
    """The original's API on the original's workload."""
    runs = results["runs"]
    rows = [
        (
            "Normal, 30 epochs: training loss",
            [run["losses"][-1] for run in runs if run["model"] == "normal"],
            2,
        ),
        (
            "Dirichlet, 30 epochs: test accuracy",
            [run["test_accuracy"] for run in runs if run["model"] == "dirichlet"],
            4,
        ),
        (
            "Dirichlet, 2 epochs: test accuracy",
            [run["test_accuracy"] for run in results["starts"]],
            4,
        ),
    ]
    times = results["seconds"]
    return {
        "table": table(
            ["what", "seeds", "least", "mean", "largest"],
            [
                [what, str(len(own)), *(f"{f(own):.{digits}f}" for f in (min, mean, max))]
                for what, own, digits in rows
            ],
        ),
        "starts": str(len(results["starts"])),
        "starts_least": f"{min(rows[-1][1]):.2f}",
        "dirichlet": f"{ratio(times['dirichlet']['compat'], times['dirichlet']['core']):.2f}",
        "normal": f"{ratio(times['normal']['compat'], times['normal']['core']):.2f}",
    }


def samplers(results: Results) -> dict[str, str]:
    """The Dirichlet draw and its gradient: time, error, variance."""
    who = {"jaxvae": "jaxvae", "torch": "PyTorch", "tfp": "TFP", "jax.random": "`jax.random`"}
    ways = {"jaxvae": 'jaxvae, `"beta"`', "jaxvae, gamma": 'jaxvae, `"gamma"`'}
    times = {
        tuple(row["shape"]): row["microseconds"]
        for row in results["speed"]
        if row["gradient"] and row["concentration"] == 1
    }
    accuracy, small = results["accuracy"], times[64, 10]
    error = {
        name: max(e for e in own["max_relative_error"] if e is not None)
        for name, own in accuracy.items()
    }
    spread = {(row["concentration"], row["k"], row["function"]): row for row in results["variance"]}
    ratios = {
        (name, *at): (row[name]["sd"] / row["torch"]["sd"]) ** 2
        for at, row in spread.items()
        for name in ways
    }
    of_gamma = [value for (name, *_), value in ratios.items() if name == "jaxvae, gamma"]
    formulas = {"sum of w z^2": r"$\sum_i w_i z_i^2$", "z_0": "$z_0$"}
    pair = ("jaxvae", "torch")

    def rows(shapes, names: Mapping[str, str], unit: str = "") -> list[list[str]]:
        return [
            [f"{list(shape)}{unit}", *(f"{times[shape][name]:,.0f}" for name in names)]
            for shape in shapes
        ]

    columns = ways | {name: who[name] for name in ("tfp", "jax.random", "torch")}
    return {
        "machine": f"{machine(results)}, PyTorch {results['versions']['torch'].split('+')[0]}",
        "times": table(
            ["a draw with its gradient, concentration 1", *who.values()],
            rows([(64, 10), (4096, 10), (1024, 1000)], who, ", microseconds"),
        ),
        "quality": table(
            ["the gradient of a draw", *(who[name] for name in pair)],
            [
                ["largest relative error", *(f"{error[name]:.2g}" for name in pair)],
                ["points compared", *(f"{accuracy[name]['points']:,}" for name in pair)],
                [
                    "of these with an error above 2%",
                    *(str(accuracy[n]["above 2e-2"]) for n in pair),
                ],
            ],
        ),
        "speed": table(["shape", *columns.values()], rows(times, columns)),
        "variance": table(
            ["concentration", "K", "f", '`gradient="gamma"`', '`gradient="beta"`'],
            [
                [
                    f"{at[0]:g}",
                    str(at[1]),
                    formulas[at[2]],
                    *(f"{ratios[name, *at]:.3f}" for name in ("jaxvae, gamma", "jaxvae")),
                ]
                for at in spread
                if at[2] in formulas
            ],
        ),
        "time": f"{small['jaxvae']:.0f}",
        "error_percent": f"{100 * error['jaxvae']:.4f}",
        "gamma_most": f"{max(of_gamma):.1f}",
        "large": f"{times[1024, 1000]['jaxvae'] / times[1024, 1000]['torch']:.2f}",
        "ns_small": f"{small['jaxvae'] * 1000 / 640:.0f}",
        "ns_large": f"{times[4096, 10]['jaxvae'] * 1000 / 40_960:.0f}",
        "share": f"{100 * results['step']['share']:.0f}",
    }


def gradients(results: Results) -> dict[str, str]:
    """Training with either gradient, from the same seeds."""

    def difference(values: list[float]) -> str:
        return f"{mean(values):+.3f} ± {stdev(values) / len(values) ** 0.5:.3f}"

    cases = results["rows"]
    more = [100 * (case["epoch_time_ratio"] - 1) for case in cases]
    return {
        "table": table(
            [
                "data, categories, prior",
                "time of an epoch, beta / gamma",
                "beta - gamma, equal epochs",
                "beta - gamma, equal time",
            ],
            [
                [
                    case["case"],
                    f"{case['epoch_time_ratio']:.2f}",
                    difference(case["difference_after_equal_epochs"]),
                    difference(case["difference_after_equal_time"]),
                ]
                for case in cases
            ],
        ),
        "seeds": str(len(cases[0]["difference_after_equal_time"])),
        "least": f"{min(more):.0f}",
        "most": f"{max(more):.0f}",
    }
