"""Make kl_dirichlet.npz: KL(Dirichlet(a) || Dirichlet(b)) and its gradients with 60 digits.

Inputs are exact float32 numbers. Rows of fewer than ten components are padded with NaN; rows of a
thousand are kept apart. Run once: `python tests/data/make_kl_dirichlet.py` (about a minute).
"""

from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
RNG = np.random.default_rng(0)


def kl(a, b):
    a, b = ([mp.mpf(float(v)) for v in row] for row in (a, b))
    total_a, total_b = mp.fsum(a), mp.fsum(b)
    digamma_a = [mp.digamma(v) for v in a]
    value = mp.loggamma(total_a) - mp.loggamma(total_b)
    value += mp.fsum(mp.loggamma(q) - mp.loggamma(p) for p, q in zip(a, b, strict=True))
    digamma_total = mp.digamma(total_a)
    value += mp.fsum((p - q) * (d - digamma_total) for p, q, d in zip(a, b, digamma_a, strict=True))
    shared = (total_a - total_b) * mp.psi(1, total_a)
    grad_a = [(p - q) * mp.psi(1, p) - shared for p, q in zip(a, b, strict=True)]
    shared = digamma_total - mp.digamma(total_b)
    grad_b = [mp.digamma(q) - d + shared for q, d in zip(b, digamma_a, strict=True)]
    return float(value), np.array(grad_a, float), np.array(grad_b, float)


def decades(k, low=-6.0, high=6.0):
    return 10 ** RNG.uniform(low, high, k)


def pairs(k):
    """Every kind of hard pair with k components."""
    for _ in range(6):
        a = decades(k)
        yield a, decades(k)  # anything
        for nudge in (1e-2, 1e-4, 1e-6):
            yield a, a * (1 + nudge * RNG.standard_normal(k))  # near
        for scale in (0.5, 1.001, 30.0):
            yield a, scale * a  # proportional
        yield a, np.where(np.arange(k) == 0, np.nextafter(np.float32(a), np.inf), a)  # one ulp
        for level in (1e-6, 1e-3, 1.0, 1e3, 1e6):
            p = RNG.dirichlet(np.full(k, 5.0)) * k + 1e-3
            yield level * p, level * p * (1 + 1e-3 * RNG.standard_normal(k))
            yield np.minimum(level * p, 1e6), np.minimum(level * p[::-1], 1e6) / 2
        one = np.full(k, decades(1, -6, -1)[0])
        one[RNG.integers(k)] = decades(1, 0, 6)[0]
        yield one, one * np.where(one > 0.5, decades(1, -3, 3)[0], 1)  # one component rules


def main():
    rows = []
    for k in (2, 3, 10, 1000):
        for i, (a, b) in enumerate(pairs(k)):
            if k == 1000 and i % 11:
                continue
            a, b = (np.clip(v, 1e-6, 1e6).astype(np.float32) for v in (a, b))
            rows.append((a, b, *kl(a, b)))
    small = [row for row in rows if len(row[0]) <= 10]
    large = [row for row in rows if len(row[0]) > 10]

    def padded(i):
        return np.stack([np.pad(r[i], (0, 10 - len(r[i])), constant_values=np.nan) for r in small])

    names = ("a", "b", "kl", "grad_a", "grad_b")
    arrays = {f"small_{n}": padded(i) for i, n in enumerate(names) if n != "kl"}
    # Of the thousand components' gradients every fiftieth is kept.
    arrays |= {
        f"large_{n}": np.stack([r[i] for r in large]) for i, n in enumerate(names) if n != "kl"
    }
    arrays |= {f"large_{n}": arrays[f"large_{n}"][:, ::50] for n in ("grad_a", "grad_b")}
    arrays["small_kl"] = np.array([r[2] for r in small])
    arrays["large_kl"] = np.array([r[2] for r in large])
    np.savez_compressed(Path(__file__).parent / "kl_dirichlet.npz", **arrays)
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main()
