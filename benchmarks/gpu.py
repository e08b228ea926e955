"""jaxvae on a GPU: is it right there, and how near is a training step to what the GPU allows?

First the sampler is checked on the device; a failure ends the run. Then epochs of 60,000 random
images of MNIST's shape, batch 64 to 8,192, in alternation: jaxvae at the matmul precisions that JAX
has, the floor (the matrix products and SGD alone, one scan), and PyTorch, eager and compiled with
CUDA graphs, where it is installed. Each time stands beside three limits measured in the same run:

- launches: the floor's program on arrays so small that only its launches take time;
- memory: the bytes a step has to move, by the bandwidth of a large copy;
- arithmetic: the operations of the matrix products, by the rate of a large float32 product.

Then the parts of the library that this workload has not; `gpu_parts.py` has them.

    python benchmarks/gpu.py                  # 9 minutes at most; writes results/gpu_<device>.json
    python benchmarks/gpu.py --tiny --out F   # a minute, on anything, a CPU too: does it run?

It needs this repository, JAX with CUDA and the library's dependencies; no data.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch is on the same device
sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository need not be installed

import gpu_parts
import jax
import jax.numpy as jnp
import numpy as np
import report
import timing
from competitors import FLOOR, Case, find, floor, jax_based
from scipy import special

import jaxvae

try:
    import torch
    from competitors import torch_based
except ImportError:
    torch = None

BATCH_SIZES = (64, 256, 1024, 4096, 8192)
# What jax.default_matmul_precision takes: float32 throughout, TF32, and bfloat16 with float32 sums.
PRECISIONS = {"float32": "F32_F32_F32", "TF32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
REFERENCE = Path(__file__).parents[1] / "tests" / "data" / "log_gamma_grad.npz"
DECADES = tuple(range(-6, 7))
FALSE_ALARM = 1e-9  # of the band around each distribution function


def check_finite(rows):
    """Rows of draws or gradients that are not finite, over concentrations 1e-6 ... 1e6."""

    @jax.jit
    def bad(key, concentration):
        weights = jnp.linspace(-1, 1, 10)[None]
        draw = lambda c: jnp.sum(jaxvae.sample_dirichlet(key, c) * weights)  # noqa: E731
        draws = jaxvae.sample_dirichlet(key, concentration)
        finite = jnp.isfinite(draws) & jnp.isfinite(jax.grad(draw)(concentration))
        return jnp.sum(~finite.all(axis=-1))

    key = jax.random.key(0)
    return {e: int(bad(key, jnp.full((rows, 10), 10.0**e))) for e in DECADES}


def check_law(draws):
    """Largest distance of log-gamma draws' distribution function from the exact one, by decade."""
    distances = {}
    for e in range(-4, 5):
        a = 10.0**e
        log_x = jaxvae.sample_log_gamma(jax.random.key(e + 10), jnp.full(draws, a, jnp.float32))
        log_x = np.sort(np.asarray(log_x, np.float64))
        a = np.float64(np.float32(a))
        small = np.exp(np.minimum(a * log_x - special.gammaln(a + 1), 0))
        exact = np.where(log_x < -30, small, special.gammainc(a, np.exp(np.maximum(log_x, -30))))
        steps = np.arange(draws + 1) / draws
        distances[e] = float(max(np.max(exact - steps[:-1]), np.max(steps[1:] - exact)))
    return distances


def check_gradient():
    """Largest relative error of d log x / d concentration against mpmath."""
    with np.load(REFERENCE) as file:
        alpha, log_x, exact = file["alpha"], file["log_x"], file["dlogx_dalpha"]
    got = np.asarray(jaxvae.log_gamma_grad(np.float32(alpha), np.float32(log_x)), np.float64)
    return float(np.max(abs(got - exact) / abs(exact)))


def checks(draws):
    """What was found, and whether it is right."""
    band = float(np.sqrt(np.log(2 / FALSE_ALARM) / (2 * draws)))
    not_finite, law, error = check_finite(draws // 10), check_law(draws), check_gradient()
    right = not any(not_finite.values()) and max(law.values()) < band and error < 1e-5
    found = {"rows_not_finite": not_finite, "law": law, "law_band": band, "gradient_error": error}
    return found | {"draws": draws, "right": bool(right)}


def rate(call, work, rounds=5):
    """The most work a second that a compiled call reaches."""
    seconds = timing.alternate({"call": lambda: jax.block_until_ready(call())}, rounds)["call"]
    return work / min(seconds)


def limits_of_device(tiny):
    """Bytes and operations a second, measured."""
    n, side = (1 << 20, 256) if tiny else (1 << 28, 8192)
    large, square = jnp.ones(n), jnp.ones((side, side))
    copy, multiply = jax.jit(lambda x: x + 1), jax.jit(lambda x: x @ x)
    with jax.default_matmul_precision("F32_F32_F32"):
        operations = rate(lambda: multiply(square), 2 * side**3)
    return {"bytes_a_second": rate(lambda: copy(large), 8 * n), "operations_a_second": operations}


def bytes_of_step(case):
    """Bytes that a step has to move if nothing stays in a cache.

    The batch is read once. Each kernel is read forward and backward, its gradient written and read,
    and it and Adam's two moments are read and written. Activations are left out.
    """
    shapes = jax.eval_shape(lambda key: floor.kernels(case, key), floor.KEY)
    return 4 * (784 * case.batch_size + 10 * sum(k.size for k in shapes.values()))


def launch_timer(case, steps):
    """A timer of the floor's steps on arrays too small to take time, batch and width 8."""
    small = case._replace(batch_size=8, hidden_units=8)
    x = np.ones((steps * 8, 784), np.float32)
    return floor.prepare(find(FLOOR).variant, small, x, None, 0)


def competitors_of(case, x, y):
    """Calls of an epoch, by name, or why there is none."""
    calls = {
        "launches": launch_timer(case, -(-len(x) // case.batch_size)),
        "floor": floor.prepare(find(FLOOR).variant, case, x, y, 0),
    }

    def under(precision, call):
        def epoch():
            with jax.default_matmul_precision(precision):
                return call()

        return epoch

    for name, precision in PRECISIONS.items():
        calls[f"jaxvae, {name}"] = under(precision, jax_based.prepare("core", case, x, y, 0))
    device = "cpu" if jax.devices()[0].platform == "cpu" else "cuda"
    if torch is not None and (device == "cpu" or torch.cuda.is_available()):
        for name, variant in {"eager": "eager", "CUDA graphs": "reduce-overhead"}.items():
            calls[f"PyTorch, {name}"] = torch_based.prepare(variant, case, x, y, 0, device=device)
    return calls


def measure(case, x, y, rounds):
    """Seconds of each competitor's epochs, in alternation, and why some could not run."""
    timers, missing = {}, {}
    for name, call in competitors_of(case, x, y).items():
        try:
            call()  # compiles
        except Exception as error:  # a precision that this device lacks, a compiler that fails
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"
        else:
            timers[name] = timing.stopwatch(call)
    return timing.in_turns(timers, rounds), missing


def rows_of_table(case, seconds, images, device):
    """A line of the table for each who was timed."""
    steps, median = -(-images // case.batch_size), {n: np.median(s) for n, s in seconds.items()}
    limits = {
        "launches": median["launches"],
        "memory": steps * bytes_of_step(case) / device["bytes_a_second"],
        "arithmetic": steps * floor.flops(case) / device["operations_a_second"],
    }
    binding = max(limits, key=limits.get)
    return [
        [
            case.latent,
            case.batch_size,
            name,
            f"{images / value:,.0f}",
            f"{1e6 * value / steps:.1f}",
            f"{timing.ratio(seconds[name], seconds['floor']):.2f}",
            *(f"{limit / value:.1%}" for limit in limits.values()),
            binding,
        ]
        for name, value in median.items()
        if name != "launches"
    ]


def text_of(results):
    """To read: the README's workload, and the parts that it has not."""
    lines = [
        line
        for each in results["measured"]
        for line in rows_of_table(
            Case(**each["case"]), each["seconds"], results["images"], results["limits"]
        )
    ]
    blocks = [report.markdown(HEADER, lines)]
    parts = [row for part in results["parts"].items() for row in gpu_parts.rows_of_table(*part)]
    if parts:
        blocks.append(report.markdown(gpu_parts.HEADER, parts))
    return "\n\n".join(blocks)


HEADER = ["latent", "batch", "who", "images / s", "µs a step", "x floor"]
HEADER += ["launch limit", "memory limit", "arithmetic limit", "the highest"]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="few images, small batches, no GPU")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--seconds", type=float, default=400, help="begin no case after so many")
    options = parser.parse_args(argv)
    started, device = time.perf_counter(), jax.devices()[0]
    if device.platform == "cpu" and not options.tiny:
        raise SystemExit("JAX sees no GPU; --tiny runs on a CPU")
    if options.out or options.tiny:
        report.RESULTS = options.out or Path(tempfile.mkdtemp())
    images, sizes, draws, rounds = 60_000, BATCH_SIZES, 1_000_000, 5
    if options.tiny:
        images, sizes, draws, rounds = 192, (64, 128), 20_000, 2
    found = checks(draws)
    print(found, flush=True)
    if not found["right"]:
        return 1

    rng = np.random.default_rng(0)
    x = rng.random((images, 784), np.float32)
    y = rng.integers(0, 10, images, np.int32)
    size = gpu_parts.TINY if options.tiny else gpu_parts.Size()
    limits, measured, parts, skipped = limits_of_device(options.tiny), [], {}, []
    name = "gpu_" + re.sub(r"\W+", "_", device.device_kind.lower())

    def of_case(case):
        seconds, missing = measure(case, x, y, rounds)
        measured.append({"case": case._asdict(), "seconds": seconds, "missing": missing})

    def of_part(part, prepare):
        parts[part] = gpu_parts.measure(prepare, size, rounds)

    # Every batch size of the Dirichlet model first, then the parts, and the ends of the Normal one.
    turns = [(f"batch {b}", of_case, (Case("dirichlet", 10, b),)) for b in sizes]
    turns += [(part, of_part, (part, call)) for part, call in gpu_parts.parts_of(size).items()]
    turns += [
        (f"Normal, batch {b}", of_case, (Case("normal", 2, b),)) for b in sizes[:: len(sizes) - 1]
    ]
    for what, run, arguments in turns:
        if time.perf_counter() - started > options.seconds:
            skipped.append(what)
            continue
        run(*arguments)
        results = {"images": images, "checks": found, "limits": limits, "measured": measured}
        results |= {"parts": parts, "skipped": skipped, "seconds": time.perf_counter() - started}
        report.write(name, results, text_of(results), ("torch", "jaxlib"))
    if skipped:
        print(f"out of time, not run: {', '.join(skipped)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
