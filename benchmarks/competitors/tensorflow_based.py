"""TensorFlow: the original as shipped, and the same model at TensorFlow's best.

"original" is `tf_original.py`: `fit` with its `tf.data` pipeline, its compiled step, and a print a
step. "graph" makes the whole epoch one `tf.function`, the data a tensor, no print; "xla" compiles
its step with XLA besides.
"""

import numpy as np
import tensorflow as tf
import tf_original

from competitors import EPSILON, LEARNING_RATE, PRIOR_VARIANCE, SMOOTHNESS, stepwise


def build(case, *, healthy_head=False):
    shape = {"layers": case.layers, "hidden_units": case.hidden_units, "activation": tf.nn.relu}
    if case.latent == "normal":
        coders = tf_original.dense_encoder_decoder(784, case.latent_dim, **shape)
        return tf_original.VAE(*coders, C=PRIOR_VARIANCE)
    encoder, decoder = tf_original.dense_encoder_decoder_dirichlet(784, case.latent_dim, **shape)
    if healthy_head:  # the head that jaxvae has: the original's ReLU loses half of all seeds
        encoder.heads[0].activation = tf.nn.softplus
    return tf_original.DIRICHLET_VAE(
        encoder, decoder, smoothness=SMOOTHNESS, categories=case.latent_dim
    )


def prepare(variant, case, x, y, seed):
    tf.keras.utils.set_random_seed(seed)  # the initial weights too
    if variant == "original":
        return stepwise.epochs_of_original(build(case), case, x, y)

    vae, size = build(case, healthy_head=True), case.batch_size
    arrays = (tf.constant(x),) if case.latent == "normal" else (tf.constant(x), tf.constant(y))
    vae.loss_op(*(array[:1] for array in arrays))  # makes the variables
    variables = [*vae.encoder.trainable_variables, *vae.decoder.trainable_variables]
    adam = tf.keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON, jit_compile=False)
    adam.build(variables)

    @tf.function(jit_compile=variant == "xla")
    def step(*batch):
        with tf.GradientTape() as tape:
            loss = vae.loss_op(*batch)
        gradients = tape.gradient(loss, variables)
        adam.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    steps, rest = divmod(len(x), size)

    @tf.function
    def train_epoch():
        order = tf.random.shuffle(tf.range(len(x)))
        whole = tf.reshape(order[: steps * size], (steps, size))
        total = tf.zeros(())
        for i in tf.range(steps):
            total += size * step(*(tf.gather(array, whole[i]) for array in arrays))
        if rest:
            last = tf.reshape(order[steps * size :], (rest,))
            total += rest * step(*(tf.gather(array, last) for array in arrays))
        return total / len(x)

    return lambda: float(train_epoch())


def functions(variant, case, batch_size):
    vae = build(case)
    x = tf.constant(np.random.default_rng(0).random((batch_size, 784), np.float32))
    z = tf.fill((batch_size, case.latent_dim), np.float32(1 / case.latent_dim))
    calls = {  # as the original's users call them: eagerly
        "encode": lambda: vae.map_to_latent(x),
        "decode": lambda: vae.map_from_latent(z),
    }
    if case.latent == "dirichlet":
        dirichlet = tf_original.tfd.Dirichlet
        calls["draw given x"] = lambda: dirichlet(vae.encoder(x) + vae.alpha_smoothing).sample()
    return calls
