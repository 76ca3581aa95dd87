"""The geometry suite, part of it on every run: zero failures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.benchmarks.imaging import geometry
from ostensor.benchmarks.imaging.geometry import ORDERS, Case, cases, phantom, through
from ostensor.imaging import files
from ostensor.imaging.formats.table import VOLUME_MASK_FORMATS


@pytest.mark.parametrize("case", list(cases(full=False)), ids=lambda c: f"{c.order}-{c.rotation}-{c.source}")
def test_every_axis_order_and_flip_keeps_every_voxel_in_its_place(tmp_path: Path, case: Case) -> None:
    outcomes = through(case, tmp_path)
    assert [o.target for o in outcomes] == list(VOLUME_MASK_FORMATS)
    assert all(o.is_right for o in outcomes), outcomes


@pytest.mark.slow
def test_every_scan_of_the_whole_suite_is_right() -> None:
    """864 scans, 4,320 exports: the table in docs/geometry.md; minutes on two cores."""
    table = geometry.run(full=True)
    assert "4320 exports of 864 scans, 0 failures" in table


def test_the_suite_has_48_orders_and_a_phantom_without_symmetry() -> None:
    assert len(set(ORDERS)) == 48
    assert len(list(cases())) == 48 * 3 * 2 * 3
    short = list(cases(full=False))
    assert {c.order for c in short} == set(ORDERS)
    assert len({(c.source, c.rotation, c.spacing_mm) for c in short}) == 18
    _, mask = phantom()
    turns = [
        np.transpose(mask, axes)[:: a, :: b, :: c]
        for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
        for a in (1, -1) for b in (1, -1) for c in (1, -1)
    ]  # fmt: skip
    assert sum(t.shape == mask.shape and bool((t == mask).all()) for t in turns) == 1


@pytest.mark.parametrize("source", ["nifti", "nrrd", "dicom"])
def test_the_suite_notices_a_flipped_reader(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the reader by hand: x mirrored."""
    real = files._opened
    monkeypatch.setattr(
        files, "_opened", lambda raw, *rest, **more: real(replace(raw, array=raw.array[::-1]), *rest, **more)
    )
    outcomes = through(Case("LPS", "oblique", (0.7, 0.9, 3.0), source), tmp_path, ["nifti", "rtstruct"])
    assert not any(o.is_right for o in outcomes)


def test_a_stopped_suite_goes_on_where_it_was_and_forgets_other_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three scans, a kill while the second is written; the first is not run again, at another commit all are."""
    some = [next(c for c in cases(full=False) if c.source == source) for source in ("nifti", "nrrd", "dicom")]
    ran: list[Case] = []

    def counted(case: Case, folder: Path) -> list[geometry.Outcome]:
        ran.append(case)
        return through(case, folder)

    monkeypatch.setattr(geometry, "cases", lambda *, full: some)
    monkeypatch.setattr(geometry, "through", counted)
    monkeypatch.setattr(geometry, "commit", lambda: "abc1234")
    kept = tmp_path / "kept.jsonl"
    whole = geometry.run(kept=kept)
    _blank, first, second, _third = kept.read_text(encoding="utf-8").split("\n")
    assert ran == some
    kept.write_text("\n" + first + "\n" + second[:40], encoding="utf-8")
    assert geometry.run(kept=kept) == whole == geometry.run(kept=kept)
    assert ran == [*some, *some[1:]]
    monkeypatch.setattr(geometry, "commit", lambda: "def5678")
    geometry.run(kept=kept)
    assert ran == [*some, *some[1:], *some]
