"""A path is checked on what was opened: swaps of links, pipes, devices and files that are not what they are called."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.imaging.guards.doors import Door

from ..toys.desks import Ask, save

INSIDE, SECRET = 7, 99


def scan(value: int) -> np.ndarray:
    return np.full((5, 7, 11), value, np.int16)


@contextmanager
def swapping(swap: Callable[[], None]) -> Iterator[None]:
    """Somebody swaps things as fast as the machine can while the block runs."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            swap()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def replaced_by_link(path: Path, target: Path, spare: Path) -> Callable[[], None]:
    """Swap a file or folder for a link to another one and back, each in one step."""

    def swap() -> None:
        spare.symlink_to(target)
        aside = path.with_name("aside")
        path.rename(aside)
        spare.rename(path)
        path.unlink()
        aside.rename(path)

    return swap


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("ending", [".nii", ".mhd"])
def test_a_swapped_link_never_wins(tmp_path: Path, what: str, ending: str) -> None:
    """The secret is never read, in some hundred openings against some thousand swaps."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder, value in ((root / "a", INSIDE), (outside, SECRET)):
        folder.mkdir(parents=True)
        save(folder / "scan.nii", scan(value))
        head = "ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_SHORT\nElementDataFile = scan.raw\n"
        (folder / "scan.mhd").write_text(head)
        (folder / "scan.raw").write_bytes(scan(value).tobytes())
    name = f"scan{ending}"
    path, target = (root / "a" / name, outside / name) if what == "file" else (root / "a", outside)
    seen = set()
    with swapping(replaced_by_link(path, target, tmp_path / "spare")):
        for _ in range(300):
            try:
                volume = read_image(root / "a" / name, modality="mr", within=(root,)).volume
            except (BadCall, OSError):
                continue
            assert volume is not None
            seen.add(int(volume.array.max()))
    assert seen <= {INSIDE}


def test_the_door_walks_without_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "a").write_bytes(b"yes")
    (tmp_path / "secret").write_bytes(b"no")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(tmp_path)
    door = Door((root.resolve(),))
    with door.open(root / "deep" / "er" / "a") as file:
        assert file.read() == b"yes"
    for bad in ("link", "linked/secret", "../secret", "deep", "deep/er"):
        with pytest.raises((BadCall, OSError)):
            door.open(root / bad)
    with pytest.raises(BadCall, match="outside"):
        door.open(tmp_path / "secret")
    with pytest.raises((BadCall, OSError)):
        door.remove(root / "linked" / "secret")
    assert (tmp_path / "secret").exists()
    door.remove(root / "deep" / "er" / "a")
    assert not (root / "deep" / "er" / "a").exists()


def test_pipes_and_devices_are_refused_at_once(ask: Ask, root: Path) -> None:
    """A pipe nobody writes to once held a thread for ever."""
    os.mkfifo(root / "pipe.nii.gz")
    os.mkfifo(root / "pipe")
    (root / "zero.nii").symlink_to("/dev/zero")
    (root / "dicom").mkdir()
    os.mkfifo(root / "dicom" / "pipe.dcm")
    for name in ("pipe.nii.gz", "pipe", "zero.nii", "dicom"):
        assert ask("open_image", path=name).is_error, name
    with pytest.raises(BadCall, match="no regular file"):
        read_image(root / "pipe")


def test_a_picture_is_of_the_format_its_name_says(tmp_path: Path) -> None:
    """Pillow alone would try forty formats, some of which start programs."""
    picture = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(9, 7))
    for wrong in ("GIF", "BMP", "EPS", "TIFF", "PPM"):
        picture.save(tmp_path / "a.png", wrong)
        with pytest.raises(BadCall, match="cannot be read as a picture"):
            read_image(tmp_path / "a.png")
