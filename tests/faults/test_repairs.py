"""Damage on the disk is found and mended: cut files, flipped bits, and what killed writers leave in folders of the user."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import Failed
from ostensor.imaging.guards.machine import machine
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.server.http.files import sweep_uploads
from ostensor.store.checksums import BLOCK, is_whole
from ostensor.store.store import Store
from ostensor.tools.desk.desk import Desk

from ..toys.desks import Ask

GRID = Grid((61, 127, 131), np.diag([0.7, 0.9, 3.0, 1.0]))  # 2 MB of int16: two blocks


def volume() -> Volume:
    return Volume(np.random.default_rng(0).integers(-1000, 900, GRID.shape).astype(np.int16), GRID, "ct")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def test_a_cut_array_is_dropped_at_start_and_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = store.add_image(volume(), source_name="a")
    cut(store.array_path(image.image_id))
    with pytest.raises(Failed, match="Open the scan again"):
        store.volume(image.image_id)
    again = Store(tmp_path)
    assert "1 array files that were cut short" in again.repairs[0]
    assert image.image_id in again.repairs[1]
    assert again.add_image(volume(), source_name="a").image_id == image.image_id
    np.testing.assert_array_equal(again.volume(image.image_id).array, volume().array)


def test_opening_again_mends_without_a_restart(ask: Ask, desk: Desk) -> None:
    image_id = ask("open_image", path="ct.nii.gz").result["image_id"]
    mask_id = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    path = desk.store.array_path(image_id)
    whole = path.read_bytes()
    for damage in (cut, lambda place: flip(place, 3000), Path.unlink):
        damage(path)
        assert ask("render", image_id=image_id).is_error
        assert ask("open_image", path="ct.nii.gz").result["image_id"] == image_id
        assert path.read_bytes() == whole
        assert not ask("measure", mask_ids=[mask_id], what=["volume", "intensity"]).is_error
    flip(desk.store.arrays.mask_path(desk.store.mask_record(mask_id).content_hash), 60)
    assert ask("measure", mask_ids=[mask_id], what=["volume"]).is_error
    assert ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"] == mask_id
    assert not ask("measure", mask_ids=[mask_id], what=["volume"]).is_error


@pytest.mark.parametrize("at", [130, BLOCK, 2 * BLOCK - 100])
def test_a_flipped_bit_is_found_by_verify_and_soon_on_reading(tmp_path: Path, at: int) -> None:
    """Reading looks at the last block and two others of four: it is met within a few readings."""
    store = Store(tmp_path)
    tall = Grid((61, 127, 260), GRID.affine)
    array = np.random.default_rng(0).integers(-1000, 900, tall.shape).astype(np.int16)
    image_id = store.add_image(Volume(array, tall, "ct"), source_name="a").image_id
    assert store.verify() == ()
    flip(store.array_path(image_id), at)
    assert store.verify() == (image_id,)

    def met() -> bool:
        try:
            store.volume(image_id)
        except Failed:
            return True
        return False

    assert any(met() for _ in range(200))


def test_an_array_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(volume().array))
    assert is_whole(tmp_path / "a.npy", every=True)
    cut(tmp_path / "a.npy")
    assert not is_whole(tmp_path / "a.npy")


def test_the_command_says_what_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = store.add_image(volume(), source_name="a")
    store.add_mask(Mask(volume().array > 0, GRID), image_id=image.image_id)
    runner = CliRunner()
    well = runner.invoke(app, ["store", "verify", "--store", str(tmp_path)])
    assert (well.exit_code, "All 2 arrays" in well.output) == (0, True)
    flip(store.array_path(image.image_id), 5000)
    bad = runner.invoke(app, ["store", "verify", "--store", str(tmp_path)])
    assert (bad.exit_code, image.image_id in bad.output) == (1, True)


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(timeout=30)
        return gone.pid


def test_an_export_sweeps_away_what_a_killed_one_left(ask: Ask, root: Path) -> None:
    image_id = ask("open_image", path="ct.nii.gz").result["image_id"]
    mask_id = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    ours, gone = machine(), dead_pid()
    left = [root / f".liver.nii.gz.{ours}-{gone}.ab12.tmp", root / f".liver.nii.gz.{gone}.ab12.tmp"]
    stay = [
        root / f".liver.nii.gz.{ours}-1.ab12.tmp",  # its writer runs
        root / f".liver.nii.gz.{'0' * 12}-{gone}.ab12.tmp",  # of another machine, a moment ago
        root / ".notes.tmp",
    ]
    for path in (*left, *stay):
        path.write_bytes(b"x")
    assert not ask("export", mask_ids=[mask_id], folder=".").is_error
    assert [path.exists() for path in left] == [False, False]
    assert all(path.exists() for path in stay)


def test_upkeep_removes_uploads_that_nobody_goes_on_with(tmp_path: Path) -> None:
    files = tmp_path / "callers" / "ada" / "files"
    files.mkdir(parents=True)
    (files / ".00ff.part").write_bytes(b"x")
    (files / ".11ff.part").write_bytes(b"x")
    os.utime(files / ".00ff.part", (0, 0))
    sweep_uploads(tmp_path)
    assert [path.name for path in files.iterdir()] == [".11ff.part"]
