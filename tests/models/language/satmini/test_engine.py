"""OpenVINO and torch run the same network; folding and precision change nothing that matters."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.inference.converted import converted
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


def test_a_converted_network_is_found_by_its_weights() -> None:
    """One weight that changes in its last bit is another network."""
    net = made(3)
    key = engine._key(engine.ImageHalf(net))
    assert engine._key(engine.ImageHalf(copy.deepcopy(net))) == key
    changed = copy.deepcopy(net)
    weight = next(iter(changed.parameters()))
    with torch.no_grad():
        weight.flatten()[0] = torch.nextafter(weight.flatten()[0], torch.tensor(9.0))
    assert engine._key(engine.ImageHalf(changed)) != key


def test_the_network_from_the_cache_answers_as_the_one_just_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "networks"
    monkeypatch.setattr(engine, "converted", lambda key, convert: converted(key, convert, folder))
    image = np.random.default_rng(0).standard_normal((1, 1, 16, 24, 32)).astype(np.float32)
    first, _ = build_engine(made(3), backend="openvino", precision="fp32", threads=1)
    monkeypatch.setattr(torch.jit, "trace", None)  # a second conversion would fail
    second, _ = build_engine(made(3), backend="openvino", precision="fp32", threads=1)
    assert np.array_equal(first(image), second(image))
