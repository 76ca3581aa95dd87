"""OpenVINO and torch run the same network; folding and precision change nothing that matters."""

import copy

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.language.satmini import engine
from ostensor.models.language.satmini.engine import build_engine

from .test_network import made

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


@pytest.mark.parametrize(("dims", "shape"), [(2, (1, 1, 32, 24)), (2, (2, 3, 24, 20)), (3, (1, 1, 16, 24, 32))])
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_every_backend_gives_the_networks_own_features(dims: int, shape: tuple[int, ...], backend: str) -> None:
    net = made(dims, neighbours=shape[1] // 2)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with torch.no_grad():
        expected = net.image_features(torch.from_numpy(image)).numpy()
    run, name = build_engine(copy.deepcopy(net), backend=backend, precision="fp32", threads=1)  # type: ignore[arg-type]
    assert name == f"{backend} fp32"
    assert np.allclose(run(image), expected, atol=2e-4)


def test_other_sizes_than_the_example_run_too() -> None:
    run, _ = build_engine(made(3), backend="auto", precision="fp32", threads=1)
    for shape in ((8, 8, 8), (12, 20, 16)):
        assert run(np.zeros((1, 1, *shape), np.float32)).shape == (1, 6, *shape)


def test_torch_serves_when_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("openvino")

    monkeypatch.setattr(engine, "_openvino", missing)
    assert build_engine(made(3))[1].startswith("torch")
    with pytest.raises(Unavailable, match="pip install openvino"):
        build_engine(made(3), backend="openvino")


def test_devices_that_are_not_there() -> None:
    with pytest.raises(BadCall, match="Unknown device"):
        build_engine(made(3), device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(Unavailable, match="No CUDA"):
            build_engine(made(3), device="cuda")
