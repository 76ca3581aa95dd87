"""Fixtures of official outputs: what is read from a folder, and who understands it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.parity import Against, Fixture


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("github owner/name", "owner/name"),
        ("owner/name", "owner/name"),
        ("github owner/name (widely used; the authors' own is Keras)", "owner/name"),
        ("", ""),
    ],
)
def test_the_repository_is_read_without_the_remarks_behind_it(said: str, source: str, tmp_path: Path) -> None:
    config = {"system": "Some Net (2-D)", "source": said, "tolerance": 0}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    fixture = Fixture(tmp_path)
    assert fixture.source == source
    assert Against(source, ("some net",)).understands(fixture)
    assert not Against(source, ("some net", "3-d")).understands(fixture)
    assert not Against("owner/names").understands(fixture)


def test_half_precision_is_widened_and_whole_numbers_stay(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", image=np.array([0.5], np.float16), tokens=np.array([3], np.int32))
    given = Fixture(tmp_path).inputs
    assert (given["image"].dtype, given["tokens"].dtype) == (torch.float32, torch.int32)


def test_missing_files_are_named_and_intermediates_may_be_missing(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path)
    with pytest.raises(BadCall, match=r"holds no readable inputs\.npz"):
        _ = fixture.inputs
    with pytest.raises(BadCall, match=r"no file 'model\.safetensors'"):
        fixture.state()
    assert fixture.intermediates == {}
