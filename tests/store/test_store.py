"""The store keeps what it acknowledged, gives the same thing the same handle, and survives a kill."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.dicom.source import DicomSource, Instance
from ostensor.imaging.errors import BadCall, Failed
from ostensor.imaging.guards.atomic import write_atomically
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.store.arrays import read_bits, write_bits
from ostensor.store.shared import Shared
from ostensor.store.store import Store

AFFINE = np.array([[0.7, 0.1, 0, -31.3], [-0.1, 0.9, 0.2, 17.9], [0, -0.2, 3.0, 5.5], [0, 0, 0, 1]])
SHAPE = (5, 7, 11)


def _volume(seed: int = 0, dtype: str = "int16") -> Volume:
    values = np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(dtype)
    return Volume(values, Grid(SHAPE, AFFINE), "ct")


def _mask(seed: int = 0) -> Mask:
    return Mask(np.random.default_rng(seed).random(SHAPE) > 0.5, Grid(SHAPE, AFFINE))


def test_an_image_comes_back_voxel_by_voxel_after_a_restart(tmp_path: Path, shared: Shared) -> None:
    volume = _volume()
    image_id = (
        Store(tmp_path, shared=shared).add_image(volume, source_name="scan.nii", facts={"warnings": ["a"]}).image_id
    )
    again = Store(tmp_path, shared=shared)
    assert again.repairs == ()
    np.testing.assert_array_equal(again.volume(image_id).array, volume.array)
    assert again.volume(image_id).array.dtype == np.int16
    np.testing.assert_array_equal(again.image(image_id).grid.affine, AFFINE)
    assert again.image(image_id).facts == {"warnings": ["a"]}
    assert [record.image_id for record in again.images()] == [image_id]


def test_the_worker_can_map_the_voxels_by_path(tmp_path: Path, shared: Shared) -> None:
    store, volume = Store(tmp_path, shared=shared), _volume(dtype="float32")
    image_id = store.add_image(volume, source_name="a").image_id
    np.testing.assert_array_equal(np.load(store.array_path(image_id), mmap_mode="r"), volume.array)


def test_same_image_same_handle_and_another_image_another(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    first = store.add_image(_volume(), source_name="a")
    assert store.add_image(_volume(), source_name="b") == first
    assert store.add_image(_volume(1), source_name="a").image_id != first.image_id
    assert Store(tmp_path / "other", shared=shared).add_image(_volume(), source_name="c").image_id == first.image_id


def test_masks_come_back_and_carry_who_made_them(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    image_id = store.add_image(_volume(), source_name="a").image_id
    mask = _mask()
    liver = store.add_mask(mask, image_id=image_id, structure="liver", made_by="m1", facts={"licence": "CC0"})
    assert store.add_mask(mask, image_id=image_id, structure="liver", made_by="m1") == liver
    other = store.add_mask(mask, image_id=image_id, structure="liver", made_by="m2")
    assert other.mask_id != liver.mask_id
    np.testing.assert_array_equal(Store(tmp_path, shared=shared).mask(liver.mask_id).array, mask.array)
    assert liver.voxels == np.count_nonzero(mask.array)
    assert store.masks_of(image_id) == (liver, other)


def test_a_mask_on_another_grid_is_refused(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    image_id = store.add_image(_volume(), source_name="a").image_id
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.5
    with pytest.raises(BadCall, match="share its image's grid"):
        store.add_mask(Mask(_mask().array, Grid(SHAPE, shifted)), image_id=image_id)


def test_unknown_handles_are_refused_with_the_latest_known(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    with pytest.raises(BadCall, match=r"Unknown image 'img_x'\. There is none yet"):
        store.image("img_x")
    image_id = store.add_image(_volume(), source_name="a").image_id
    with pytest.raises(BadCall, match=image_id):
        store.volume("img_x")
    with pytest.raises(BadCall, match="Unknown mask"):
        store.mask("msk_x")
    with pytest.raises(BadCall, match="Unknown job"):
        store.job("job_x")


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (2, 7, 13)])
def test_bits_round_trip_at_sizes_that_are_no_multiple_of_eight(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    mask = np.random.default_rng(3).random(shape) > 0.3
    write_atomically(tmp_path / "m.bits", lambda file: write_bits(file, mask))
    np.testing.assert_array_equal(read_bits(tmp_path / "m.bits"), mask)


@pytest.mark.parametrize("seed", range(6))
def test_the_region_of_a_stored_mask_is_that_of_the_mask(tmp_path: Path, shared: Shared, seed: int) -> None:
    """Reading only the planes that have voxels must cut exactly where the whole mask does."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 14, 3))
    array = rng.random(shape) < (0.0, 0.004, 0.02, 0.1, 0.5, 1.1)[seed]
    store, grid = Store(tmp_path, shared=shared), Grid(shape, np.diag([0.7, 0.9, 3.0, 1.0]))
    volume = Volume(rng.integers(0, 99, shape).astype(np.int16), grid)
    record = store.add_mask(Mask(array, grid), image_id=store.add_image(volume, source_name="x").image_id)
    found, wanted = store.region(record.mask_id), Region.of(Mask(array, grid))
    assert found.box == wanted.box
    assert np.array_equal(found.array, wanted.array)
    assert found.grid == grid


def test_damaged_arrays_are_reported_not_returned(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = store.add_image(_volume(), source_name="a")
    record = store.add_mask(_mask(), image_id=image.image_id)
    assert store.verify() == ()
    path = store.arrays.mask_path(record.content_hash)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Failed, match="store repair"):
        store.mask(record.mask_id)
    voxels = bytearray(store.array_path(image.image_id).read_bytes())
    voxels[-1] ^= 1
    store.array_path(image.image_id).write_bytes(voxels)
    assert store.verify() == (image.image_id, record.mask_id)


def test_entries_whose_array_vanished_are_forgotten_at_start(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = store.add_image(_volume(), source_name="a")
    store.add_mask(_mask(), image_id=image.image_id)
    store.array_path(image.image_id).unlink()
    again = Store(tmp_path)
    assert image.image_id in again.repairs[0]
    assert again.images() == ()


def test_a_place_that_is_empty_makes_nobody_forget_what_servers_share(tmp_path: Path, shared: Shared) -> None:
    """It may be the wrong one, or not mounted; a folder alone forgets, see above."""
    if not shared.catalogue:
        pytest.skip("a folder's own entries are forgotten")
    image = Store(tmp_path / "one", shared=shared).add_image(_volume(), source_name="a")
    other = Store(tmp_path / "two", shared=replace(shared, arrays=""))
    assert other.repairs == ()
    assert [record.image_id for record in other.images()] == [image.image_id]


def test_gc_frees_only_what_nobody_names(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    kept = store.add_image(_volume(), source_name="a")
    dropped = store.add_image(_volume(1), source_name="b")
    store.add_mask(_mask(), image_id=dropped.image_id)
    size = sum(
        p.stat().st_size for p in (store.array_path(dropped.image_id), store.arrays.mask_path(_mask().content_hash))
    )
    store.remove_image(dropped.image_id)
    assert store.gc() == 0, "a young file may belong to a writer that is not done"
    assert store.gc(older_than_s=0) == size
    assert store.volume(kept.image_id).content_hash == kept.content_hash


def test_a_final_job_does_not_change_again(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    job = store.create_job("segment", {"image_id": "img_1"})
    assert (job.state, job.progress) == ("queued", 0.0)
    assert store.update_job(job.job_id, state="running", progress=0.5, message="window 3 of 6").progress == 0.5
    assert store.update_job(job.job_id, state="cancelled", error="asked to stop").is_final
    assert store.update_job(job.job_id, state="done", result={"masks": []}).state == "cancelled"
    with pytest.raises(BadCall, match="0 to 1"):
        store.update_job(job.job_id, progress=1.5)


def test_many_threads_may_add_the_same_image(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda n: store.add_image(_volume(n % 2), source_name="a"), range(24)))
    assert len({record.image_id for record in records}) == 2
    assert len(store.images()) == 2
    assert store.verify() == ()


WRITER = """
    import json
    import sys
    from pathlib import Path
    import numpy as np
    from ostensor.store.shared import Shared
    from ostensor.store.store import Store
    from ostensor.imaging.volume import Grid, Mask, Volume

    store = Store(Path(sys.argv[1]), shared=Shared(**json.loads(sys.argv[2])))
    store.create_job("segment", {})
    for seed in range(100000):
        values = np.random.default_rng(seed).integers(0, 99, (61, 67, 71)).astype("int16")
        volume = Volume(values, Grid(values.shape, np.eye(4)), "ct")
        image = store.add_image(volume, source_name="a")
        mask = store.add_mask(Mask(values > 50, volume.grid), image_id=image.image_id)
        print(image.image_id, mask.mask_id, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, shared: Shared, acknowledged: int) -> None:
    """SIGKILL while it writes; then every printed handle must read back with a correct hash."""
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), json.dumps(vars(shared))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(acknowledged)]
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait(timeout=30)
    store = Store(tmp_path, shared=shared)
    for line in filter(lambda text: text.endswith("\n"), lines):
        image_id, mask_id = line.split()
        np.testing.assert_array_equal(store.mask(mask_id).array, store.volume(image_id).array > 50)
    assert store.verify() == ()
    assert [job.state for job in store.jobs()] == ["lost"]
    assert any("lost" in sentence for sentence in store.repairs)
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_temporary_file_of_a_running_writer_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = tmp_path / "arrays" / "images" / "ab"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (folder / f".x.npy.{other.pid}.00.tmp").write_bytes(b"1")
        assert store.repair() == ()
        assert other.stdin is not None
        other.stdin.close()
    assert store.repair() == ("Removed 1 half-written array files.",)


def test_records_of_one_moment_are_ordered(tmp_path: Path, shared: Shared) -> None:
    """Times are UTC and sortable as text."""
    store = Store(tmp_path, shared=shared)
    first = store.create_job("a", {})
    second = store.create_job("b", {})
    assert first.created <= second.created
    assert {job.job_id for job in store.jobs()} == {first.job_id, second.job_id}
    assert first.created.endswith("+00:00")


def _open_to_others(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in (folder, *folder.rglob("*")) if p.lstat().st_mode & 0o077)


SOURCE = DicomSource({"00100020": {"vr": "LO", "Value": ["4711"]}}, (Instance("1.2", "1.2.3"),) * SHAPE[2])


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_everything_in_a_store_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "s")
        image = store.add_image(_volume(), source_name="a", source=SOURCE)
        store.add_mask(_mask(), image_id=image.image_id)
        store.create_job("segment", {})
        store.write_audit("open_image", {}, "ok")
        names = {path.name for path in store.folder.iterdir()}
    finally:
        os.umask(before)
    assert {"catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm", "audit.jsonl", "sources"} <= names
    assert _open_to_others(store.folder) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_store_of_an_earlier_version_is_closed_and_files_of_others_are_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.add_image(_volume(), source_name="a", source=SOURCE)
    store.engine.dispose()
    (store.folder / "notes.txt").write_text("mine", encoding="utf-8")
    for path in (store.folder, *store.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    Store(tmp_path / "s")
    assert _open_to_others(store.folder) == ["notes.txt"]


def test_a_forgotten_image_takes_its_identity_along_at_once(tmp_path: Path, shared: Shared) -> None:
    store = Store(tmp_path, shared=shared)
    named = store.add_image(_volume(), source_name="a", source=SOURCE)
    plain = store.add_image(_volume(), source_name="a")
    assert store.sources.get(named.image_id) == SOURCE
    assert store.sources.get(plain.image_id) is None
    store.remove_image(named.image_id)
    assert not list(tmp_path.rglob("*.json.gz"))
    assert store.volume(plain.image_id).content_hash == named.content_hash
