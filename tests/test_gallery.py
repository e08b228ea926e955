"""What a researcher tried to build on the first version: each a program of public names that runs.

The programs are the pages of the gallery in docs/gallery. A limit is on the statements between the
imports and the first call that trains, nested ones counted; loading the data is not counted.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "gallery"
PAGES = Path(__file__).parents[1] / "docs" / "gallery"
LIMITS = {
    "iwae": 4,
    "own_latent": 17,
    "counts": 6,
    "sparse_counts": 3,
    "images": 5,
    "dropout_and_batch_norm": 10,
    "warm_up": 2,
    "learned_priors": 3,
    "learned_scale": 3,
    "conditional": 4,
    "missing_labels": 7,
    "disentangling": 6,
    "amortisation_gap": 2,
    "active_units": 4,
    "own_loop": 8,
    "bfloat16": 2,
    "eight_draws": 2,
    "gradients": 3,
    "collapse": 6,
}
# These train in loops of their own, of other libraries.
LOOPS = {"plain_jax": None, "flax_nnx": "flax.nnx", "equinox_loop": "equinox"}
# What a program prints in the end.
ENDS = {
    "own_latent": "on the sphere: True",
    "dropout_and_batch_norm": "kept beside what is trained: ['decoder', 'encoder']",
    "bfloat16": "{'float32'}",
    "images": "(64, 33, 20, 3)",
    "sparse_counts": "(1000, 20)",
}
REPORT = "explained beside the mean: "
TRAINS = ("fit", "init_state")
DATA = {"load_digits", "csr_array", "default_rng"}
LARGEST = 400  # MB above the import of what it imports


def calls(node):
    return {
        getattr(call.func, "attr", None) for call in ast.walk(node) if isinstance(call, ast.Call)
    }


def statements(source):
    """The statements before the first that trains, but imports, the docstring, and data."""
    found = []

    def visit(body):
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            inside = getattr(node, "body", [])
            if not inside and calls(node) & {*TRAINS}:
                return False
            if not (calls(node) & DATA and not inside):
                found.append(node)
            if not visit(inside):
                return False
        return True

    visit(ast.parse(source).body)
    return found


def run(name, *before, **environment):
    """A program in a process of its own, as its reader would run it."""
    path = FOLDER / f"{name}.py"
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_NUM_CPU_DEVICES": "4"}
    done = subprocess.run(
        [sys.executable, *before, str(path)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **devices, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_has_a_limit_and_a_page():
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == {*LIMITS, *LOOPS}
    pages = "".join(path.read_text() for path in PAGES.glob("*.md"))
    assert {
        name for name in names if f"literalinclude}} ../../tests/gallery/{name}.py" in pages
    } == names


@pytest.mark.parametrize("name", LIMITS)
def test_a_program_is_short(name):
    assert 1 <= len(statements((FOLDER / f"{name}.py").read_text())) <= LIMITS[name]


def test_statements_are_counted():
    source = "import a\nx = 1\nfor y in x:\n    z = y\n    fit = a.fit(z)\n    w = 3\n"
    assert len(statements(source)) == 3


def after(words, printed):
    """The number in each line that starts with these words, or has them before it."""
    found = re.findall(rf"{re.escape(words)} *(-?\d+\.?\d*)", printed)
    return [float(number) for number in found]


def iwae(printed):
    """The bounds rise with the draws, to log p(x); the largest has a tenth of a nat for chance."""
    (elbo,), (exact,) = after("ELBO", printed), after("log p(x)", printed)
    bounds = [after(f"bound of {draws} draws", printed)[0] for draws in (8, 64, 512)]
    assert elbo + 1 < bounds[0] < bounds[1] < bounds[2] < exact + 0.1
    assert exact - bounds[2] < 0.3


def gradients(printed):
    """Of independent gradients the shares would be 1, and the means as far apart as by chance."""
    assert after("stl:", printed)[0] < 0.6
    assert after("dreg:", printed)[0] < 0.6
    assert min(after("cosine", printed)) > 0.95


def eight_draws(printed):
    """An eighth; its own standard error by a hundred keys is some hundredths at most."""
    assert after("of the variance of one draw:", printed)[0] == pytest.approx(1 / 8, abs=0.05)


def missing_labels(printed):
    weighed, alike = (after(f"weight {weight}: accuracy", printed)[0] for weight in (9, 1))
    assert weighed > 0.93
    assert alike < weighed


def disentangling(printed):
    category, style, one = (
        after(f"digits that the {part} tells:", printed)[0] for part in ("category", "style", "z")
    )
    assert category > 0.95
    assert one > 0.85
    assert style < 0.5


def amortisation_gap(printed):
    """A posterior of its own is better by a nat or so, and stays below log p(x)."""
    before, refined = after("ELBO after 0 steps:", printed)[0], after("300 steps:", printed)[0]
    assert before + 0.5 < refined < after("log p(x):", printed)[0]


def conditional(printed):
    assert after("draws that are the digit asked for:", printed)[0] > 0.9
    assert after("digits that z alone tells:", printed)[0] < 0.6


def learned_priors(printed):
    plain, mixture = (after(f"{name}:", printed)[0] for name in ("Normal", "posteriors"))
    assert mixture < plain


def learned_scale(printed):
    """The scale is at its optimum, the error, and its model alone uses its latent."""
    assert printed.count("z is collapsed") == 1
    assert printed.index("z is collapsed") < printed.index("fixed:")
    error = after("\nlearned: error", printed)[0]
    assert after(f"learned: error {error:.3f}, scale", printed)[0] == pytest.approx(error, rel=0.1)
    lowest, highest = re.search(r"pixel: .*scale (\S+) to (\S+)", printed).groups()
    assert float(lowest) < float(highest)


def collapse(printed):
    """With a fixed scale it collapses, and with warm-up too; what changes the goal cures it."""
    found = {}
    for report in re.split(r"\n(?=[^\n]+:\npart )", printed):
        name, _, text = report.partition(":\n")
        active, kl = re.search(r"\nz +8 +(\d+) +- +(\S+)", text).groups()
        found[name] = int(active), float(kl), "z is collapsed" in text, after(REPORT, text)[0]
    for name in ("the scale 1", "KL warm-up"):
        active, kl, said, explained = found.pop(name)
        assert (active, said) == (0, True)
        assert max(kl, explained / 100) < 0.1
    assert set(found) == {"two nats free", "KL weight 0.1", "the scale learned"}
    for active, kl, said, explained in found.values():
        assert active >= 2
        assert kl > 1
        assert not said
        assert explained > 20
    assert max(found, key=lambda name: found[name][3]) == "the scale learned"


def own_loop(printed):
    """By jit and by shard_map, to rounding."""
    by_jit, by_shard_map = after("loss", printed)
    assert abs(by_jit - by_shard_map) < 0.01


def warm_up(printed):
    assert printed.strip().splitlines()[-1].startswith("[0.11, ")
    assert printed.strip().endswith(" 1.0]")


def loop(printed):
    """Of each program in a loop of another library."""
    first, last = after("step 0:", printed)[0], after("step 799:", printed)[0]
    assert last < first / 3
    assert after(REPORT, printed)[0] > 40
    categories, active, in_use = re.search(r"\nz +(\d+) +(\d+) +(\d+)", printed).groups()
    assert min(int(active), int(in_use)) > int(categories) // 2


CHECKS = (
    iwae, gradients, eight_draws, missing_labels, disentangling, amortisation_gap, conditional,
    learned_priors, learned_scale, collapse, own_loop, warm_up,
)  # fmt: skip
OF = {check.__name__: check for check in CHECKS} | dict.fromkeys(LOOPS, loop)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in (*LIMITS, *LOOPS) if name != "sparse_counts"])
def test_a_program_runs(name):
    if needed := LOOPS.get(name):
        pytest.importorskip(needed)
    printed = run(name)
    lines = printed.strip().splitlines()
    assert ENDS.get(name, lines[-1]) == lines[-1]
    assert (REPORT in printed) == (name != "own_loop")  # eight steps, which teach nothing
    if name in ("collapse", "learned_scale"):
        assert "is collapsed" in printed
    elif name != "missing_labels":  # there the weight of 1 may collapse the category
        assert "is collapsed" not in printed
        assert "no better than" not in printed
    OF.get(name, bool)(printed)


MEMORY = """
import re, runpy, sys
import jaxvae, jax, scipy.sparse
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
jax.numpy.zeros(1).block_until_ready()
before = peak()
runpy.run_path(sys.argv[1], run_name="__main__")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_sparse_counts_stay_small():
    *_, shape, peak = run("sparse_counts", "-c", MEMORY, XLA_FLAGS="").strip().splitlines()
    assert shape == ENDS["sparse_counts"]
    assert float(peak) < LARGEST
