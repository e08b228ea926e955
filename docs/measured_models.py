"""What `jaxvae train` reaches, as numbers and tables for the pages: see `figures.py`."""

import re
from collections.abc import Mapping, Sequence
from statistics import mean

from markers import table
from measured_speed import Results, machine

# Of a table: the name of the case, and what is said of it.
MODELS = {
    "joint": "`joint`, the default",
    "dirichlet": "`dirichlet`",
    "dirichlet, original": "`dirichlet`, `--objective original`",
    "joint, no labels": "`joint`, `--prior symmetric`",
    "categories 10, 1.0": "`dirichlet`, `--prior symmetric`",
    "logistic_normal": "`logistic_normal`",
    "normal 2": "`normal`",
    "normal 8": "`normal`, `--latent-dim 8`",
    "normal 16": "`normal`, `--latent-dim 16`",
}
COLLAPSE = {
    "unit": "`--likelihood-scale 1`",
    "unit, warm-up": "the same, KL warm-up over half of the training",
    "unit, free bits": "the same, two nats free",
    "unit, weight 0.1": "the same, `--kl-weight 0.1`",
    "normal 8": "the scale learned, the default",
    "weight 10": "the scale learned, `--kl-weight 10`",
}
TABLES = {"iris": "iris", "wine": "wine", "breast_cancer": "breast cancer"}


def cell(case: Results, name: str, digits: int) -> str:
    """The mean over the runs of a case, or a dash where they have no such figure."""
    each = [run[name] for run in case["runs"] if name in run]
    return f"{mean(each):.{digits}f}" if each else "-"


def choices(results: Results) -> dict[str, str]:
    """`jaxvae train` with each model and some options."""
    cases = results["cases"]

    def rows(said: Mapping[str, str], columns: Sequence[tuple[str, int]]) -> list[list[str]]:
        return [
            [text, *(cell(cases[name], *column) for column in columns)]
            for name, text in said.items()
        ]

    models = rows(
        MODELS, [("test_loss", 1), ("test_kl", 1), ("test_rmse", 3), ("test_accuracy", 3)]
    )
    for row, name in zip(models, MODELS, strict=True):
        if name.endswith("original"):  # in units of its own
            row[1] = row[2] = "-"
    asked = [name.removeprefix("categories ").split(", ") for name in cases if "categ" in name]
    columns = (("test_loss", 1), ("test_kl", 1), ("test_rmse", 3), ("z_in_use", 1))
    return {
        "machine": machine(results),
        "seeds": str(results["seeds"]),
        "accuracy": cell(cases["joint"], "test_accuracy", 3),
        "baseline": cell(cases["joint"], "baseline_rmse", 3),
        "unlabelled_category": cell(cases["joint, no labels"], "category_kl", 2),
        "low_floor_kl": cell(cases["low floor"], "test_kl", 1),
        "low_floor_in_use": cell(cases["low floor"], "z_in_use", 1),
        "models": table(
            ["the digits, `--model`", "test loss, nats", "KL, nats", "error (RMSE)", "accuracy"],
            models,
        ),
        "tables": table(
            ["table", "error (RMSE)", "of the mean example", "accuracy"],
            rows(TABLES, [("test_rmse", 2), ("baseline_rmse", 2), ("test_accuracy", 2)]),
        ),
        "collapse": table(
            ["training", "KL, nats", "active dimensions of 8", "error (RMSE)"],
            rows(COLLAPSE, [("test_kl", 2), ("z_active", 1), ("test_rmse", 3)]),
        ),
        "categories": table(
            ["categories", "concentration", "loss, nats", "KL, nats", "error (RMSE)", "in use"],
            [
                [*pair, *(cell(cases[f"categories {', '.join(pair)}"], *c) for c in columns)]
                for pair in asked
            ],
        ),
    }


def first_sight(results: Results) -> dict[str, str]:
    """What a newcomer sees: the defaults on the digits and on MNIST."""
    sets: dict[str, list[Results]] = {}
    for run in results["labelled"]:
        sets.setdefault(run["data"], []).append(run)
    said = {"digits": "digits", "mnist": "MNIST, 10 epochs"}
    columns = (("accuracy", 3), ("rmse", 3), ("baseline rmse", 3), ("judged, mean", 3))

    def of(runs: list[Results], name: str, digits: int) -> str:
        return f"{mean(run[name] for run in runs):.{digits}f}"

    return {
        "machine": machine(results),
        "seeds": str(len(sets["digits"])),
        "accuracy": of(sets["digits"], "accuracy", 3),
        "table": table(
            ["data", "accuracy", "error (RMSE)", "of the mean image", "draws named right"],
            [
                [said[name], *(of(runs, *column) for column in columns)]
                for name, runs in sets.items()
            ],
        ),
        "forms": table(["the digits as", "accuracy"], _forms(results)),
        "unlabelled": table(
            ["data, no labels", "`--model`", "test loss, nats", "constant model", "PCA", "said"],
            [
                [run["data"].replace("_", " "), f"`{run['model']}`",
                 f"{max(run.get('test losses', [run['test loss']])):.2f}",
                 *(f"{run[name]:.2f}" for name in ("constant", "PCA")),
                 ", ".join(re.split("[:.]", note)[0] for note in run["notes"]) or "-"]
                for run in results["unlabelled"]
            ],
        ),
    }  # fmt: skip


def _forms(results: Results) -> list[list[str]]:
    """The mean accuracy over the seeds of each form of the digits."""
    names = dict.fromkeys(run["form"] for run in results["forms"])
    return [
        [name, f"{mean(r['accuracy'] for r in results['forms'] if r['form'] == name):.3f}"]
        for name in names
    ]


def defaults(results: Results) -> dict[str, str]:
    """How the defaults were chosen: one choice at a time moved away from them."""
    said = {"digits": "digits", "mnist": "MNIST"}
    columns = (("accuracy", 3), ("rmse", 3), ("judged", 3), ("worst", 2))
    rows = []
    for setting in results["settings"]:
        each = [
            f"{mean(run[name] for run in setting['runs']):.{digits}f}" for name, digits in columns
        ]
        mark = "yes" if setting["default"] else ""
        rows.append(
            [said[setting["data"]], setting["choice"], f"{setting['value']:.4g}", mark, *each]
        )
    header = ["data", "choice", "value", "default", "accuracy", "RMSE", "judged right", "worst"]
    seeds = max(len(setting["runs"]) for setting in results["settings"])
    return {"table": table(header, rows), "seeds": str(seeds)}


def topics(results: Results) -> dict[str, str]:
    """Topic models of several libraries, each at that of its settings which predicts best."""
    return {
        "machine": machine(results),
        "seeds": str(results["seeds"]),
        "news20": _topic_table(results, "news", 20),
        "news50": _topic_table(results, "news", 50),
        "pbmc": _topic_table(results, "pbmc", 10),
        **{f"{name}_alone": f"{own['unigram']:,.0f}" for name, own in results["sets"].items()},
    }


def _topic_table(results: Results, data: str, number: int) -> str:
    """A row a library; jaxvae has one setting, the others the better of two."""
    cases = [
        c for c in results["cases"] if (c["data"], c["topics"]) == (data, number) and c["runs"]
    ]
    best: dict[str, Results] = {}
    for case in sorted(cases, key=_perplexity):
        best.setdefault(case["peer"], case)
    rows = [
        [name.replace("jaxvae", "**jaxvae**"), cell(case, "perplexity", 0), cell(case, "npmi", 3),
         cell(case, "c_v", 3), cell(case, "diversity", 2),
         f"{case['stability']:.2f}" if case.get("stability") else "-",
         f"{case['runs'][0]['fit']:.0f}", _further(case)]
        for name, case in best.items()
    ]  # fmt: skip
    return table(
        [
            "",
            "perplexity",
            "NPMI",
            "C_v",
            "diversity",
            "stability",
            "first fit, CPU s",
            "further fit, CPU s",
        ],
        rows,
    )


def _perplexity(case: Results) -> float:
    return mean(run["perplexity"] for run in case["runs"])


def _further(case: Results) -> str:
    """CPU seconds of the fits after the first."""
    each = [run["fit"] for run in case["runs"][1:]]
    return f"{mean(each):.0f}" if each else "-"


def topic_scale(results: Results) -> dict[str, str]:
    """What a stream of many documents takes."""
    whole = results["passes"][-1]
    return {
        "documents": f"{whole['documents']:,}",
        "words": f"{results['data']['words']:,}",
        "peak": f"{whole['peak MB']:,.0f}",
        "minutes": f"{whole['seconds'] / 60:.0f}",
        "ratio": f"{results['turns']['ratio']:.2f}",
        "cosine": f"{whole['mean cosine']:.2f}",
    }


def topic_decoders(results: Results) -> dict[str, str]:
    """The decoders of a topic model on three kinds of data."""
    said = {"news": "articles", "pbmc": "cells", "planted": "planted by LDA"}
    rows = []
    for row in results["rows"]:
        perplexity, npmi, diversity = (mean(column) for column in zip(*row["figures"], strict=True))
        cosine = f"{mean(row['cosine']):.3f}" if "cosine" in row else "-"
        rows.append(
            [said[row["data"]], row["decoder"], f"{perplexity:.0f}", f"{npmi:.3f}",
             f"{diversity:.2f}", cosine]
        )  # fmt: skip
    header = ["documents", "decoder", "perplexity", "NPMI", "diversity", "cosine"]
    return {
        "machine": machine(results),
        "seeds": str(len(results["rows"][0]["figures"])),
        "table": table(header, rows),
    }


def topic_consensus(results: Results) -> dict[str, str]:
    """Models of one seed beside those that start at a consensus of five."""
    said = {"news": "articles", "pbmc": "cells"}
    rows = []
    for row in results["rows"]:
        perplexity, npmi, _ = (mean(column) for column in zip(*row["figures"], strict=True))
        rows.append(
            [said[row["data"]], str(row["topics"]), row["who"], f"{row['stability']:.2f}",
             f"{perplexity:.0f}", f"{npmi:.3f}"]
        )  # fmt: skip
    header = ["documents", "topics", "models", "stability", "perplexity", "NPMI"]
    return {"machine": machine(results), "table": table(header, rows)}
