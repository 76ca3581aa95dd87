"""Every bundled network encodes and then decodes in float32 and bfloat16, by torch and by OpenVINO."""

import functools
import json

import numpy as np
import numpy.typing as npt
import pytest

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.catalogue import WEIGHTS_FOLDER, card
from ostensor.models.interface import Backend, Precision
from ostensor.models.language.satmini.predictor import SatMiniPredictor
from ostensor.models.load import load_predictor

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
NAMES = sorted(json.loads((WEIGHTS_FOLDER / "expected.json").read_text(encoding="utf-8")))


def scan(name: str) -> Volume:
    """Blobs of random grey values in a body without symmetry, as large as the network expects voxels to be."""
    known = card(name)
    rng = np.random.default_rng(7)
    spacing = known.spacing_mm or (1.0, 1.0, 1.0)
    shape = (44, 38, 36) if 3 in known.dimensions and 2 not in known.dimensions else (88, 76, 3)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    body = ((at * np.array([1.1, 1.2, 1.0])[:, None, None, None]) ** 2).sum(axis=0) < 0.9
    values = np.full(shape, 0.0, np.float32)
    values[body] = 40
    for _ in range(12):
        centre, radius = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.15, 0.4)
        near = ((at - centre[:, None, None, None]) ** 2).sum(axis=0) < radius**2
        values[near & body] = rng.uniform(-50, 200)
    if known.intensity == "ct-hu":
        values[~body] = -1000
    grid = Grid(shape, np.diag([*spacing, 1.0]), spacing_known=known.spacing_mm is not None)
    return Volume(values, grid, known.modalities[0])  # type: ignore[arg-type]


@functools.cache
def sigmoids(name: str, backend: Backend, precision: Precision) -> npt.NDArray[np.float32]:
    """Of every structure the network was taught; the masks themselves are asked for on the way."""
    predictor = load_predictor(name, threads=1, backend=backend, precision=precision)
    assert isinstance(predictor, SatMiniPredictor)
    assert predictor.engine == f"{backend} {precision}"
    features = predictor.encode(scan(name), progress=lambda share: None, cancelled=lambda: False)
    found = predictor.decode(features, predictor.card.vocabulary)
    assert [one.structure for one in found] == list(predictor.card.vocabulary)
    return predictor.probabilities(features.prepared.array, predictor.card.vocabulary)


@pytest.mark.parametrize("name", NAMES)
def test_torch_and_openvino_agree_in_float32(name: str) -> None:
    """They compute the same function, and features are kept in half precision: 11 bits."""
    ours, theirs = sigmoids(name, "openvino", "fp32"), sigmoids(name, "torch", "fp32")
    assert ours.std() > 0.001, "a scan on which nothing differs proves nothing"
    assert np.abs(ours - theirs).mean() < 1e-3


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_says_what_float32_says(name: str, backend: Backend) -> None:
    """bfloat16 keeps 8 bits: a logit moves by about one part in 100 after some twenty layers, a sigmoid by less."""
    assert np.abs(sigmoids(name, "openvino", "fp32") - sigmoids(name, backend, "bf16")).mean() < 0.01
