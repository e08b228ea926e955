"""Pythae's VAE and IWAE, for `papers.py`: a process of its own, in the interpreter that has it.

A run is asked for by a JSON file of its setting beside `x.npy` and `x_test.npy`; what it measured
comes back in a file.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# 784-200-200-50 tanh, as Burda et al.; the NLL of few images, because Pythae takes them one by one.
SETTING = {
    "hidden": 200, "latent_dim": 50, "batch_size": 100, "rate": 1e-3, "images": 128, "draws": 5000,
}  # fmt: skip


class MissingError(RuntimeError):
    """The interpreter has no Pythae."""


def ask(python, task, x, x_test):
    """Run `task` with an interpreter: what `work` says."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in {"x": x, "x_test": x_test}.items():
            np.save(Path(folder, f"{name}.npy"), array)
        Path(folder, "task.json").write_text(json.dumps(task))
        done = subprocess.run(
            [python, __file__, folder], capture_output=True, text=True,
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            print(f"Pythae is left out: {lines[-1]}", flush=True)
            raise MissingError(lines[-1])
        return json.loads(Path(folder, "done.json").read_text())


def model_of(task):
    """Pythae's model of that size: log-variances from a linear head, probabilities of pixels."""
    from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import nn

    hidden, latent_dim = task["hidden"], task["latent_dim"]

    def dense(inputs, outputs):
        layer = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def trunk(inputs):
        return [dense(inputs, hidden), nn.Tanh(), dense(hidden, hidden), nn.Tanh()]

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(*trunk(784))
            self.loc, self.log_variance = (dense(hidden, latent_dim) for _ in range(2))

        def forward(self, x):
            h = self.trunk(x)
            return ModelOutput(embedding=self.loc(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(*trunk(latent_dim), dense(hidden, 784), nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z))

    sizes = {"input_dim": (784,), "latent_dim": latent_dim, "reconstruction_loss": "bce"}
    if task["k"] == 1:
        return VAE(VAEConfig(**sizes), encoder=Encoder(), decoder=Decoder())
    config = IWAEConfig(number_samples=task["k"], **sizes)
    return IWAE(config, encoder=Encoder(), decoder=Decoder())


def nll(model, x, draws):
    """-log p(x) of each image by importance weights: `get_nll`'s formula, for many at once."""
    import torch

    with torch.no_grad():
        found = []
        for rows in torch.split(x, 200):
            out = model.encoder(rows)
            mean, log_variance = out.embedding, out.log_covariance
            weights = []
            for _ in range(draws):
                z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
                p = model.decoder(z)["reconstruction"]
                own = -torch.nn.functional.binary_cross_entropy(p, rows, reduction="none").sum(1)
                log_q = -0.5 * (log_variance + (z - mean) ** 2 / log_variance.exp()).sum(1)
                weights.append(own - 0.5 * (z**2).sum(1) - log_q)
            found.append(np.log(draws) - torch.logsumexp(torch.stack(weights), 0))
    return float(torch.cat(found).mean())


def work(folder):
    """Train, and estimate the NLL: of all test images by 100 draws, and by Pythae's `get_nll`."""
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    task = json.loads(Path(folder, "task.json").read_text())
    x, x_test = (torch.from_numpy(np.load(Path(folder, f"{n}.npy"))) for n in ("x", "x_test"))
    torch.manual_seed(task["seed"])
    model = model_of(task)
    config = BaseTrainerConfig(
        output_dir=str(Path(folder, "pythae")), num_epochs=task["epochs"], seed=task["seed"],
        per_device_train_batch_size=task["batch_size"], learning_rate=task["rate"],
        optimizer_cls="Adam", no_cuda=True,
    )  # fmt: skip
    data = BaseDataset(x, torch.zeros(len(x), dtype=torch.int64))
    trainer = BaseTrainer(model, train_dataset=data, training_config=config)
    started = time.perf_counter()
    trainer.prepare_training()
    for epoch in range(task["epochs"]):
        trainer.train_step(epoch + 1)
    done = {"seconds": time.perf_counter() - started}
    model.eval()
    own = x_test[: task["images"]]
    speeds = {}
    with torch.no_grad():
        for size in (100, task["draws"]):  # its default, and all draws in one call
            started = time.perf_counter()
            loss = model.get_nll(own, n_samples=task["draws"], batch_size=size)
            speeds[size] = len(own) / (time.perf_counter() - started)
    done |= {"nll_images": -float(loss), "images_per_second_default": speeds[100]}
    done |= {"images_per_second": max(speeds.values()), "nll": nll(model, x_test, 100)}
    Path(folder, "done.json").write_text(json.dumps(done))


if __name__ == "__main__":
    work(sys.argv[1])
