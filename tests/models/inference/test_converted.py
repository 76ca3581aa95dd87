"""A network read from the cache is the network that was converted; the cache may be lost, damaged or closed.

What the networks answer is held against NumPy.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ostensor.models.inference import converted as cache
from ostensor.models.inference.converted import converted

WEIGHTS = np.random.default_rng(3).standard_normal((5, 7)).astype(np.float32)
IMAGE = np.random.default_rng(4).standard_normal((3, 5)).astype(np.float32)


class Conversion:
    """Makes a network that multiplies by `WEIGHTS`, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        given = ov.opset13.parameter([-1, 5], np.float32)
        return ov.Model([ov.opset13.matmul(given, ov.opset13.constant(WEIGHTS), False, False)], [given])


@pytest.fixture
def conversion() -> Conversion:
    return Conversion()


def answer(model: Any) -> np.ndarray:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled.create_infer_request().infer([IMAGE])[0])


def is_right(model: Any) -> bool:
    return bool(np.allclose(answer(model), IMAGE @ WEIGHTS, atol=1e-5))


def test_a_network_is_converted_once_and_read_from_then_on(tmp_path: Path, conversion: Conversion) -> None:
    first, second = (converted("a", conversion, tmp_path / "made" / "networks") for _ in range(2))
    assert conversion.times == 1
    assert is_right(first)
    assert np.array_equal(answer(first), answer(second))  # bit for bit: the weights are kept in full precision
    assert is_right(converted("b", conversion, tmp_path / "made" / "networks"))
    assert conversion.times == 2


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def turned(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 64]) + content[-8:]


def foreign(content: bytes) -> bytes:
    return b"ostensor network 9\n" + content[19:]


@pytest.mark.parametrize("harm", [cut, turned, foreign, lambda content: b""])
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, conversion: Conversion, caplog: pytest.LogCaptureFixture, harm: Callable[[bytes], bytes]
) -> None:
    converted("a", conversion, tmp_path)
    file = tmp_path / "a.network"
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    assert is_right(converted("a", conversion, tmp_path))
    assert conversion.times == 2
    assert "damaged" in caplog.text
    assert is_right(converted("a", conversion, tmp_path))
    assert conversion.times == 2


def test_only_its_owner_may_read_the_cache(tmp_path: Path, conversion: Conversion) -> None:
    tmp_path.chmod(0o755)
    converted("a", conversion, tmp_path / "networks")
    assert (tmp_path / "networks").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "networks" / "a.network").stat().st_mode & 0o777 == 0o600


def test_without_a_place_to_keep_it_a_network_is_converted_each_time(tmp_path: Path, conversion: Conversion) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    assert is_right(converted("a", conversion, tmp_path / "file"))
    assert is_right(converted("a", conversion, tmp_path / "file" / "deeper"))
    assert conversion.times == 2


def test_a_full_disk_costs_the_cache_and_not_the_answer(
    tmp_path: Path, conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_atomically", full)
    assert is_right(converted("a", conversion, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_was_read_longest_ago_makes_room(
    tmp_path: Path, conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate("abc"):
        converted(name, conversion, tmp_path)
        os.utime(tmp_path / f"{name}.network", (1000 + number, 1000 + number))
    converted("a", conversion, tmp_path)  # now b is the one read longest ago
    monkeypatch.setattr(cache, "MOST_BYTES", 3 * (tmp_path / "a.network").stat().st_size + 10)
    converted("d", conversion, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.network", "c.network", "d.network"]
