"""`run_batch` over scans of a toy network: one table, outliers first, failures in their rows, and work that goes on."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.server.resuming import resume
from ostensor.store.roots import Roots
from ostensor.tools.cohorts import batch, looking, table
from ostensor.tools.cohorts.finding import find_scans
from ostensor.tools.cohorts.looking import Looked, Order
from ostensor.tools.cohorts.standing_out import scored
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.job import Job
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.desks import Ask, save, toy_scan

VOXEL_ML = 0.8 * 0.9 * 3.0 / 1000
LENGTHS = (10, 11, 12, 13, 12, 40)  # of each liver along x, in voxels; the last one stands out


def cohort(root: Path, lengths: tuple[int, ...] = LENGTHS, *, slow: bool = False) -> Path:
    """Scans with livers of these lengths, in a folder of their own; slow ones take the toy ten seconds."""
    folder = root / "cohort"
    folder.mkdir()
    for n, length in enumerate(lengths):
        array = toy_scan(liver=(slice(6, 6 + length), slice(10, 20), slice(5, 17)))
        array[0, 0, 0] = 3000 if slow and n >= 2 else n
        save(folder / f"Roe_Jane_{n}.nii.gz", array)
    return folder


def rows_of(root: Path, result: dict[str, Any]) -> list[dict[str, str]]:
    name = next(name for name in result["files"] if name.endswith(".csv"))
    return list(csv.DictReader(io.StringIO((root / name).read_text(encoding="utf-8"))))


def test_a_cohort_becomes_a_table_with_outliers_first(ask: Ask, root: Path) -> None:
    """Scores are those of 0.6745 (ln V - median) / MAD, worked out here."""
    cohort(root)
    reply = ask("run_batch", paths=["cohort/*.nii.gz"], structures=["liver", "spleen"], formats=["csv"], wait_s=120)
    assert not reply.is_error, reply.text
    cases = reply.result["cohort"]
    assert (cases["scans"], cases["done"], cases["failed"], cases["reused"]) == (6, 6, 0, 0)
    assert cases["verdicts"] == {"present": 6, "unsure": 6}, "an empty mask of the toy is no proof"
    rows = rows_of(root, reply.result)
    assert len(rows) == 12
    first = rows[0]
    assert (first["scan"], first["path"], first["structure"]) == ("6", "cohort/Roe_Jane_5.nii.gz", "liver")
    assert first["flags"].startswith("outlier in volume")
    logs = np.log(np.array(LENGTHS) * 120 * VOXEL_ML)
    mad = np.median(np.abs(logs - np.median(logs)))
    assert float(first["volume_ml_score"]) == pytest.approx(0.6745 * (logs[5] - np.median(logs)) / mad, abs=0.05), (
        "volumes are kept to 0.01 ml"
    )
    assert float(first["volume_ml"]) == pytest.approx(40 * 120 * VOXEL_ML, abs=0.01)
    assert float(first["intensity_mean"]) == 100
    assert [row["scan"] for row in rows if row["structure"] == "spleen"] == [str(n) for n in range(1, 7)]
    flagged = reply.result["flagged"][0]
    assert (flagged["scan"], flagged["structure"], flagged["mask_id"]) == (6, "liver", first["mask_id"])
    assert "scan 6 liver (outlier in volume" in reply.text
    spread = cases["structures"][0]
    assert spread["median_ml"] == pytest.approx(12 * 120 * VOXEL_ML, abs=0.01)
    assert "Roe" not in json.dumps(reply.result) + reply.text, "names of files may name patients"


def test_one_bad_scan_does_not_sink_the_others(ask: Ask, root: Path) -> None:
    folder = cohort(root, (10, 12))
    (folder / "Roe_John.nii.gz").write_bytes(b"no scan at all")
    reply = ask("run_batch", paths=["cohort"], structures=["liver"], formats=["csv"], wait_s=120)
    assert (reply.result["cohort"]["done"], reply.result["cohort"]["failed"]) == (2, 1)
    bad = next(row for row in rows_of(root, reply.result) if row["flags"] == "failed")
    assert bad["path"] == "cohort/Roe_John.nii.gz"
    assert "scan 3" in bad["error"]
    assert reply.result["errors"] == [{"scan": 3, "error": bad["error"]}]
    assert "Roe" not in json.dumps(reply.result) + reply.text


def test_asked_again_it_goes_on_and_looks_only_at_what_changed(
    ask: Ask, desk: Desk, root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cohort(root, (10, 12, 13))
    arguments = {"paths": ["cohort"], "structures": ["liver"], "formats": ["csv"], "wait_s": 120}
    first = ask("run_batch", **arguments)
    before = rows_of(root, first.result)
    save(folder / "Roe_Jane_1.nii.gz", toy_scan(liver=(slice(6, 26), slice(10, 20), slice(5, 17))))
    seen: list[str] = []
    real = looking.open_image
    monkeypatch.setattr(
        looking, "open_image", lambda desk, call, path, *rest: seen.append(path) or real(desk, call, path, *rest)
    )
    desk.close()
    with Desk(settings) as later:
        again = use(later, "run_batch", **arguments).result.model_dump()
    assert [Path(path).name for path in seen] == ["Roe_Jane_1.nii.gz"]
    assert again["cohort"]["reused"] == 2
    assert again["files"] == first.result["files"]
    after = rows_of(root, again)
    changed = {row["scan"] for row in after} - {row["scan"] for row in after if row in before}
    assert changed == {"2"}


def test_a_scan_whose_masks_are_gone_is_looked_at_again(ask: Ask, desk: Desk, root: Path) -> None:
    cohort(root, (10, 12))
    arguments = {"paths": ["cohort"], "structures": ["liver"], "formats": ["csv"], "wait_s": 120}
    ask("run_batch", **arguments)
    desk.store.remove_image(desk.store.images()[0].image_id)
    again = ask("run_batch", **arguments).result["cohort"]
    assert (again["done"], again["reused"]) == (2, 1)


def until(check: Callable[[], Any], seconds: float = 60) -> Any:
    for _ in range(int(seconds / 0.05)):
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_a_cancelled_batch_keeps_what_it_did_and_says_which_scan_it_is_at(ask: Ask, desk: Desk, root: Path) -> None:
    """The third scan takes ten seconds; the batch is stopped there."""
    cohort(root, (10, 12, 13, 14), slow=True)
    arguments = {"paths": ["cohort"], "structures": ["liver"], "formats": ["csv"]}
    job = ask("run_batch", **arguments, wait_s=0).result["job_id"]
    until(lambda: "scan 3 of 4" in ask("get_job", job_id=job, wait_s=0).result["message"])
    assert ask("cancel_job", job_id=job).result["state"] == "cancelled"
    assert list(root.glob("batch_*")) == []
    done = ask("run_batch", **arguments, wait_s=120).result["cohort"]
    assert (done["scans"], done["done"], done["reused"]) == (4, 4, 2)


def test_a_batch_of_a_stopped_server_goes_on_under_its_handle(desk: Desk, root: Path, settings: Settings) -> None:
    cohort(root, (10, 12, 13), slow=True)
    arguments = {"paths": ["cohort"], "structures": ["liver"], "formats": ["csv"], "wait_s": 0}
    job = use(desk, "run_batch", **arguments).result.model_dump()["job_id"]
    until(lambda: "scan 3 of 3" in desk.jobs.wait(job, 0).message)
    assert desk.jobs.set_aside(0) == (job,)
    desk.close()
    with Desk(settings) as later:
        assert resume(later) == (job,)
        record = later.jobs.wait(job, 120)
    assert record.state == "done"
    assert record.result is not None
    assert record.result["cohort"]["reused"] == 2


def test_progress_is_the_share_of_scans_even_where_structures_are_looked_for_in_vain(desk: Desk, root: Path) -> None:
    """A missing spleen makes looks on the side, which count within their scan and not in the whole."""
    cohort(root, (10, 12, 13, 12))
    told: list[tuple[float, str]] = []
    job = Job.begun(desk, "job_0", lambda share, message: told.append((share, message)), threading.Event())
    order = Order(("liver", "spleen"), ("volume",), "auto", "auto", False)
    batch._look_at_all(job, find_scans(desk.roots, ["cohort"]), order)
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    for share, message in told:
        number = int(message.split()[1])
        assert 0.95 * (number - 1) / 4 - 1e-9 <= share <= 0.95 * number / 4 + 1e-9, message
    assert {message.split(":")[0] for _, message in told} == {f"scan {n} of 4" for n in (1, 2, 3, 4)}


def test_a_contact_sheet_has_a_tile_per_scan_framed_where_it_needs_a_look(ask: Ask, root: Path) -> None:
    folder = cohort(root, (10, 12, 13, 12, 11, 40, 12))
    (folder / "x.nii.gz").write_bytes(b"no scan at all")
    reply = ask("run_batch", paths=["cohort"], structures=["liver"], formats=["csv"], wait_s=120)
    sheet = Image.open(root / next(name for name in reply.result["files"] if name.endswith(".png"))).convert("RGB")
    assert sheet.size == (6 * 246, 2 * 264)
    flagged = {row["scan"] for row in reply.result["flagged"]} | {8}
    frames = [sheet.getpixel((n % 6 * 246 + 1, n // 6 * 264 + 130)) for n in range(8)]
    assert {n + 1 for n, colour in enumerate(frames) if colour == (213, 94, 0)} == flagged
    assert 6 in flagged
    tile = np.asarray(sheet)[20:260, 5:240].astype(int)
    assert (np.abs(tile - (230, 159, 0)).sum(axis=-1) < 30).sum() > 50, "the liver's outline is drawn"
    empty = np.asarray(sheet)[264 + 22 : 264 + 250, 246 + 5 : 246 + 240]
    assert empty.max() == 0, "a failed scan has a tile without a picture"


def test_formats_without_their_library_are_refused_before_any_work(
    ask: Ask, desk: Desk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort(root, (10,))
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda name: None if name != "csv" else object())
    reply = ask("run_batch", paths=["cohort"], structures=["liver"], formats=["csv", "parquet"])
    assert reply.is_error
    assert "ostensor[tables]" in reply.text
    assert desk.store.images() == ()
    with pytest.raises(Unavailable, match="openpyxl"):
        table.check_formats(["xlsx"])
    assert table.installed_formats() == ("csv",)


LINES: list[dict[str, Any]] = [
    {"scan": 1, "path": "=1+1", "structure": "liver", "verdict": "present", "volume_ml": 1.5, "flags": "", "error": ""},
    {"scan": 2, "path": "b", "flags": "failed", "error": "It is empty."},
]


def test_tables_are_read_back_by_other_libraries_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    assert table.write_tables(tmp_path, "t", LINES, ["parquet"]) == ["t.parquet"]
    back = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [(row["scan"], row["path"], row["volume_ml"]) for row in back] == [(1, "=1+1", 1.5), (2, "b", None)]


def test_tables_are_read_back_by_other_libraries_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    table.write_tables(tmp_path, "t", LINES, ["xlsx"])
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").active
    assert [cell.value for cell in sheet[1]][:2] == ["scan", "path"]
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=1+1", "s"), "a name is no formula"


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"paths": ["nothing/*.nii.gz"]}, "meets nothing"),
        ({"paths": ["../*.nii.gz"]}, "may not climb"),
        ({"paths": ["/etc/*"]}, "meets nothing"),
        ({"paths": ["**.nii.gz"]}, "** stands for whole folders"),
        ({"paths": ["/etc/passwd"]}, "outside the allowed folders"),
        ({"paths": ["gone.nii.gz"]}, "does not exist"),
        ({"paths": ["ct.nii.gz"], "folder": "ct.nii.gz"}, "A folder is needed"),
        ({"paths": ["ct.nii.gz"], "modality": "xray"}, "Unknown modality 'xray'"),
        ({"paths": ["ct.nii.gz"], "model": "no-such-model"}, "no-such-model"),
        ({"paths": []}, "at least 1"),
    ],
)
def test_calls_that_name_no_scan_are_refused(ask: Ask, arguments: dict[str, Any], fact: str) -> None:
    reply = ask("run_batch", **{"structures": ["liver"], **arguments})
    assert reply.is_error
    assert fact in reply.text


def test_folders_are_read_as_their_content_says(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in (
        "files/a.nii.gz",
        "files/b.NRRD",
        "files/notes.txt",
        "files/.hidden.nii",
        "studies/p1/1",
        "studies/p2/1",
        "dicom/1",
        "dicom/2",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "leak").symlink_to("/etc")
    roots = Roots([root])
    shown = {
        text: [roots.shown(path) for path in find_scans(roots, [text])]
        for text in ("files", "studies", "dicom", "files/*.nii.gz", "studies/*")
    }
    assert shown == {
        "files": ["files/a.nii.gz", "files/b.NRRD"],
        "studies": ["studies/p1", "studies/p2"],
        "dicom": ["dicom"],
        "files/*.nii.gz": ["files/a.nii.gz"],
        "studies/*": ["studies/p1", "studies/p2"],
    }
    assert len(find_scans(roots, ["files", "files/a.nii.gz"])) == 2, "none twice"
    with pytest.raises(BadCall, match="outside"):
        find_scans(roots, ["lea*"])


def looked(n: int, volume: float, **facts: Any) -> Looked:
    line = {
        "structure": "liver", "verdict": "present", "volume_is": "complete", "volume_ml": volume, "mask_id": f"msk_{n:012x}",
        "flags": [], "notes": "", **facts,
    }  # fmt: skip
    return Looked(n, f"{n}.nii.gz", f"img_{n:012x}", [line], ["Voxels are long: 0.98 x 0.98 x 5.00 mm."])


def test_cut_masks_are_held_against_whole_ones_and_mr_greys_against_none() -> None:
    values = [1500.0, 1480.0, 1520.0, 1510.0, 1490.0]
    rows = scored(
        [looked(n, value, intensity_mean=5.0 * n, intensity_unit="image units") for n, value in enumerate(values)]
        + [looked(9, 300.0, volume_is="cut by the edge", flags=["cut by the edge"])]
    )
    assert (rows[0]["scan"], rows[0]["flags"]) == (9, "outlier in volume; cut by the edge")
    logs = np.log(values)
    middle = np.median([*logs, np.log(300)])
    mad = np.median(np.abs(np.array([*logs, np.log(300)]) - middle))
    assert rows[0]["volume_ml_score"] == pytest.approx(0.6745 * (np.log(300) - middle) / mad, abs=0.01)
    whole = next(row for row in rows if row["scan"] == 1)
    alone = 0.6745 * (logs[1] - np.median(logs)) / np.median(np.abs(logs - np.median(logs)))
    assert whole["volume_ml_score"] == pytest.approx(alone, abs=0.01), "the cut one does not count"
    assert [row["intensity_mean_score"] for row in rows] == [None] * 6


def test_the_answer_stays_small_however_large_the_cohort() -> None:
    """At most 1,500 tokens, counted as characters / 4, for 400 scans of 20 structures, half of them odd or failed."""
    dice = np.random.default_rng(0)
    scans: list[Looked] = []
    for n in range(400):
        if n % 5 == 0:
            scans.append(Looked(n, f"{n}.nii.gz", error="The file is damaged. " * 40))
            continue
        one = looked(n, 1.0)
        lines = [
            {**one.lines[0], "structure": f"structure number {s} of the body", "volume_ml": float(dice.lognormal(3, 1)), "flags": ["unsure", "implausible"]}
            for s in range(20)
        ]  # fmt: skip
        scans.append(Looked(n, one.path, one.image_id, lines, [f"A long warning of kind {n % 9}. " * 9]))
    result = batch._result(scans, scored(scans), [f"batch_01234567_sheet_{n}.png" for n in range(9)])
    assert len(result.model_dump_json()) / 4 <= 1500
    assert len(result.summary) / 4 <= 400
    assert result.cohort is not None
    assert (result.cohort.failed, result.cohort.flagged_in_all) == (80, 320 * 20)


def test_two_calls_at_once_join(ask: Ask, root: Path) -> None:
    cohort(root, (10, 12, 13), slow=True)
    arguments = {"paths": ["cohort"], "structures": ["liver"], "formats": ["csv"], "wait_s": 0}
    replies: list[str] = []
    threads = [
        threading.Thread(target=lambda: replies.append(ask("run_batch", **arguments).result["job_id"]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies[0] == replies[1]
    ask("cancel_job", job_id=replies[0])
