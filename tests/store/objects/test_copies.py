"""Arrays at a shared place: another server reads them by a checked copy it can map, which is bounded."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.store.objects.copies import SharedArrays
from ostensor.store.objects.remote import Remote
from ostensor.store.quota import NoRoom, Quota
from ostensor.store.shared import Shared

from ..test_store import SOURCE
from .conftest import Place

GRID = Grid((5, 7, 11), np.diag([0.7, 0.9, 3.0, 1.0]))


def volume(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(-999, 999, GRID.shape).astype(np.int16), GRID, "ct")


def arrays(place: Place, folder: Path, most: int = 10**9) -> SharedArrays:
    return SharedArrays(folder, Remote(place.url, place.options), most)


def test_another_server_maps_what_one_wrote(place: Place, tmp_path: Path) -> None:
    one, two = arrays(place, tmp_path / "one"), arrays(place, tmp_path / "two")
    image, mask = volume(0), Mask(volume(1).array > 0, GRID)
    one.put_image(image.content_hash, image.array)
    one.put_mask(mask.content_hash, mask.array)
    path = two.here(two.image_path(image.content_hash))
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), image.array)
    np.testing.assert_array_equal(two.image(image.content_hash), image.array)
    np.testing.assert_array_equal(two.mask(mask.content_hash), mask.array)
    assert two.mask_region(mask.content_hash, GRID).box == Region.of(mask).box
    assert two.has(two.image_path(image.content_hash))
    assert not two.has(two.image_path("0" * 64))
    assert two.bytes_kept() == sum(p.stat().st_size for p in one.local())
    assert sorted(p.name for p in two.all()) == sorted(p.name for p in one.local())


def test_a_copy_that_rots_is_fetched_anew_and_a_shared_array_that_rots_is_refused(place: Place, tmp_path: Path) -> None:
    one, two = arrays(place, tmp_path / "one"), arrays(place, tmp_path / "two")
    image = volume(0)
    one.put_image(image.content_hash, image.array)
    path = two.here(two.image_path(image.content_hash))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(two.image(image.content_hash), image.array)
    one.remote.put(f"images/{image.content_hash[:2]}/{image.content_hash}.npy", _file(tmp_path, bytes(content)))
    path.unlink()
    with pytest.raises(Failed, match="arrived damaged"):
        two.here(path)
    assert not path.exists()


def _file(folder: Path, content: bytes) -> Path:
    (folder / "rotten").write_bytes(content)
    return folder / "rotten"


def test_copies_used_least_lately_go_first_and_those_just_used_stay(place: Place, tmp_path: Path) -> None:
    one = arrays(place, tmp_path / "one", most=0)
    paths = []
    for seed in range(4):
        image = volume(seed)
        one.put_image(image.content_hash, image.array)
        paths.append(one.image_path(image.content_hash))
    assert one.shrink() == 0, "a worker may be about to map them"
    size = paths[0].stat().st_size
    for age, path in enumerate(paths[:3]):
        os.utime(path, (1000 - age, 1000 - age))
    one.most = 2 * size
    mapped = np.load(paths[2], mmap_mode="r")
    assert one.shrink() == 2 * size
    assert [path.exists() for path in paths] == [True, False, False, True]
    np.testing.assert_array_equal(mapped, volume(2).array)
    np.testing.assert_array_equal(one.image(volume(2).content_hash), volume(2).array)


def test_room_counts_shared_arrays_once_whoever_wrote_them(place: Place, tmp_path: Path) -> None:
    one, two = arrays(place, tmp_path / "one"), arrays(place, tmp_path / "two")
    files = tmp_path / "files"
    files.mkdir()
    (files / "upload").write_bytes(b"x" * 500)
    for kept, seed in ((one, 0), (two, 1), (two, 0)):
        kept.put_image(volume(seed).content_hash, volume(seed).array)
    size = one.image_path(volume(0).content_hash).stat().st_size
    for kept in (one, two):
        quota = Quota(files, 2 * size + 1500, also=kept.bytes_kept)
        assert quota.left() == 1000
        with pytest.raises(NoRoom):
            quota.promise(1001)


def test_identities_of_scans_are_shared_and_forgotten_together(place: Place, tmp_path: Path) -> None:
    from ostensor.store.objects.identities import SharedSources

    one = SharedSources(tmp_path / "one", Remote(place.url, place.options))
    two = SharedSources(tmp_path / "two", Remote(place.url, place.options))
    one.put("img_0123456789ab", SOURCE)
    assert two.get("img_0123456789ab") == SOURCE
    assert two.get("img_ba9876543210") is None
    two.forget("img_0123456789ab")
    assert one.remote.entry("sources/01/img_0123456789ab.json.gz") is None


def test_a_place_that_is_away_is_said_without_its_address_or_keys(place: Place, tmp_path: Path) -> None:
    one = arrays(place, tmp_path / "one")
    image = volume(0)
    one.put_image(image.content_hash, image.array)
    assert one.is_there
    place.go_away()
    assert not one.is_there
    with pytest.raises(Unavailable, match=r"store of arrays does not answer.*check its address") as caught:
        one.put_image(volume(1).content_hash, volume(1).array)
    assert "hush" not in str(caught.value)
    assert "/" not in str(caught.value)
    np.testing.assert_array_equal(one.image(image.content_hash), image.array)


def test_a_file_that_cannot_be_brought_whole_is_not_there_and_what_a_kill_left_is_swept(tmp_path: Path) -> None:
    """A folder has names at once, so a file comes under another name first; a bucket does this itself."""
    place = Place(f"file://{tmp_path / 'shared'}", {})
    one, image = arrays(place, tmp_path / "one"), volume(0)
    one.put_image(image.content_hash, image.array)
    path = tmp_path / "shared" / one.image_path(image.content_hash).relative_to(one.folder)
    left = path.with_name(f"{path.name}.part-0123")
    path.rename(left)
    assert list(one.all()) == []
    assert not one.has(one.image_path(image.content_hash))
    assert one.sweep() == 0, "its writer may be at work"
    os.utime(left, (1000, 1000))
    assert one.sweep() > 0
    assert not left.exists()


def test_many_threads_of_two_servers_may_bring_the_same_array(place: Place, tmp_path: Path) -> None:
    one, two = arrays(place, tmp_path / "one"), arrays(place, tmp_path / "two")
    image, gate = volume(0), threading.Barrier(6)
    wrong = list[BaseException]()

    def bring(number: int) -> None:
        try:
            gate.wait()
            kept = (one, two)[number % 2]
            kept.put_image(image.content_hash, image.array)
            np.testing.assert_array_equal(kept.image(image.content_hash), image.array)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert [entry.name.rpartition("/")[2] for entry in one.remote.all("images")] == [f"{image.content_hash}.npy"]


def test_addresses_nobody_knows_are_refused() -> None:
    with pytest.raises(BadCall, match="of the kind 'nonsense'"):
        Remote("nonsense://x", {})
    assert "hush" not in repr(Shared(arrays="s3://b", options={"secret": "hush"}))
