"""The page of `jaxvae explore` in a real browser: dragged, tapped, driven by keys, looked at.

`make test-browser` runs it. Where no browser is found it is skipped.
"""

import json

import browser
import jax
import numpy as np
import pytest
from PIL import Image
from untrained import run_of, write_run

import jaxvae
from jaxvae import likelihoods, networks
from jaxvae.apps import runs
from jaxvae.apps.cli import main
from jaxvae.apps.explore import page
from jaxvae.model.modules import ACTIVATIONS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.FOUND is None, reason=browser.MISSING),
]
TOLERANCE = 0.002  # of the range in which a value is shown, as in test_explore.py
SCREEN = "document.querySelector('.screen').toDataURL()"
READOUT = "document.getElementById('readout').textContent"
NEAREST = "[...document.querySelectorAll('#nearest button')].map((b) => b.ariaLabel)"


@pytest.fixture(scope="module")
def chrome():
    try:
        own = browser.Browser()
    except (AssertionError, OSError) as error:  # as one that needs a service which is not there
        pytest.skip(f"{browser.FOUND} does not start: {error}")
    yield own
    own.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "digits")


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "explore.html"
    assert main(["explore", str(run), "--out", str(out)]) == 0
    return out


@pytest.fixture
def opened(chrome, file):
    chrome.size(1280, 900)
    chrome.open(file)
    yield chrome
    assert chrome.errors == []
    assert chrome.requests == []


def moved(own, selector, right, down):
    x, y = own.middle(selector)
    return (x, y), (x + right, y + down)


def test_the_point_is_dragged_through_the_simplex(opened):
    before = [opened.value(what) for what in (SCREEN, READOUT, NEAREST)]
    assert "100 %" in before[1]
    assert opened.value(
        "getComputedStyle(document.querySelector('.handle'), '::after').content"
    ) == ('"Drag the point"')
    opened.drag(*moved(opened, "#simplex .handle", 40, 90))
    after = [opened.value(what) for what in (SCREEN, READOUT, NEAREST)]
    assert all(old != new for old, new in zip(before, after, strict=True))
    shares = opened.value("explorer.here.categories")
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.9
    top = int(np.argmax(shares))
    assert after[1].startswith(f"{top} {round(100 * shares[top])} %")
    spoken = opened.value("document.querySelector('#simplex .handle').ariaValueText")
    assert spoken.startswith(f"{top} {round(100 * shares[top])} %")
    assert opened.value("document.querySelector('.hint')") is None


def test_the_point_stays_in_the_simplex(opened):
    opened.drag(*moved(opened, "#simplex .handle", 0, -300))
    shares = opened.value("explorer.here.categories")
    assert shares[0] == pytest.approx(1)
    assert min(shares) >= 0


def test_the_style_is_dragged_in_its_plane(opened):
    before = opened.value(SCREEN), opened.value(READOUT)
    opened.drag(*moved(opened, "#plane .handle", 70, -40))
    assert opened.value(SCREEN) != before[0]
    assert opened.value(READOUT) != before[1]
    style = opened.value("[...explorer.here.style]")
    axes = np.array(opened.value("explorer.told.space.style.axes"))
    at = axes @ style
    assert at[0] > 0 < at[1]
    np.testing.assert_allclose(axes.T @ at, style, atol=1e-5)  # nothing beside the plane has moved


def test_buttons(opened):
    opened.click(".corner:nth-of-type(4)")
    assert opened.value("explorer.here.categories") == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    before = opened.value("[...explorer.here.style]")
    opened.click("#random")
    assert opened.value("[...explorer.here.style]") != before
    opened.click("#reset")
    assert opened.value("explorer.here.categories")[0] == 1
    assert not any(opened.value("[...explorer.here.style]"))


def test_a_click_on_an_example_goes_to_its_posterior(opened, run):
    opened.click("#nearest button:nth-child(3)")
    held = opened.value("explorer.near.slots[0].i")
    assert opened.value("explorer.nearest(explorer.here, 1)[0].distance") < 1e-3
    own = runs.open_run(run)
    row = opened.value(f"explorer.examples.places[{held}]")
    z = own.model.encode(own.data.x_test[[row]])
    np.testing.assert_allclose(
        opened.value("explorer.here.categories"), z["category"][0], atol=2e-3
    )
    np.testing.assert_allclose(
        opened.value("[...explorer.here.style]"), z["style"][0], atol=2e-3, rtol=2e-3
    )


def test_keys(opened):
    opened.value("document.querySelector('#simplex .handle').focus()")
    before = opened.value(SCREEN)
    opened.press("ArrowDown")
    assert opened.value(SCREEN) != before
    opened.press("Home")
    np.testing.assert_allclose(opened.value("explorer.here.categories"), np.full(10, 0.1))
    opened.value("document.querySelector('#plane details').open = true")
    opened.value("document.querySelector('#plane input[type=range]').focus()")
    opened.press("ArrowRight")
    order = opened.value("explorer.plane.order[0]")
    assert opened.value(f"explorer.here.style[{order}]") == pytest.approx(0.01)


def test_all_that_can_be_used_has_a_name(opened):
    nameless = opened.value(
        "[...document.querySelectorAll('button, input, [tabindex]')].filter((e) =>"
        " !(e.ariaLabel || e.textContent.trim() || (e.labels && e.labels.length))).length"
    )
    assert nameless == 0
    assert opened.value("document.querySelectorAll('button, input, [tabindex]').length") > 40


def test_a_finger_on_a_telephone(chrome, file):
    chrome.size(390, 844, touch=True)
    chrome.open(file)
    assert chrome.value("document.documentElement.scrollWidth") <= 390
    start, end = moved(chrome, "#simplex .handle", 20, 60)
    before, scrolled = chrome.value(SCREEN), chrome.value("scrollY")
    chrome.touch_drag(start, end)
    assert chrome.value(SCREEN) != before
    shares = chrome.value("explorer.here.categories")
    assert max(shares) < 0.9
    assert chrome.value("scrollY") == scrolled
    # Beside the handle a finger scrolls.
    start, end = moved(chrome, "#simplex .pad", -60, 0)
    chrome.touch_drag((start[0] - 60, start[1] + 80), (end[0], end[1] - 80))
    assert chrome.value("explorer.here.categories") == shares
    assert chrome.value("scrollY") > scrolled
    # What the point decodes to stays in sight.
    box = chrome.value("(() => { const b = document.querySelector('.screen')"
                       ".getBoundingClientRect(); return [b.top, b.bottom]; })()")  # fmt: skip
    assert 0 <= box[0] < box[1] <= 844
    assert chrome.errors == []
    assert chrome.requests == []


def decoded(own, z):
    """What the page decodes at points by part."""
    roles = [(part["role"], part["name"]) for part in own.value("explorer.told.space.parts")]
    rows = [
        {
            role: np.asarray(z[name] if isinstance(z, dict) else z)[i].tolist()
            for role, name in roles
        }
        for i in range(len(z["style"] if isinstance(z, dict) else z))
    ]
    return np.array(
        own.value(f"{json.dumps(rows)}.map((point) => [...explorer.decode(point).values])")
    )


def test_the_page_decodes_like_the_model(opened, run):
    own = runs.open_run(run)
    z = own.draw(jax.random.key(5), 20)
    np.testing.assert_allclose(decoded(opened, z), own.decode(z), atol=TOLERANCE)


def test_functions_are_those_of_jax(opened):
    at = [-30.0, -2.0, -0.3, 0.0, 0.4, 3.0, 25.0]
    names = opened.value("Object.keys(explorer.ACTIVATIONS)")
    assert set(names) == set(ACTIVATIONS)
    for name, function in ACTIVATIONS.items():
        found = opened.value(f"{at}.map(explorer.ACTIVATIONS.{name})")
        np.testing.assert_allclose(found, function(np.float32(at)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", ["counts", "series", "bars", "lattice"])
def test_other_data_and_other_decoders(chrome, tmp_path, kind):
    small = {"layers": 1, "hidden_units": 8}
    about = {"data_kind": "counts"} if kind == "counts" else {}
    if kind == "lattice":
        network = networks.convolutional_dirichlet_network((8, 8), 3, channels=(4,), hidden_units=8)
        vae = jaxvae.dirichlet_vae(network, prior=jaxvae.priors.symmetric(1.0))
        own = run_of(vae, (8, 8), image_shape=(8, 8))
    else:
        likelihood = likelihoods.multinomial() if kind == "counts" else likelihoods.normal()
        size = {"counts": 40, "series": 30, "bars": 5}[kind]
        network = jaxvae.dense_normal_network(size, 2, **small)
        if kind == "series":
            about = {"series_shape": (15, 2)}
        own = run_of(jaxvae.normal_vae(network, likelihood=likelihood), (size,), **about)
    told = page.told(own, None)
    path = tmp_path / "page.html"
    path.write_text(page.fill(told))
    chrome.size(1280, 900)
    chrome.open(path)
    seen = SCREEN if kind in ("series", "lattice") else "document.querySelector('.rows').innerHTML"
    before = chrome.value(seen)
    if kind == "lattice":
        chrome.drag(*moved(chrome, ".handle", 60, 120))
        assert "The nearest of" in chrome.value("document.getElementById('lattice').textContent")
    else:
        chrome.drag(*moved(chrome, ".handle", 90, -70))
        z = own.draw(jax.random.key(5), 10)
        room = np.array(told["look"]["high"]) - np.array(told["look"]["low"])
        room = np.resize(room, own.decode(z).shape[1])
        error = np.abs(decoded(chrome, z) - own.decode(z)) / room
        assert error.max() < TOLERANCE
    assert chrome.value(seen) != before
    assert "holds no examples" in chrome.value("document.getElementById('near-hint').textContent")
    assert chrome.errors == []
    assert chrome.requests == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)], ids=["wide", "narrow"])
def test_screenshots(opened, tmp_path, width, height, dark):
    opened.size(width, height, dark=dark)
    opened.screenshot(tmp_path / "page.png")
    shown = np.asarray(Image.open(tmp_path / "page.png").convert("L"), float)
    assert shown.shape == (height, width)
    corner = shown[-4:, :4].mean()
    assert corner < 60 if dark else corner > 200
    # Something is drawn in every part of the picture.
    blocks = shown[: height // 4 * 4, : width // 2 * 2].reshape(4, height // 4, 2, width // 2)
    assert (blocks.std(axis=(1, 3)) > 2).all()
    assert opened.value("document.documentElement.scrollWidth") <= width
