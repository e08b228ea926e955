"""What was measured of speed, as numbers and tables for the pages: see `figures.py`."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from markers import table

Results = Mapping[str, Any]
MNIST = 60_000  # images of an epoch


def machine(results: Results) -> str:
    """Where something was measured, in words."""
    own = results["machine"]
    name = own["processor"].replace("(R)", "").replace(" Processor", "")
    return f"{own['cores']} cores ({name}), JAX {own['jax']}"


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median over rounds of the ratio of two that took turns."""
    return median(value / other for value, other in zip(values, others, strict=True))


def compare(results: Results) -> dict[str, str]:
    """Seconds of an epoch of MNIST at batch 64, each framework in turn."""
    cases = {
        case["case"]["latent"]: case
        for case in results["cases"]
        if case["case"]["batch_size"] == 64
    }
    who = {
        "floor, SGD": "the floor",
        "jaxvae": "jaxvae",
        "jaxvae, a device a core": "jaxvae, a virtual device a core",
        "jaxvae.compat": "jaxvae.compat",
        "TensorFlow, the original": "TensorFlow, the original",
        "TensorFlow, epoch as a graph": "TensorFlow, an epoch as one graph",
        "TensorFlow, the same with XLA": "TensorFlow, the same with XLA",
        "PyTorch, eager": "PyTorch, eager",
        "PyTorch, torch.compile": "PyTorch, torch.compile",
        "NumPyro SVI": "NumPyro SVI (Normal: the ELBO)",
        "Pythae": "Pythae (the ELBO)",
    }
    short = ("jaxvae", "PyTorch, eager", "PyTorch, torch.compile", "TensorFlow, the original")

    def found(latent: str, name: str) -> str | None:
        """What it is called there: its name, or its name with what it trains."""
        known = cases[latent]["seconds"]
        return next((each for each in (name, f"{name}, ELBO") if each in known), None)

    def seconds(latent: str, name: str) -> str:
        if (own := found(latent, name)) is None:
            return "-"
        case = cases[latent]
        return f"{median(case['seconds'][own]) * MNIST / case['rows']:.2f}"

    def times(latent: str, name: str, of: str = "jaxvae") -> str:
        if (own := found(latent, name)) is None:
            return "-"
        # Who trains the ELBO is held against jaxvae with the ELBO.
        other = f"{of}, ELBO" if own.endswith(", ELBO") else of
        return f"{ratio(cases[latent]['seconds'][own], cases[latent]['seconds'][other]):.2f}"

    return {
        "machine": machine(results),
        "epoch": table(
            ["one epoch of MNIST, batch 64", "Dirichlet, seconds", "Normal, seconds"],
            [[who[name], seconds("dirichlet", name), seconds("normal", name)] for name in short],
        ),
        "all": table(
            ["batch 64", "Dirichlet, seconds", "times jaxvae", "Normal, seconds", "times jaxvae"],
            [
                [text, *(of(latent, name) for latent in cases for of in (seconds, times))]
                for name, text in who.items()
            ],
        ),
        "seconds": seconds("dirichlet", "jaxvae"),
        "floor": times("dirichlet", "jaxvae", "floor, SGD"),
        "device_a_core": times("dirichlet", "jaxvae, a device a core"),
    }


def first_epoch(results: Results) -> dict[str, str]:
    """From the command to a first epoch of MNIST done."""
    who = {
        "jaxvae train, another": "`jaxvae train`, its programs kept from a start before",
        "jaxvae train, the first ever": "the same, the very first time",
        "jaxvae": "a script that calls `fit`, nothing kept",
        "PyTorch, eager": "PyTorch, eager",
        "PyTorch, torch.compile": "PyTorch, torch.compile, its programs kept",
        "TensorFlow, the original": "TensorFlow, the original",
        "NumPyro SVI": "NumPyro SVI",
    }
    seconds = {name: f"{median(results['first_epoch'][name]):.1f}" for name in who}
    memory = {name: f"{median(each):,.0f}" for name, each in results["memory_mib"].items()}
    imports = results["imports"]
    return {
        "starts": table(
            ["from the command to a first epoch", "seconds", "MiB"],
            [[text, seconds[name], memory.get(name, "-")] for name, text in who.items()],
        ),
        "train": seconds["jaxvae train, another"],
        "train_ever": seconds["jaxvae train, the first ever"],
        "import": f"{ratio(imports['jaxvae'], imports['what it is made of']):.2f}",
    }


def calls(results: Results) -> dict[str, str]:
    """Microseconds of a call for one example: encode, decode and a draw given x."""
    who = {
        "jaxvae": "jaxvae",
        "jaxvae, at once": "jaxvae, made at once",
        "PyTorch, eager": "PyTorch, eager",
    }
    return {
        "table": table(
            ["microseconds a call, one example", *who.values()],
            [
                [own["function"]] + [f"{1e6 * median(own['seconds'][name]):,.0f}" for name in who]
                for own in results["calls"]
                if own["batch_size"] == 1
            ],
        ),
    }


def memory(results: Results) -> dict[str, str]:
    """What a run holds at most, in MiB, by stages."""
    held = {
        name: {stage: median(values) for stage, values in own.items()}
        for name, own in results["mib"].items()
    }
    rows = [[name, *(f"{each:,.0f}" for each in own.values())] for name, own in held.items()]
    ours, eager = held["jaxvae"], held["PyTorch, eager"]
    return {
        "ours": f"{ours['epoch']:,.0f}",
        "eager": f"{eager['epoch']:,.0f}",
        "times": f"{ours['epoch'] / eager['epoch']:.2f}",
        "times_bytes": f"{held['jaxvae, bytes']['epoch'] / eager['epoch']:.2f}",
        "table": table(["MiB at most, after", "the imports", "the data", "a first epoch"], rows),
    }


def growth(results: Results) -> dict[str, str]:
    """How a step's time grows, as a multiple of the floor's."""
    times = {
        (what, int(size)): ratio(own["jaxvae"], own["floor"])
        for what, points in results["microseconds"].items()
        for size, own in points.items()
        if "floor" in own
    }
    usual = [
        times
        for (what, size), times in times.items()
        if what == "batch_size" or (what == "hidden_units" and 128 <= size <= 1024)
    ]
    return {
        "least": f"{min(usual):.1f}",
        "most": f"{max(usual):.1f}",
        "narrow": f"{times['hidden_units', 64]:.1f}",
        "wide": f"{times['hidden_units', 2048]:.1f}",
        "many": f"{times['latent_dim', 512]:.1f}",
    }


def safety(results: Results) -> dict[str, str]:
    """What the guard against numbers that are not finite costs, in percent of an epoch."""
    guards = [own for what, own in results["measured"].items() if what.startswith("guard")]
    hidden = [100 * (own["fit, an optimizer that hides"]["ratio"] - 1) for own in guards]
    return {
        "guard": f"{max(100 * (own['fit']['ratio'] - 1) for own in guards):.0f}",
        "each_step": f"{max(hidden):.0f}",
    }


def scaling(results: Results) -> dict[str, str]:
    """What keys, streams, seeds and virtual devices cost, as a multiple of the plain case."""
    measured = results["measured"]
    shapes = "width 128", "width 32", "width 1024, batch 512"
    rows = [
        ("a key for each example's noise", "one key for the batch", "noise", "a key an example"),
        ("a stream, the call of `fit`", "arrays in memory", "stream", "stream"),
        *(
            (f"eight seeds, {data}", "eight runs", f"seeds, {data}", "at once")
            for data in ("digits, compiled anew", *shapes)
        ),
        *(
            (f"eight seeds, {shape}, {how}", "eight runs", f"seeds, {shape}", case)
            for how, case in (
                ("by `vmap`", "by vmap"),
                ("by `vmap` on two virtual devices", "by vmap, two devices"),
            )
            for shape in shapes
        ),
        *(
            (f"a step over {count} virtual devices", "a step over one", "virtual devices",
             f"pmap over {count}")
            for count in (2, 4, 8)
        ),
    ]  # fmt: skip
    memory = measured["peak_memory_mib"]
    return {
        "machine": machine(results),
        "table": table(
            ["what", "against", "times its time"],
            [[what, other, f"{measured[of][case]['ratio']:.2f}"] for what, other, of, case in rows],
        ),
        "memory_once": str(memory["1"]),
        "memory_twenty": str(memory["20"]),
    }


def sharding(results: Results) -> dict[str, str]:
    """What a device holds and a step sends, in MiB, by what is split."""

    def mib(size: float) -> str:
        return f"{size / 2**20:.1f}"

    def sent(own: dict[str, Any]) -> str:
        return ", ".join(
            f"{kind} {mib(size)}" + (f" in {number}" if number > 1 else "")
            for kind, (number, size) in own["sent"].items()
        )

    header = ["what", "examples", "state", "temporary", "a step's messages bring"]
    rows = [
        [name, mib(own["data"]), mib(own["state"]), mib(own["temporary"]), sent(own)]
        for name, own in results["measured"].items()
    ]
    return {"batch": str(results["batch"]), "table": table(header, rows)}
