"""What every engine must keep, whatever it is: exact masks, true progress, an end when told, nothing left behind."""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bands
import numpy as np
import psutil
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.external import shelf, watch
from ostensor.models.external.engine import Engine
from ostensor.models.external.orientation import every_turn
from ostensor.models.external.predictor import HostedPredictor
from ostensor.models.interface import Cancelled

from .conftest import KINDS, band_command, band_nnunet, digest, look, oblique, random_lungmask, scan_of

Make = Callable[[str], Engine]
Load = Callable[[Engine], HostedPredictor]
Run = Callable[[str], HostedPredictor]


@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=pytest.mark.slow) if one == "totalsegmentator" else one for one in KINDS]
)
def test_masks_are_right_to_the_voxel_however_the_scan_is_stored(kind: str, running: Run) -> None:
    predictor = running(kind)
    scan = scan_of(kind)
    truth = bands.band_labels(scan.array)
    turns = list(every_turn()) if kind != "command" else list(every_turn())[::7]  # a program starts anew each time
    for number, turn in enumerate(turns):
        found = look(predictor, Volume(turn.of(scan.array), turn.grid(scan.grid), "ct"), key=str(number))
        for label, name in enumerate(bands.BANDS, 1):
            assert np.array_equal(turn.back(found[name]), truth == label), (turn, name)


@pytest.mark.parametrize(
    "kind",
    [
        "bundle",
        "nnunet",
        pytest.param("totalsegmentator", marks=pytest.mark.slow),
        pytest.param("lungmask", marks=pytest.mark.slow),
    ],
)
def test_three_cancels_leave_no_thread_and_a_process_that_answers(
    kind: str, running: Run, loaded: Load, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lungs = kind == "lungmask"
    predictor = loaded(random_lungmask(tmp_path / "lungs", request.getfixturevalue("real"))) if lungs else running(kind)
    engine = predictor.spec
    array = np.full((24, 24, 12) if kind == "lungmask" else (90, 80, 70), -500, np.int16)
    scan = Volume(array, oblique(6.0 if kind == "totalsegmentator" else 1.5, array.shape), "ct")
    names = list(engine.structures)

    def ask(cancelled: Callable[[], bool]) -> None:
        predictor.look([scan], "", names, progress=lambda share, message: shares.append(share), cancelled=cancelled)

    shares: list[float] = []
    ask(lambda: False)
    assert predictor._process is not None
    pid, threads = predictor._process.pid, psutil.Process(predictor._process.pid).num_threads()
    for _ in range(3):
        shares.clear()
        with pytest.raises(Cancelled):
            ask(lambda: bool(shares))
    stopped = predictor._process is not None and predictor._process.is_alive
    assert stopped or kind == "lungmask", "it stops by itself; batches of lungmask's may take longer than it is given"
    ask(lambda: False)
    assert psutil.Process(pid).num_threads() <= threads if stopped else not psutil.pid_exists(pid)


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_works_and_leaves_nothing_but_the_masks(kind: str, running: Run) -> None:
    predictor = running(kind)
    engine = predictor.spec
    before = digest(Path(engine.folder)) if engine.folder else {}
    scan = scan_of(kind, value=7)
    kept, told = scan.array.copy(), list[float]()
    look(predictor, scan, key="once", told=told)
    assert told == sorted(told)
    assert all(0 <= share <= 1 for share in told)
    assert len(told) > 2 or kind == "command"
    assert np.array_equal(scan.array, kept)
    running = predictor._process
    assert running is not None
    assert running.network in ("namespace", "refused sockets", "not cut")
    assert "network" in predictor.engine
    folder, pid = running.folder.path, running.pid
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.glob("run*"))
    asked = len(told)
    look(predictor, scan, key="once", told=told)  # what is known is not asked again
    assert len(told) == asked
    predictor.close()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    assert digest(Path(engine.folder)) == before if engine.folder else True
    assert not private_folders()


def marked(folder: Path) -> list[psutil.Process]:
    """Programs that were started with this folder as their mark, and have not ended."""
    found = [one for one in psutil.process_iter(["cmdline", "status"]) if str(folder) in (one.info["cmdline"] or ())]
    return [one for one in found if one.info["status"] != psutil.STATUS_ZOMBIE]


def private_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("*"))


@pytest.mark.parametrize(("how", "count"), [("hangs", 1), ("forks", 2)])
def test_a_program_that_does_not_stop_is_killed_with_all_it_started(
    how: str, count: int, loaded: Load, tmp_path: Path
) -> None:
    predictor = loaded(band_command(tmp_path, how))
    with pytest.raises(Cancelled):
        look(predictor, scan_of("command"), cancelled=lambda: len(marked(tmp_path)) == count)
    predictor.close()
    assert not marked(tmp_path)


def test_what_a_program_leaves_running_ends_with_its_run(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path, "leaves"))
    assert look(predictor, scan_of("command"))["liver"].any()
    assert not marked(tmp_path)


@pytest.mark.parametrize(("how", "count"), [("hangs", 1), ("forks", 2)])
def test_when_we_are_killed_the_engine_ends_and_its_folder_goes(how: str, count: int, tmp_path: Path) -> None:
    band_command(tmp_path, how)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    worker = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        wait_until(lambda: len(marked(tmp_path)) == count)
        assert private_folders()
    finally:
        worker.kill()
        worker.wait()
    wait_until(lambda: not marked(tmp_path))
    wait_until(lambda: not private_folders())


WORKER = """
import numpy as np
from pathlib import Path
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.external import shelf
from ostensor.models.external.card import card_of
from ostensor.models.external.predictor import load
from ostensor.models.interface import Running
card = card_of(shelf.engine_of("program"))
scan = Volume(np.zeros((5, 7, 11), np.int16), Grid((5, 7, 11), np.diag([1.0, 2, 3, 1])), "ct")
predictor = load(card, Path(card.weights_file), Running(threads=1))
predictor.look([scan], "", ["liver"], progress=lambda share, message: None, cancelled=lambda: False)
"""


def wait_until(done: Callable[[], bool]) -> None:
    """Look again and again, not for ever."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not come to pass; there is {sorted(private_folders())}")


def test_a_program_that_says_megabytes_is_heard_and_forgotten(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(loaded(band_command(tmp_path, "shouts")), scan_of("command"))["liver"].any()


def test_an_engine_is_called_off_while_it_starts(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path))
    with pytest.raises(Cancelled):
        look(predictor, scan_of("command"), cancelled=lambda: True)
    assert not private_folders()
    assert look(predictor, scan_of("command"))["liver"].any()


@pytest.mark.parametrize(
    "line",
    ["[]", "3", "null", "{}", '{"event": "hum"}', '{"event": "progress", "id": 1}', '{"event": "done"}', "{" * 5000, "no json",
     '{"event": "progress", "id": 1, "share": "x", "message": ""}', "x" * (2 << 20), '{"event": "refused", "id": 1}'],
)  # fmt: skip
def test_a_process_that_speaks_nonsense_is_ended(line: str, loaded: Load, tmp_path: Path) -> None:
    """Code of an engine's that writes to the socket of ours."""
    predictor = loaded(band_command(tmp_path))
    predictor._running(lambda share, message: None, lambda: False)
    process = predictor._process
    assert process is not None
    process._left = line.encode()[: 2 << 20] + (b"" if len(line) > 1 << 20 else b"\n")
    with pytest.raises(Failed, match="engine_crashed"):
        process.ask("describe")
    assert not process.is_alive


def test_an_engine_that_neither_speaks_nor_computes_is_ended(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENT_S", 3.0)
    with pytest.raises(Failed, match="engine_hangs"):
        look(loaded(band_command(tmp_path, "hangs")), scan_of("command"))


@pytest.mark.parametrize(
    "how", ["crashes", "moved", "turned", "fractions", "nan", "nothing", "garbage", "gigabytes", "no affine", "link"]
)
def test_bad_answers_are_refused_and_the_next_call_works(how: str, loaded: Load, tmp_path: Path) -> None:
    code = "engine_crashed" if how == "crashes" else "engine_geometry_broken"
    predictor = loaded(band_command(tmp_path, how))
    with pytest.raises(Failed, match=code):
        look(predictor, scan_of("command"))
    assert predictor._process is not None
    assert predictor._process.is_alive  # a bad answer costs no restart


def test_masks_in_files_of_their_own_are_taken(loaded: Load, tmp_path: Path) -> None:
    found = look(loaded(band_command(tmp_path, "apart", mask="{masks}")), scan_of("command"))
    truth = bands.band_labels(bands.band_scan())
    assert all(np.array_equal(found[name], truth == n) for n, name in enumerate(bands.BANDS, 1))


def test_an_engine_killed_from_outside_starts_again(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path))
    look(predictor, scan_of("command"))
    assert predictor._process is not None
    os.killpg(predictor._process.pid, 9)
    predictor._process._process.wait()
    assert look(predictor, scan_of("command"))["spleen"].any()


def test_an_engine_killed_at_work_says_so(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path, "slowly"))

    def kill() -> bool:
        if shares and predictor._process is not None:
            os.killpg(predictor._process.pid, 9)
        return False

    shares: list[float] = []
    with pytest.raises(Failed, match="engine_crashed"):
        look(predictor, scan_of("command"), told=shares, cancelled=kill)


def test_an_engine_is_heard_by_a_process_with_many_files_open(loaded: Load, tmp_path: Path) -> None:
    """A worker of many scans has more than the 1,024 that `select` takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this system allows too few open files")
    with contextlib.ExitStack() as held:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        predictor = loaded(band_command(tmp_path))
        assert look(predictor, scan_of("command"))["liver"].any()
        predictor.close()


def test_memory_has_a_ceiling(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path, "eats", memory_mb=900))
    with pytest.raises((Unavailable, Failed), match=r"engine_out_of_memory|engine_crashed"):
        look(predictor, scan_of("command"))


def test_no_engine_reaches_the_network(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path, "calls"))
    with pytest.raises(Failed, match="engine_crashed"):
        look(predictor, scan_of("command"))
    if predictor._process is not None and predictor._process.network == "not cut":
        pytest.skip("this system allows no namespaces, and says so")


def test_an_engine_sees_none_of_our_variables(loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    predictor = loaded(band_command(tmp_path))
    look(predictor, scan_of("command"))
    assert predictor._process is not None
    seen = Path(f"/proc/{predictor._process.pid}/environ").read_bytes()
    assert b"hunter2" not in seen
    assert f"HOME={predictor._process.folder.home}".encode() in seen


@pytest.mark.parametrize("kind", ["bundle", "nnunet"])
def test_weights_that_are_missing_changed_or_evil_are_refused(
    kind: str, made: Make, loaded: Load, tmp_path: Path
) -> None:
    import torch

    engine = made(kind)
    weights = next(Path(engine.folder).rglob("*.pt*"))
    content = torch.load(weights, weights_only=False)
    weights.unlink()
    with pytest.raises(Unavailable, match=f"{weights.name}.*engine_weights_missing"):
        loaded(engine)
    torch.save({**content, "more": 1}, weights)
    with pytest.raises(Unavailable, match=f"{weights.name}.*engine_weights_changed"):
        loaded(engine)

    marker = tmp_path / "ran"
    torch.save({**content, "evil": Evil(str(marker))}, weights)
    evil = replace(engine, name="evil")
    with pytest.raises(BadCall, match="engine_unsafe_checkpoint"):
        look(loaded(shelf.add_engine(evil)), scan_of(kind))
    assert not marker.exists()


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (os.mkdir, (self.path,))


def test_code_that_nobody_trusts_does_not_run(made: Make, loaded: Load) -> None:
    engine = made("bundle")
    shelf.save_engine(replace(engine, trust_code=False))
    with pytest.raises(Unavailable, match="engine_code_untrusted"):
        loaded(engine)


def test_scans_that_an_engine_cannot_take_are_refused(loaded: Load, tmp_path: Path) -> None:
    predictor = loaded(band_command(tmp_path))
    scan = scan_of("command")
    unknown = Volume(scan.array, Grid(scan.grid.shape, scan.grid.affine, spacing_known=False), "ct")
    with pytest.raises(BadCall, match="spacing_mm"):
        look(predictor, unknown)
    with pytest.raises(BadCall, match="takes 1 image"):
        predictor.look([scan, scan], "", ["liver"], progress=lambda share, message: None, cancelled=lambda: False)


def test_a_python_that_is_not_there_is_told(tmp_path: Path, loaded: Load) -> None:
    with pytest.raises(Unavailable, match="engine_missing"):
        look(loaded(band_command(tmp_path, python=str(tmp_path / "no" / "python"))), scan_of("command"))


def test_channels_come_in_their_order(real: str, loaded: Load, tmp_path: Path) -> None:
    """The band network reads its first channel only."""
    predictor = loaded(band_nnunet(tmp_path, real, channels=("T1", "T2")))
    scan = scan_of("nnunet")
    other = Volume(np.full_like(scan.array, 300), scan.grid, "mr")
    found, _ = predictor.look([scan, other], "", ["liver"], progress=lambda *_: None, cancelled=lambda: False)
    assert np.array_equal(found[0].array, bands.band_labels(scan.array) == 1)
    swapped, _ = predictor.look([other, scan], "", ["liver"], progress=lambda *_: None, cancelled=lambda: False)
    assert not swapped[0].array.any()
    small = Volume(scan.array[:-1], oblique(shape=(27, 24, 20)), "mr")
    with pytest.raises(BadCall, match="one grid"):
        predictor.look([scan, small], "", ["liver"], progress=lambda *_: None, cancelled=lambda: False)


def test_folds_regions_and_flat_networks(real: str, loaded: Load, tmp_path: Path) -> None:
    scan = scan_of("nnunet")
    truth = bands.band_labels(scan.array)
    folded = loaded(band_nnunet(tmp_path / "a", real, folds=("0", "1", "2"), mirror=None))
    assert np.array_equal(look(folded, scan)["spleen"], truth == 2)
    flat = loaded(band_nnunet(tmp_path / "b", real, dataset="Dataset901_Flat", patch=(16, 16), mirror=(0, 1)))
    assert np.array_equal(look(flat, scan)["spleen"], truth == 2)
    regions = {"abdominal organs": (1, 2, 3, 4), "not the liver": (2, 3, 4), "kidneys": (3, 4), "right kidney": (4,)}
    made = band_nnunet(tmp_path / "c", real, dataset="Dataset902_Regions", regions=regions)
    found, _ = loaded(made).look([scan], "", list(regions), progress=lambda *_: None, cancelled=lambda: False)
    for one, values in zip(found, regions.values(), strict=True):
        assert np.array_equal(one.array, np.isin(truth, values)), one.structure


def test_another_network_than_the_plans_is_told(real: str, loaded: Load, tmp_path: Path) -> None:
    import torch

    engine = band_nnunet(tmp_path, real, trainer="nnUNetTrainer_Primus_S")
    path = next(Path(engine.folder).glob("fold_0/*.pth"))
    content = torch.load(path, weights_only=False)
    content["network_weights"]["up_projection.weight"] = torch.zeros(3)
    torch.save(content, path)
    again = shelf.add_engine(replace(engine, name="primus"))
    with pytest.raises(BadCall, match=r"Primus.*engine_unsupported"):
        look(loaded(again), scan_of("nnunet"))
