"""A latent of two parts, category and style: which of them tells the digit?"""

import jax
from sklearn.neighbors import KNeighborsClassifier

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, networks, priors

heads = {"category": networks.DirichletHead(10), "style": networks.NormalHead(4)}
network = networks.dense_network(64, heads, layers=2)
network = networks.scaled_parts(network, category=10.0)
two_parts = bind(
    networks.centred(network, part="style", on="category"),
    latents.product(category=latents.dirichlet, style=latents.normal),
    priors.product(
        category=priors.from_labels(smoothness=0.005, total_concentration=50.0),
        style=priors.standard_normal(),
    ),
    likelihoods.normal(0.37, learned=True),
)
one_part = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 4, layers=2))

data, key = datasets.load_digits(), jax.random.key(0)
for vae in (two_parts, one_part):
    state, history = jaxvae.fit(key, vae, data.x_train, data.y_train, batch_size=64, epochs=60)
    print(jaxvae.collapse_report(key, vae, state.params, data.x_test, data.y_test))
    codes, tests = (jaxvae.encode_mean(vae, state.params, x) for x in (data.x_train, data.x_test))
    if vae is one_part:
        codes, tests = {"z": codes}, {"z": tests}
    for part in codes:
        judge = KNeighborsClassifier(5).fit(codes[part], data.y_train)
        print(f"digits that the {part} tells: {judge.score(tests[part], data.y_test):.3f}")
