"""Jobs over several scans, reports or days."""

from __future__ import annotations

import csv
import math

import nibabel
import numpy as np

from .assistant import Assistant
from .scans import ORGANS, SPACING_MM, Block, filled, ml, save, torso

REPORT = """FINDINGS:
The liver is normal.
The liver measures 18 cm.
The spleen is unremarkable.
The left kidney is surgically absent.
The right kidney has a volume of 142 ml.
There is a 12 mm cyst in the liver.
No pancreatic mass.
The urinary bladder has been removed.
"""
JUDGED = (
    *("supported", "supported", "supported", "contradicted"),
    *("supported", "cannot_tell", "cannot_tell", "supported"),
)


def cohort_with_an_outlier(a: Assistant) -> None:
    """Six scans and a broken file: "measure all livers; which one stands out?"."""
    lengths = (17, 18, 19, 20, 19, 40)
    livers: list[Block] = [((6, 6 + length), (10, 32), (12, 26)) for length in lengths]
    for n, liver in enumerate(livers):
        save(a.folder / "cohort" / f"scan_{n}.nii.gz", torso({"liver": liver}, grain=n + 1))
    (a.folder / "cohort" / "scan_6.nii.gz").write_bytes(b"not a scan")
    made = a.call("run_batch", paths=["cohort/*.nii.gz"], structures=["liver"], formats=["csv"], wait_s=120)
    cohort = made["cohort"]
    a.check("done and failed", (cohort["done"], cohort["failed"]), (6, 1))
    a.check("median, ml", cohort["structures"][0]["median_ml"], ml(livers[2]), 0.01)
    a.check("the outlier", [row["scan"] for row in made["flagged"]], [6])
    a.check("the broken one", [row["scan"] for row in made["errors"]], [7])
    table = next(name for name in made["files"] if name.endswith(".csv"))
    rows = list(csv.DictReader((a.folder / table).read_text(encoding="utf-8").splitlines()))
    a.check("rows of the table", len(rows), 7)


def follow_up_of_a_lesion(a: Assistant) -> None:
    """One lesion on two scans, 91 days apart: "has it grown, and how fast?"."""
    before: Block = ((15, 19), (18, 22), (16, 20))
    after: Block = ((15, 21), (18, 24), (16, 21))
    masks = []
    for when, block in (("january", before), ("april", after)):
        array = torso(grain=1)
        array[filled(block) > 0] = 75
        save(a.folder / f"{when}.nii.gz", array)
        save(a.folder / f"{when}_lesion.nii.gz", filled(block))
        image = a.call("open_image", path=f"{when}.nii.gz")["image_id"]
        drawn = a.call("import_mask", path=f"{when}_lesion.nii.gz", image_id=image, labels={"1": "lesion"})
        masks.append(drawn["masks"][0]["mask_id"])
    compared = a.call("compare_studies", before_mask_ids=masks[:1], after_mask_ids=masks[1:])
    growth = a.call("derive", quantity="doubling_time", mask_ids=masks, days=91)["values"][0]
    (lesion,) = compared["lesions"]
    mm = [math.hypot(*(s * (high - low) for s, (low, high) in zip(SPACING_MM, block[:2], strict=False))) for block in (before, after)]  # fmt: skip
    half = math.hypot(*SPACING_MM[:2]) / 2  # an outline cuts the corners of voxels
    a.check("before, mm", lesion["before_mm"], mm[0], half)
    a.check("after, mm", lesion["after_mm"], mm[1], half)
    a.check("state", lesion["state"], "matched")
    a.check("doubling time, days", growth["value"], 91 * math.log(2) / math.log(ml(after) / ml(before)), 0.1)


def report_held_against_the_scan(a: Assistant) -> None:
    """A report of eight findings: "does it fit the scan?"."""
    save(a.folder / "ct.nii.gz", torso())
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    answer = a.call("check_report", image_id=image, report=REPORT)
    if answer.get("job_id"):
        answer = a.call("get_job", job_id=answer["job_id"], wait_s=120)["result"]
    a.check("judgements", [row["judgement"] for row in answer["findings"]], list(JUDGED))


def go_on_tomorrow(a: Assistant) -> None:
    """A liver yesterday, the server restarted: "add a margin of 8 mm to it and give me the file"."""
    save(a.folder / "ct.nii.gz", torso())
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    a.call("segment", image_id=image, structures=["liver", "spleen"])
    a.stop()
    a.start()
    rows = a.call("list_handles", kind="masks", structure="liver")["handles"]
    grown = a.call("edit_mask", operation="grow", mask_ids=[rows[0]["handle"]], amount_mm=8)
    file = a.call("export", mask_ids=[grown["mask_id"]])["files"][0]
    voxels = int(np.asarray(nibabel.load(a.folder / file["path"]).dataobj).sum())
    a.check("masks of the liver", len(rows), 1)
    a.check("voxels that nibabel reads, grown by hand", voxels, _grown_by_hand(ORGANS["liver"], 8.0))


def _grown_by_hand(block: Block, margin_mm: float) -> int:
    """Voxels whose centre lies within a margin of the nearest voxel's centre of a block: the slow, obvious way."""
    count = 0
    reach = [range(low - 3, high + 3) for low, high in block]
    for i in reach[0]:
        for j in reach[1]:
            for k in reach[2]:
                away = (
                    s * max(low - at, at - (high - 1), 0)
                    for at, s, (low, high) in zip((i, j, k), SPACING_MM, block, strict=True)
                )
                count += math.hypot(*away) <= margin_mm
    return count
