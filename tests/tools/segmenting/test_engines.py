"""A program of the user's at a desk: masks exact to the voxel, who is asked and why, what is refused, what ends with it."""

import hashlib
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import psutil
import pytest

from ostensor.models import catalogue
from ostensor.models.external import shelf
from ostensor.models.external.engine import Engine
from ostensor.models.external.folders import command
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import AFFINE, HERE, Ask, call_once, save

sys.path.insert(0, str(HERE))
from band_values import BANDS

PROGRAM = HERE / "band_program.py"
SHAPE = (61, 53, 29)
BLOCKS = {"liver": (slice(8, 25), slice(10, 30), slice(5, 17)), "spleen": (slice(40, 50), slice(30, 41), slice(20, 28)),
          "left kidney": (slice(30, 36), slice(8, 16), slice(3, 13))}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A scan of the bands: every voxel's label is known."""
    folder = tmp_path / "scans"
    folder.mkdir()
    save(folder / "ct.nii.gz", banded())
    save(folder / "flipped.nii.gz", banded()[::-1], np.diag([-1.0, 1, 1, 1]) @ AFFINE)
    return folder


def banded() -> Any:
    array = np.full(SHAPE, -1000, np.int16)
    array[3:58, 3:50] = 40
    for name, where in BLOCKS.items():
        array[where] = sum(BANDS[name]) // 2
    return array


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    """The toys of the usual desk beside the real loader, in the worker too."""
    return Settings(store=tmp_path / "store", roots=(root,), factory="desk_engines:load")


def add(how: str = "well", *, name: str = "mine", mark: str = "", **changes: Any) -> Engine:
    template = f"{shlex.join([sys.executable, str(PROGRAM)])} {{image}} {{mask}} {how} {mark or name}"
    made = command.describe(None, {"template": template, "classes": {one: n for n, one in enumerate(BANDS, 1)}})
    named = tuple(replace(one, structure=one.label) for one in made.classes)
    facts: dict[str, Any] = {"modalities": ("ct",), "licence": "MIT", "purpose": "any", "classes": named, **changes}
    engine = shelf.add_engine(replace(made, name=name, **facts))
    return engine


def asked(
    ask: Ask, image_id: str, structures: list[str], model: str = "mine", **more: Any
) -> dict[str, dict[str, Any]]:
    reply = ask("segment", image_id=image_id, structures=structures, model=model, wait_s=120, **more)
    assert not reply.is_error, reply.text
    return {row["structure"]: row for row in reply.result["masks"]}


def private_folders() -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).glob("ostensor-engine-*"))


def running(mark: str) -> list[psutil.Process]:
    found = [one for one in psutil.process_iter(["cmdline", "status"]) if mark in (one.info["cmdline"] or ())]
    return [one for one in found if one.info["status"] != psutil.STATUS_ZOMBIE]


def test_masks_are_exact_and_carry_where_they_come_from(ask: Ask, desk: Desk, image_id: str) -> None:
    engine = add()
    rows = asked(ask, image_id, ["liver", "spleen", "left kidney", "right kidney"])
    for name, where in BLOCKS.items():
        wanted = np.zeros(SHAPE, bool)
        wanted[where] = True
        assert np.array_equal(desk.store.mask(rows[name]["mask_id"]).array, wanted), name
    told = rows["liver"]["provenance"]
    assert (told["model"], told["licence"], told["purpose"]) == ("mine", "MIT", "any")
    assert not told["weights_sha256"]  # a program has no weights of its own
    assert told["engine"].startswith("command ")
    assert "network: " in told["engine"]
    assert rows["right kidney"]["verdict"] == "unsure"
    assert rows["right kidney"]["mask_id"] is None
    assert engine.orientation_from == "adapter"
    flipped = str(ask("open_image", path="flipped.nii.gz").result["image_id"])
    found = desk.store.mask(asked(ask, flipped, ["liver"])["liver"]["mask_id"]).array
    wanted = np.zeros(SHAPE, bool)
    wanted[BLOCKS["liver"]] = True
    assert np.array_equal(found[::-1], wanted)


def test_nothing_is_called_absent_and_present_needs_known_axes(ask: Ask, image_id: str) -> None:
    add()
    add(name="guess", orientation="RAS", orientation_from="assumed")
    known, guessed = asked(ask, image_id, ["spleen"]), asked(ask, image_id, ["spleen"], "guess")
    assert known["spleen"]["verdict"] in ("present", "unsure")
    assert guessed["spleen"]["verdict"] == "unsure"
    assert "axes" in guessed["spleen"]["reason"]
    assert known["spleen"]["mean_sigmoid"] is None
    assert known["spleen"]["confidence"] is None


def test_hashes_of_weights_stand_in_the_provenance(ask: Ask, image_id: str, home: Path) -> None:
    (home / "w").mkdir()
    (home / "w" / "a.pth").write_bytes(b"abc")
    add(folder=str(home / "w"), files={"a.pth": ""})
    told = asked(ask, image_id, ["liver"])["liver"]["provenance"]["weights_sha256"]
    line = b"a.pth ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
    assert told == hashlib.sha256(line).hexdigest()
    (home / "w" / "a.pth").write_bytes(b"abd")
    shelf.save_engine(replace(shelf.engine_of("mine"), title="touched"))  # so that it is loaded anew
    reply = ask("segment", image_id=image_id, structures=["spleen"], model="mine", wait_s=120)
    assert reply.is_error
    assert "engine_weights_changed" in reply.text


def test_auto_takes_the_preferred_then_the_best_measured_and_says_why(ask: Ask, image_id: str) -> None:
    add()
    row = asked(ask, image_id, ["liver"], "auto")["liver"]["provenance"]
    assert row["model"] == "toy-ct"
    assert "toy-ct 0.90, mine never measured" in row["choice"]
    shelf.keep_measured("mine", "case", {"liver": 0.95, "spleen": 0.5})
    row = asked(ask, image_id, ["liver"], "auto")["liver"]["provenance"]
    assert (row["model"], "mine 0.95, toy-ct 0.90" in row["choice"]) == ("mine", True)
    shelf.save_engine(replace(shelf.engine_of("mine"), prefer=("spleen",)))
    rows = asked(ask, image_id, ["liver", "spleen"], "auto")
    assert rows["spleen"]["provenance"]["model"] == "mine"
    assert "prefers 'mine'" in rows["spleen"]["provenance"]["choice"]
    shelf.remove_engine("mine")
    row = asked(ask, image_id, ["liver"], "auto")["liver"]["provenance"]
    assert (row["model"], row["choice"]) == ("toy-ct", None)


def test_research_only_is_refused_before_anything_starts(tmp_path: Path, root: Path) -> None:
    add("hangs", mark=str(tmp_path), purpose="research-only", licence="CC BY-NC 4.0", prefer=("*",))
    sold = Settings(store=tmp_path / "sold", roots=(root,), factory="desk_engines:load", purpose="commercial")
    with Desk(sold) as desk:
        image = str(anyio.run(call_once, desk, "open_image", {"path": "ct.nii.gz"}).result["image_id"])
        reply = anyio.run(call_once, desk, "segment", {"image_id": image, "structures": ["liver"], "model": "mine"})
        assert reply.is_error
        assert "research only (CC BY-NC 4.0)" in reply.text
        auto = anyio.run(call_once, desk, "segment", {"image_id": image, "structures": ["liver"], "wait_s": 120})
        assert auto.result["masks"][0]["provenance"]["model"] == "toy-ct"
        assert not running(str(tmp_path))


def test_channels_are_counted_named_and_compared(ask: Ask, desk: Desk, root: Path, image_id: str) -> None:
    add()
    words = f"{shlex.join([sys.executable, str(PROGRAM)])} {{image1}} {{mask}}"
    add(name="two", channels=("T1", "T2"), options={"template": words})
    save(root / "other.nii.gz", np.where(banded() == 100, 200, banded()).astype(np.int16))
    save(root / "small.nii.gz", banded()[:-1])
    other, small = (str(ask("open_image", path=f"{name}.nii.gz").result["image_id"]) for name in ("other", "small"))
    for channels, fact in (
        ([], "0 came"),
        ([other, other], "2 came"),
        ([small], "grid"),
        (["img_000000000000"], "img_000000000000"),
    ):
        reply = ask("segment", image_id=image_id, structures=["liver"], model="two", channels=channels)
        assert reply.is_error, channels
        assert fact in reply.text
    assert ask("segment", image_id=image_id, structures=["liver"], model="mine", channels=[other]).is_error
    assert ask("segment", image_id=image_id, structures=["liver"], channels=[other]).is_error
    rows = asked(ask, image_id, ["liver", "spleen"], "two", channels=[other])
    assert rows["liver"]["mask_id"] is None  # in the second image the liver has the spleen's value
    assert int(desk.store.mask(rows["spleen"]["mask_id"]).array.sum()) == 17 * 20 * 12 + 10 * 11 * 8
    kept = desk.store.mask_record(rows["spleen"]["mask_id"]).facts["provenance"]
    assert kept["inputs"] == [image_id, other]


def test_labels_the_table_does_not_know_are_asked_by_their_own_name(ask: Ask, desk: Desk, image_id: str) -> None:
    made = add()
    odd = tuple(replace(one, label="Zone 7", structure="") if one.label == "spleen" else one for one in made.classes)
    shelf.save_engine(replace(made, classes=odd))
    row = asked(ask, image_id, ["Zone 7"])["Zone 7"]
    assert int(desk.store.mask(row["mask_id"]).array.sum()) == 10 * 11 * 8
    assert row["provenance"]["model"] == "mine"
    assert asked(ask, image_id, ["Zone 8"])["Zone 8"]["verdict"] == "unsupported"


def test_an_engine_added_changed_or_removed_is_noticed_while_the_worker_runs(
    ask: Ask, desk: Desk, image_id: str
) -> None:
    reply = ask("segment", image_id=image_id, structures=["liver"], model="mine")
    assert reply.is_error
    add()
    assert asked(ask, image_id, ["liver"])["liver"]["mask_id"]
    pid = desk.workers.pid  # type: ignore[attr-defined]
    template = shelf.engine_of("mine").options["template"].replace(" well ", " nothing ")
    shelf.save_engine(replace(shelf.engine_of("mine"), options={"template": template}))
    reply = ask("segment", image_id=image_id, structures=["liver"], model="mine", wait_s=120)
    assert reply.is_error
    assert "engine_geometry_broken" in reply.text
    shelf.remove_engine("mine")
    assert "Unknown model 'mine'" in ask("segment", image_id=image_id, structures=["liver"], model="mine").text
    assert desk.workers.pid == pid  # type: ignore[attr-defined]


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        anyio.run(anyio.sleep, 0.05)
    raise AssertionError("it did not come to pass")


def test_a_job_that_is_cancelled_kills_the_program(ask: Ask, image_id: str, home: Path) -> None:
    add("hangs", mark=str(home))
    job = ask("segment", image_id=image_id, structures=["liver"], model="mine", wait_s=0).result["job_id"]
    wait_until(lambda: bool(running(str(home))))
    assert ask("get_job", job_id=job, wait_s=0).result["state"] == "running"
    ask("cancel_job", job_id=job)
    wait_until(lambda: not running(str(home)))
    wait_until(lambda: ask("get_job", job_id=job).result["state"] == "cancelled")
    assert not [path for folder in private_folders() for path in folder.glob("run*")]


def test_when_the_worker_is_killed_no_program_survives_and_the_next_call_works(
    ask: Ask, desk: Desk, image_id: str, home: Path
) -> None:
    add("forks", mark=str(home))
    job = ask("segment", image_id=image_id, structures=["liver"], model="mine", wait_s=0).result["job_id"]
    wait_until(lambda: len(running(str(home))) == 2)
    os.kill(desk.workers.pid, 9)  # type: ignore[attr-defined]
    wait_until(lambda: not running(str(home)))
    wait_until(lambda: not private_folders())
    wait_until(lambda: ask("get_job", job_id=job).result["state"] == "failed")
    add(name="other")
    assert asked(ask, image_id, ["liver"], "other")["liver"]["mask_id"]


def test_when_the_desk_closes_nothing_is_left(settings: Settings) -> None:
    add()
    with Desk(settings) as desk:
        image = str(anyio.run(call_once, desk, "open_image", {"path": "ct.nii.gz"}).result["image_id"])
        anyio.run(
            call_once, desk, "segment", {"image_id": image, "structures": ["liver"], "model": "mine", "wait_s": 120}
        )
        assert len(private_folders()) == 1
        assert not list(private_folders()[0].glob("run*"))
    wait_until(lambda: not private_folders())


def test_all_models_are_asked_and_the_engine_gives_a_second_opinion(ask: Ask, image_id: str) -> None:
    add()
    shelf.keep_measured("mine", "case", {"liver": 0.95})
    rows = asked(ask, image_id, ["liver"], "all")
    assert "mine" in str(rows["liver"])
    assert "toy-ct" in str(rows["liver"])
    mask = asked(ask, image_id, ["liver"], "toy-ct")["liver"]["mask_id"]
    checks = ask("assess_mask", mask_id=mask, methods=["second_engine"]).result["checks"]
    (mine,) = [row for row in checks if row["check"] == "second engine mine"]
    assert mine["passed"] is True
    assert mine["value"] == pytest.approx(1.0)


def test_the_catalogue_names_it(ask: Ask) -> None:
    add()
    catalogue.forget_cards()
    assert "mine" in str(ask("list_models").result)
