"""What was measured of latents on the simplex, for the pages: see `figures.py`."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from markers import table
from measured_speed import Results, machine

# In the order of the tables.
TITLES = {
    "beta": "**Dirichlet**, `beta`",
    "gamma": "**Dirichlet**, `gamma`",
    "guarded": "Dirichlet, TFP's draw, guarded",
    "normal": "logistic Normal, standard prior",
    "laplace": "logistic Normal, Laplace prior",
    "sticks": "stick breaking",
    "concrete": "concrete",
}
SETS = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "news": "articles", "pbmc": "cells"}
TOLD, USED = 0.5, 0.5  # as in `benchmarks/simplex_report.py`
Key = tuple[str, int, str]


def simplex(results: Results) -> dict[str, str]:
    """An exact Dirichlet latent beside those that stand in for it."""
    settings = results["settings"]
    usual = [
        case
        for case in results["cases"]
        if case["concentration"] == settings["concentration"] and not case["normed"]
    ]
    known = {(case["data"], case["dims"], case["latent"]): case for case in usual}
    places = sorted({key[:2] for key in known}, key=lambda key: (list(SETS).index(key[0]), key[1]))
    full = [key for key in places if (*key, "beta") in known]
    made = {
        "machine": machine(results).replace("1 cores", "one core"),
        "seeds": str(max(len(case["runs"]) for case in usual)),
        "concentration": f"{settings['concentration']:g}",
        "difference": _differences(known, full),
        "gradients": _gradients(known, full),
        "failed": _failed(known, places, results),
        "normed": _others(results, known, lambda case: case["normed"]),
        "uniform": _others(
            results, known, lambda case: case["concentration"] != settings["concentration"]
        ),
    }
    for name in SETS:
        rows = [
            _row(known[name, width, latent])
            for of, width in places
            if of == name
            for latent in TITLES
            if (name, width, latent) in known
        ]
        made[name] = table(
            ["K", "latent", "NLL", "KL", "reconstruction", "5-NN error", "in use", "collapse",
             "gradient noise", "epoch, CPU s"],
            rows,
        )  # fmt: skip
        made[f"{name}_facts"] = _facts(results["sets"][name]) if name in results["sets"] else "-"
    return made | _ratios(known, full)


def _noise(gradient: Results) -> float | None:
    """The trace of the covariance over the square of the mean."""
    trace, square = gradient["trace"], gradient["mean"]
    return None if trace is None or square is None or square <= 0 else trace / square


def _each(case: Results, name: str) -> list[float]:
    """A figure of each run that has one."""
    found = [_noise(r["gradient"]) if name == "noise" else r.get(name) for r in case["runs"]]
    return [value for value in found if value is not None]


def _cell(case: Results, name: str, digits: int) -> str:
    each = _each(case, name)
    return f"{mean(each):.{digits}f}" if each else "-"


def _collapse(case: Results) -> str:
    if mean(_each(case, "kl")) < TOLD:
        return "posterior"
    return "components" if mean(_each(case, "in use")) < USED * case["dims"] else "-"


def _row(case: Results) -> list[str]:
    nll = _each(case, "nll")
    spread = f" ± {stdev(nll):.1f}" if len(nll) > 1 else ""
    columns = (("kl", 1), ("reconstruction", 1), ("error", 3), ("in use", 1))
    return [
        str(case["dims"]), TITLES[case["latent"]], f"{mean(nll):.1f}{spread}",
        *(_cell(case, *column) for column in columns), _collapse(case),
        _cell(case, "noise", 2), _cell(case, "epoch", 3),
    ]  # fmt: skip


def _facts(facts: Results) -> str:
    return (
        f"{facts['train']:,} examples of {facts['values']:,} values, {facts['epochs']} epochs; "
        f"{facts['test']:,} test examples, {facts['nll']:,} of them for the NLL"
    )


def _differences(known: Mapping[Key, Results], places: Sequence[tuple[str, int]]) -> str:
    """By latent and place the NLL beside the Dirichlet's, paired by seed; the best is bold."""
    columns = []
    for place in places:
        of = {run["seed"]: run["nll"] for run in known[*place, "beta"]["runs"]}
        pairs = {
            name: [
                run["nll"] - of[run["seed"]]
                for run in known[*place, name]["runs"]
                if run["seed"] in of
            ]
            for name in TITLES
            if (*place, name) in known
        }
        best = min(pairs, key=lambda name: mean(pairs[name]))
        columns.append(
            {name: _signed(each, name == "beta", name == best) for name, each in pairs.items()}
        )
    rows = [
        [title, *(column.get(name, "-") for column in columns)] for name, title in TITLES.items()
    ]
    return table(["NLL - that of the Dirichlet", *(f"{SETS[n]}, {k}" for n, k in places)], rows)


def _signed(each: Sequence[float], base: bool, best: bool) -> str:
    if base:
        return "**0**" if best else "0"
    error = f" ± {stdev(each) / len(each) ** 0.5:.1f}" if len(each) > 1 else ""
    text = f"{mean(each):+.1f}{error}"
    return f"**{text}**" if best else text


def _gradients(known: Mapping[Key, Results], places: Sequence[tuple[str, int]]) -> str:
    """The noise of the three draws' gradients, all at one model's parameters."""
    rows = []
    for place in places:
        runs = [r["gradients here"] for r in known[*place, "beta"]["runs"] if "gradients here" in r]
        cells = []
        for other in ("beta", "gamma", "guarded"):
            each = [value for run in runs if (value := _noise(run[other])) is not None]
            cells.append(f"{mean(each):.3f}" if each else "-")
        rows.append([SETS[place[0]], str(place[1]), *cells])
    return table(["data", "K", "`beta`", "`gamma`", "TFP, guarded"], rows)


def _failed(
    known: Mapping[Key, Results], places: Sequence[tuple[str, int]], results: Results
) -> str:
    """The share of steps that TFP's draw, as it is, loses."""
    rows = []
    for name, width in places:
        if (case := known.get((name, width, "tfp"))) is None:
            continue
        facts = results["sets"][name]
        steps = facts["epochs"] * -(-facts["train"] // results["settings"]["batch"])
        lost = mean(_each(case, "skipped")) / steps
        rows.append([SETS[name], str(width), f"{lost:.1%}", _cell(case, "nll", 1),
                     _cell(known[name, width, "beta"], "nll", 1)])  # fmt: skip
    header = ["data", "K", "steps that were not finite", "NLL", "the Dirichlet's, `beta`"]
    return table(header, rows)


def _others(results: Results, known: Mapping[Key, Results], chosen: object) -> str:
    """Cases of another setting beside those of the usual one."""
    assert callable(chosen)
    rows = []
    for name in SETS:
        for latent, title in TITLES.items():
            for case in results["cases"]:
                usual = known.get((name, case["dims"], latent))
                if case["data"] != name or case["latent"] != latent or not chosen(case):
                    continue
                if usual is None:  # nothing to lay it beside
                    continue
                columns = (("nll", 1), ("kl", 1), ("in use", 1), ("error", 3))
                pair = [f"{_cell(usual, *c)}, {_cell(case, *c)}" for c in columns]
                pair = [cell.replace("-, -", "-") for cell in pair]
                rows.append([SETS[name], str(case["dims"]), title, *pair])
    return table(["data", "K", "latent", "NLL", "KL", "in use", "5-NN error"], rows)


def _ratios(known: Mapping[Key, Results], places: Sequence[tuple[str, int]]) -> dict[str, str]:
    """An epoch of each latent in epochs of the Dirichlet, the mean over sets and widths."""
    made = {}
    for name in TITLES:
        each = [
            mean(_each(known[*place, name], "epoch")) / mean(_each(known[*place, "beta"], "epoch"))
            for place in places
            if (*place, name) in known
        ]
        made[f"epoch_{name}"] = f"{mean(each):.2f}" if each else "-"
    return made
