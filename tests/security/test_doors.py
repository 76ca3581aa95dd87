"""A path is checked on what was opened: swaps of links, pipes, devices and files that are not what they are called."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.imaging.guards.doors import Door
from ostensor.tools.scans import exporting

from ..toys.desks import Ask, save

INSIDE, SECRET = 7, 99


def scan(value: int) -> np.ndarray:
    return np.full((5, 7, 11), value, np.int16)


SWAPPER = """
    import os, sys
    path, target, spare, aside, kind = sys.argv[1:]
    print("begun", flush=True)
    while True:
        os.symlink(target, spare)
        if kind == "folder":
            os.rename(path, aside)
        os.rename(spare, path)
        if kind == "folder":
            os.unlink(path)
            os.rename(aside, path)
        else:
            os.link(aside, spare)
            os.rename(spare, path)
"""


@contextmanager
def swapping(path: Path, target: Path, folder: Path, kind: str) -> Iterator[None]:
    """Another process swaps a file or folder for a link and back, as fast as it can, while the block runs."""
    aside = folder / "aside"
    if kind == "file":
        os.link(path, aside)
    arguments = [str(path), str(target), str(folder / "spare"), str(aside), kind]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SWAPPER), *arguments], stdout=subprocess.PIPE
    ) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"begun\n"
        try:
            yield
            assert swapper.poll() is None, "it swapped all the while"
        finally:
            swapper.kill()


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("ending", [".nii", ".mhd"])
def test_a_swapped_link_never_wins(tmp_path: Path, what: str, ending: str) -> None:
    """The secret is never read, in hundreds of openings against thousands of swaps."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder, value in ((root / "a", INSIDE), (outside, SECRET)):
        folder.mkdir(parents=True)
        save(folder / "scan.nii", scan(value))
        head = "ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_SHORT\nElementDataFile = scan.raw\n"
        (folder / "scan.mhd").write_text(head)
        (folder / "scan.raw").write_bytes(scan(value).tobytes())
    name = f"scan{ending}"
    path, target = (root / "a" / name, outside / name) if what == "file" else (root / "a", outside)
    seen: set[int] = set()
    with swapping(path, target, tmp_path, what):
        for _ in range(500):
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


def test_an_export_goes_to_the_folder_that_was_checked(
    ask: Ask, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is swapped for a link to one outside after it was checked and before a mask is written."""
    image_id = ask("open_image", path="ct.nii.gz").result["image_id"]
    mask_id = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    inside, outside, aside = root / "exports", tmp_path / "outside", tmp_path / "aside"
    inside.mkdir()
    outside.mkdir()
    real = exporting.write_masks

    def swapped(*arguments: object, **options: object) -> object:
        inside.rename(aside)
        inside.symlink_to(outside)
        try:
            return real(*arguments, **options)  # type: ignore[arg-type]  # what it was given
        finally:
            inside.unlink()
            aside.rename(inside)

    monkeypatch.setattr(exporting, "write_masks", swapped)
    for kind in ("nifti", "nrrd", "stl", "dicom_seg"):
        told = ask("export", mask_ids=[mask_id], folder="exports", format=kind)
        assert not told.is_error, told.text
        assert list(outside.iterdir()) == []
        assert (root / told.result["files"][0]["path"]).is_file()
