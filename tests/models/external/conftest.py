"""Engines of every kind on hand-made networks, in a home of their own."""

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.external import shelf
from ostensor.models.external.card import card_of
from ostensor.models.external.engine import Engine
from ostensor.models.external.folders import bundle, command, lungmask, nnunet, totalsegmentator
from ostensor.models.external.predictor import HostedPredictor, load
from ostensor.models.interface import Running

TOYS = Path(__file__).parents[2] / "toys"
sys.path.insert(0, str(TOYS))
import bands  # noqa: E402 - the folder is known only now

ROOT = Path(__file__).parents[3]
ENGINES = Path(os.environ.get("OSTENSOR_ENGINES", ROOT / ".venv" / "engines")) / "bin" / "python"
PROGRAM = TOYS / "band_program.py"
C, S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[C, -S, 0, 0], [S, C, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the user's own is seen or written."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))  # private folders lie here, and nobody else's do
    return tmp_path


@pytest.fixture(scope="session")
def real() -> str:
    """The Python in which the real engines are installed."""
    if not ENGINES.is_file():
        pytest.skip("the real engines are not installed: run `make engines`")
    return str(ENGINES)


def oblique(spacing: float = 1.5, shape: tuple[int, int, int] = (28, 24, 20)) -> Grid:
    affine = TURN @ np.diag([-spacing, -spacing, spacing, 1])
    affine[:3, 3] = (20, 10, -30)
    return Grid(shape, affine)


def named(engine: Engine, **changes: Any) -> Engine:
    """Its classes by their own names, added."""
    classes = tuple(replace(one, structure=one.label) for one in engine.classes)
    return shelf.add_engine(replace(engine, classes=classes, **changes))


def band_command(
    folder: Path, how: str = "well", *, name: str = "program", mask: str = "{mask}", **changes: Any
) -> Engine:
    words = [sys.executable, str(PROGRAM)]
    template = (
        f"{shlex.join(words)} {{image}} {mask} {shlex.quote(how)} {shlex.quote(str(folder))}"  # the last makes it found
    )
    options = {"template": template, "classes": {name: n for n, name in enumerate(bands.BANDS, 1)}}
    return named(command.describe(folder, options), name=name, modalities=("ct",), **changes)


def band_bundle(folder: Path, *, overlapping: bool = False) -> Engine:
    made = bundle.describe(bands.monai_bundle(folder, overlapping=overlapping), {})
    return named(made, where="worker", trust_code=True)


def band_nnunet(folder: Path, python: str, **facts: Any) -> Engine:
    return named(nnunet.describe(bands.nnunet_folder(folder, **facts), {}), python=python)


def band_totalsegmentator(folder: Path, python: str) -> Engine:
    """The fastest task; label k of its 117 is the intensities round 20 k, so the bands of `bands` are other labels."""
    bands.totalsegmentator_folder(
        folder, "Dataset298_TotalSegmentator_total_6mm_1559subj", 117, 6.0, "nnUNetTrainer_4000epochs_NoMirroring"
    )
    made = totalsegmentator.describe(folder, {"task": "total", "speed": "fastest", "python": python})
    renamed = {n * 5: name for n, name in enumerate(bands.BANDS, 1)}
    classes = tuple(
        replace(one, label=renamed[one.values[0]]) for one in made.classes if one.values[0] in renamed
    )  # 100 HU is label 5, 200 HU label 10, and so on: the middles of the bands
    return named(replace(made, classes=classes), python=python)


def random_lungmask(folder: Path, python: str) -> Engine:
    """Random weights: what it marks means nothing, but how it runs does."""
    folder.mkdir(exist_ok=True)
    script = (
        "import torch\nfrom lungmask.resunet import UNet\ntorch.manual_seed(0)\n"
        "net = UNet(n_classes=3, padding=True, depth=5, up_mode='upsample', batch_norm=True, residual=False)\n"
        f"torch.save(net.state_dict(), {str(folder / 'unet_r231-toy.pth')!r})"
    )
    subprocess.run([python, "-c", script], check=True)
    return named(lungmask.describe(folder, {}), python=python)


KINDS = ("command", "bundle", "bundle, overlapping", "nnunet", "totalsegmentator")


def made_of(kind: str, folder: Path, real: Callable[[], str]) -> Engine:
    """An engine of a kind whose masks are known to the voxel."""
    python = real() if kind in ("nnunet", "totalsegmentator") else ""
    folder = folder / kind.replace(", ", "-")
    folder.mkdir()
    if kind == "command":
        return band_command(folder)
    if kind.startswith("bundle"):
        return band_bundle(folder, overlapping="overlapping" in kind)
    return band_nnunet(folder, python) if kind == "nnunet" else band_totalsegmentator(folder, python)


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Engine]:
    return lambda kind: made_of(kind, tmp_path, lambda: str(request.getfixturevalue("real")))


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], HostedPredictor]]:
    """One loaded engine a kind for the whole module, for importing its packages takes seconds."""
    held: dict[str, HostedPredictor] = {}
    folder = tmp_path_factory.mktemp("running")

    def take(kind: str) -> HostedPredictor:
        if kind not in held:
            with pytest.MonkeyPatch.context() as here:
                here.setenv("XDG_DATA_HOME", str(folder / "data"))
                card = card_of(made_of(kind, folder, lambda: str(request.getfixturevalue("real"))))
                held[kind] = load(card, Path(card.weights_file), Running(threads=1))
        return held[kind]

    yield take
    for one in held.values():
        one.close()


@pytest.fixture
def loaded() -> Iterator[Callable[[Engine], HostedPredictor]]:
    """Loads engines, and ends their processes afterwards."""
    held: list[HostedPredictor] = []

    def take(engine: Engine) -> HostedPredictor:
        card = card_of(engine)
        found = load(card, Path(card.weights_file), Running(threads=1))
        held.append(found)
        return found

    yield take
    for one in held:
        one.close()


def scan_of(kind: str, *, value: int | None = None) -> Volume:
    """A scan of the bands on an oblique grid that the kind's network does not resample."""
    array = bands.band_scan()
    if value is not None:
        array[0, 0, 0] = value
    return Volume(array, oblique(6.0 if kind == "totalsegmentator" else 1.5), "ct")


def look(
    predictor: HostedPredictor,
    volume: Volume,
    *,
    key: str = "",
    told: list[float] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    def progress(share: float, message: str) -> None:
        if told is not None:
            told.append(share)

    found, _asked = predictor.look([volume], key, list(bands.BANDS), progress=progress, cancelled=cancelled)
    return {one.structure: one.array for one in found}


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder, by content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
