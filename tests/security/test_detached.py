"""Headers that name a file elsewhere: by a grammar of headers against a canary outside the root, and through the upload route."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ostensor.imaging import files
from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.server.http.tokens import TokenFile
from ostensor.tools.desk.desk import Desk

from ..toys.http_toys import scan_bytes, served
from .headers import MARK, drawn, stage

META = "ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_UCHAR\n"
NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 5 7 11\nencoding: raw\n"
NRRDS = ("a.nrrd", "a.nhdr")


def outcome(path: Path, root: Path) -> str:
    """ "refused", "read", or "leaked" when the canary's bytes came back."""
    try:
        opened = read_image(path, modality="ct", within=(root,))
    except BadCall as refusal:
        return "leaked" if MARK.decode()[:12] in str(refusal) else "refused"
    assert opened.volume is not None
    return "leaked" if MARK[:12] in opened.volume.array.tobytes(order="F") else "read"


def fuzzed(folder: Path, count: int, seed: int) -> dict[str, int]:
    root, canary = stage(folder)
    draw = random.Random(seed)
    seen = {"refused": 0, "read": 0}
    for number in range(count):
        name, content = drawn(draw, root, canary)
        (root / name).write_bytes(content)
        found = outcome(root / name, root)
        assert found != "leaked", f"case {number} of seed {seed}: {content[:400]!r}"
        seen[found] += 1
    return seen


def test_no_header_of_a_grammar_reaches_the_canary(tmp_path: Path) -> None:
    seen = fuzzed(tmp_path, 1500, seed=22)
    assert seen["read"] > 30, "honest files are still read"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_header_of_twenty_thousand_reaches_the_canary(tmp_path: Path) -> None:
    assert sum(fuzzed(tmp_path, 20_000, seed=1).values()) == 20_000


@pytest.mark.parametrize(
    "told",
    [
        "ElementDataFile : {canary}\n",
        "ElementDataFile = link.raw\n",
        "Comment = x\nElementDataFile = ../secret1.raw\n",
    ],
)
def test_a_library_that_follows_names_fetches_the_canary(tmp_path: Path, told: str) -> None:
    """What is refused here is no harmless header: ITK, given the same file, brings the canary. (Others make it crash.)"""
    root, canary = stage(tmp_path)
    (root / "a.mhd").write_text(META + told.format(canary=canary))
    assert MARK[:12] in sitk.GetArrayFromImage(sitk.ReadImage(str(root / "a.mhd"))).tobytes()
    assert outcome(root / "a.mhd", root) == "refused"


@pytest.mark.parametrize(
    "told",
    [
        "ElementDataFile : {canary}\n",
        "\vElementDataFile = {canary}\n",
        "\fElementDataFile = {canary}\n",
        "Comment = x\rElementDataFile = {canary}\n",
        "ElementDataFile = LOCAL\rElementDataFile = {canary}\n",
        "Comment = " + "x" * (1 << 20) + "\nElementDataFile = {canary}\n",
        "ElementDataFile = LoCaL\n",
        "ElementDataFile : link.raw\n",
        "ElementDataFile = LIST\n{canary}\n",
        "ElementDataFile = own.raw\nElementDataFile = {canary}\n",
    ],
)
def test_spellings_that_once_worked_are_refused(tmp_path: Path, told: str) -> None:
    root, canary = stage(tmp_path)
    (root / "LoCaL").symlink_to(canary)
    (root / "a.mhd").write_text(META + told.format(canary=canary), encoding="utf-8", newline="")
    if told.startswith("ElementDataFile = own.raw"):  # the key ends a header: what follows are voxels
        assert outcome(root / "a.mhd", root) == "read"
        return
    assert outcome(root / "a.mhd", root) == "refused"


def test_a_pipe_and_a_device_are_no_data_files(tmp_path: Path) -> None:
    root, _ = stage(tmp_path)
    os.mkfifo(root / "pipe.raw")
    (root / "a.mhd").write_text(META + "ElementDataFile = pipe.raw\n")
    (root / "a.nrrd").write_text(NRRD + "data file: pipe.raw\n")
    assert outcome(root / "a.mhd", root) == outcome(root / "a.nrrd", root) == "refused"


def test_the_neighbour_of_a_header_is_read(tmp_path: Path) -> None:
    root, _ = stage(tmp_path)
    (root / "a.mhd").write_text(META + "ElementDataFile = own.raw\n")
    (root / "a.nrrd").write_text(NRRD + "data file: own.raw\n")
    for name in ("a.mhd", "a.nrrd"):
        volume = read_image(root / name, modality="ct", within=(root,)).volume
        assert volume is not None
        np.testing.assert_array_equal(volume.array, 7)


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nhdr"])
def test_an_upload_brings_its_voxels_along(desk: Desk, name: str) -> None:
    """Even a neighbour is refused: the caller's folder holds what others' exports and uploads left there."""
    token = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    local = "ElementDataFile = LOCAL\n" if name not in NRRDS else "\n"
    with served(desk, auth="tokens") as site:
        for place in ("own.raw", str(desk.store.folder / "http.key"), "../../../http.key", "http.key"):
            told = f"ElementDataFile = {place}\n" if name not in NRRDS else f"data file: {place}\n"
            head = NRRD if name in NRRDS else META
            for folder in (desk.store.folder / "callers").rglob("files"):
                (folder / "own.raw").write_bytes(b"\x07" * 385)
            refused = site.request("POST", "/upload", token, params={"name": name}, content=(head + told).encode())
            assert refused.status_code == 422, refused.text
        kept = [path.name for path in (desk.store.folder / "callers").rglob("files/*")]
        assert [one for one in kept if one != "own.raw"] == []
        whole = (NRRD if name in NRRDS else META) + local
        sent = site.request(
            "POST", "/upload", token, params={"name": name}, content=whole.encode() + bytes(range(77)) * 5
        )
        assert sent.status_code == 201, sent.text


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError(), 503), (RuntimeError("x"), 500), (BadCall("It is none."), 422)]
)
def test_an_upload_that_cannot_be_opened_is_not_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    token = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    monkeypatch.setattr(files, "read_image", fails)
    with served(desk, auth="tokens") as site:
        refused = site.request("POST", "/upload", token, params={"name": "a.nii"}, content=scan_bytes())
    assert refused.status_code == status
    assert not list((desk.store.folder / "callers").rglob("files/*"))


def test_a_second_upload_that_fails_leaves_the_first(desk: Desk) -> None:
    token = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    with served(desk, auth="tokens") as site:
        for modality, status in (("ct", 201), ("nonsense", 422), ("ct", 201)):
            wanted = {"name": "a.nii", "modality": modality}
            assert site.request("POST", "/upload", token, params=wanted, content=scan_bytes()).status_code == status
            assert len(list((desk.store.folder / "callers").rglob("files/*_a.nii"))) == 1
