"""The keys of all that needs randomness, from one seed: the original had none to hand on."""

import secrets

import jax

from jaxvae.numerics import checks


def set_seed(seed: int) -> None:
    """Make what follows repeatable: weights, order and noise.

    The n-th thing that needs randomness afterwards (an encoder's weights, a decoder's, a call of
    `fit`, `loss_op` or `train_op`; n from 0) gets the key `fold_in(jax.random.key(seed), n)`.
    Without a call of this function every process has a seed of its own.

    Args:
      seed: an integer of at least 0.

    Raises:
      TypeError, ValueError: if the seed is none.

    Example:
      >>> from jaxvae.compat import dense_encoder_decoder
      >>> def encoded():
      ...     set_seed(0)
      ...     encoder, _ = dense_encoder_decoder(64, 2, 4, 128, "relu")
      ...     return encoder(np.ones((5, 64)))[0]
      >>> bool((encoded() == encoded()).all())
      True
    """
    global _seed, _drawn
    _seed, _drawn = checks.positive_int("seed", seed, minimum=0), 0


_seed: int | None = None
_drawn = 0


def next_key() -> jax.Array:
    """The key of the next thing that needs randomness.

    Returns:
      One typed key, another at each call.
    """
    global _seed, _drawn
    if _seed is None:
        _seed = secrets.randbits(32)
    _drawn += 1
    return jax.random.fold_in(jax.random.key(_seed), _drawn - 1)
