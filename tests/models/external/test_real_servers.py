"""Our clients against the real servers of nnInteractive and VoxTell, on networks whose answers are known."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bands
import numpy as np
import pytest

from ostensor.imaging.errors import Unavailable
from ostensor.imaging.masks.dice import dice
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.external import shelf
from ostensor.models.external.card import card_of
from ostensor.models.external.engine import Engine
from ostensor.models.external.orientation import every_turn
from ostensor.models.external.predictor import load
from ostensor.models.external.servers import nninteractive, voxtell
from ostensor.models.interface import Cancelled, Prompt, Running

from .conftest import TOYS, oblique

pytestmark = pytest.mark.slow
KEY = "sekret"


def started(words: list[str], describe: Callable[[dict[str, Any]], Engine], port: int, log: Path) -> tuple[Any, Engine]:
    """The server's process, and its engine once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output)
    for _ in range(150):
        try:
            return process, describe({"url": f"http://127.0.0.1:{port}", "key_env": "TOY_KEY"})
        except Unavailable:
            if process.poll() is not None:
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
    process.kill()
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("TOY_KEY", KEY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def ended() -> Iterator[list[Any]]:
    """Whatever is put here is closed or killed."""
    held: list[Any] = []
    yield held
    for one in reversed(held):
        if isinstance(one, subprocess.Popen):
            one.kill()
            one.wait()
        else:
            one.close()


def client(engine: Engine, ended: list[Any]) -> Any:
    card = card_of(shelf.add_engine(engine))
    ended.append(load(card, Path(card.weights_file), Running(threads=1)))
    return ended[-1]


def test_nninteractive_takes_clicks_undoes_them_and_outlives_a_lost_session(
    real: str, port: int, tmp_path: Path, ended: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bands.nninteractive_folder(tmp_path)
    words = [str(Path(real).parent / "nninteractive-server"), "--model-dir", str(folder), "--fold", "0", "--device", "cpu", "--no-torch-compile",
             "--host", "127.0.0.1", "--port", str(port), "--api-key", KEY, "--max-sessions", "1"]  # fmt: skip
    process, engine = started(words, lambda options: nninteractive.describe(None, options), port, tmp_path / "log")
    ended.append(process)
    assert engine.licence == "CC BY-NC-SA 4.0"
    monkeypatch.setenv("TOY_KEY", "wrong")
    with pytest.raises(Unavailable, match="engine_unreachable"):
        nninteractive.describe(None, {"url": engine.url, "key_env": "TOY_KEY"})
    monkeypatch.setenv("TOY_KEY", KEY)
    array = np.random.default_rng(0).integers(-5, 5, (48, 40, 36)).astype(np.int16)
    array[10:25, 12:27, 8:20] += 300
    truth = np.zeros(array.shape, bool)
    truth[10:25, 12:27, 8:20] = True
    scan = Volume(array, Grid(array.shape, np.eye(4)), "ct")
    clicks = client(engine, ended)
    points = [
        Prompt("point", at=(17, 19, 14)),
        Prompt("point", at=(12, 14, 10)),
        Prompt("point", False, at=(40, 5, 30)),
    ]

    def click(prompts: list[Prompt]) -> float:
        found = clicks.click(scan, "scan", prompts, progress=lambda *_: None, cancelled=lambda: False)
        return float(dice(found, truth))

    for count in (1, 2, 3, 2):
        assert click(points[:count]) > 0.95, count  # its zooming out and in moves the border by less than a voxel
    clicks._post("/release", {})  # the server gives the place away
    assert click(points[1:]) > 0.95
    clicks._is_sure = False
    assert click(points[1:]) > 0.95


def test_voxtell_reads_words_in_every_order_of_axes_and_is_called_off(
    real: str, port: int, tmp_path: Path, ended: list[Any]
) -> None:
    words = [real, str(TOYS / "voxtell_program.py"), str(port), KEY]
    process, engine = started(words, lambda options: voxtell.describe(None, options), port, tmp_path / "log")
    ended.append(process)
    reads = client(engine, ended)
    scan = Volume(bands.band_scan(), oblique(), "ct")
    truth = bands.band_labels(scan.array)
    quiet: dict[str, Any] = {"progress": lambda *_: None, "cancelled": lambda: False}
    for number, turn in enumerate(every_turn()):
        stored = Volume(turn.of(scan.array), turn.grid(scan.grid), "ct")
        found, _asked = reads.look([stored], f"scan{number}", ["liver", "spleen"], **quiet)
        for label, one in enumerate(found, 1):
            assert np.array_equal(turn.back(one.array), truth == label), (turn, one.structure)
    slow = scan.array.copy()
    slow[0, 0, 0] = 3000
    told: list[float] = []
    with pytest.raises(Cancelled):
        reads.look([Volume(slow, scan.grid, "ct")], "slow", ["liver"], progress=lambda share, _message: told.append(share),
                   cancelled=lambda: len(told) > 3)  # fmt: skip
    reads._images["scan0"] = "forgotten"
    reads._answers.clear()
    found, _asked = reads.look(
        [Volume(next(every_turn()).of(scan.array), scan.grid, "ct")], "scan0", ["liver"], **quiet
    )
    assert np.array_equal(found[0].array, truth == 1)
