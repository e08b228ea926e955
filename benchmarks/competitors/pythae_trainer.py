"""Pythae's trainer with its `VAE`: a Normal latent, a prior of variance 1, squared error.

Its loss is the ELBO in nats less the likelihood's constant.
"""

import tempfile

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

from competitors import EPSILON, LEARNING_RATE
from competitors.torch_based import dense, trunk


class Encoder(BaseEncoder):
    def __init__(self, case):
        super().__init__()
        self.trunk = trunk(784, case)
        self.loc, self.log_variance = (dense(case.hidden_units, case.latent_dim) for _ in range(2))

    def forward(self, x):
        h = self.trunk(x)
        return ModelOutput(embedding=self.loc(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    def __init__(self, case):
        super().__init__()
        self.net = nn.Sequential(trunk(case.latent_dim, case), dense(case.hidden_units, 784))

    def forward(self, z):
        return ModelOutput(reconstruction=self.net(z))


def prepare(variant, case, x, y, seed):
    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(784,), latent_dim=case.latent_dim, reconstruction_loss="mse")
    trainer = BaseTrainer(
        VAE(config, encoder=Encoder(case), decoder=Decoder(case)),
        train_dataset=BaseDataset(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))),
        training_config=BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            num_epochs=1_000,
            per_device_train_batch_size=case.batch_size,
            learning_rate=LEARNING_RATE,
            optimizer_cls="Adam",
            optimizer_params={"eps": EPSILON},
            seed=seed,
            no_cuda=True,
        ),
    )
    trainer.prepare_training()
    done = 0

    def epoch():
        nonlocal done
        done += 1
        return float(trainer.train_step(done))

    return epoch
