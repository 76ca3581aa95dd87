"""Which slices belong together: mosaics, time points, rounded places, links. Every series is made here."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image

from ..made_dicom import ct_slice, save

PLACES = (0.0, 4.0, 8.0, 12.0, 16.0)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_mosaic_is_refused_by_its_name(tmp_path: Path, repeats: int, *, named: bool) -> None:
    slices = [ct_slice(-12.0, Modality="MR", InstanceNumber=n + 1, AcquisitionNumber=n + 1) for n in range(repeats)]
    for data in slices:
        if named:
            data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        else:
            data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
    with pytest.raises(BadCall, match="mosaic"):
        read_image(save(tmp_path / "m", slices))


def cine(**left_out: int) -> list:  # type: ignore[type-arg]
    """Three times of five places; trigger and acquisition times run on from slice to slice."""
    return [
        ct_slice(
            z,
            value=100 * t + n,
            Modality="MR",
            RescaleIntercept=0,
            TriggerTime=f"{30 * t + 0.5 * n + 1:.1f}",
            AcquisitionTime=f"10{n:02d}{t:02d}.{n}{t}0000",
        )
        for n, z in enumerate(PLACES)
        for t in range(3)
        if (n, t) != (left_out.get("place"), left_out.get("time"))
    ]


def test_times_that_run_on_from_slice_to_slice_are_grouped_by_their_order(tmp_path: Path) -> None:
    folder = save(tmp_path / "cine", cine())
    with pytest.raises(BadCall, match="one of 3") as refusal:
        read_image(folder)
    assert "time point 2, 5 slices" in str(refusal.value)
    aliases = [part.split(":")[0].strip() for part in str(refusal.value).split("one of 3:")[1].split(";")]
    seen = []
    for alias in aliases:
        volume = read_image(folder, series=alias).volume
        assert volume is not None
        assert volume.array.shape[2] == len(PLACES)
        seen.append([int(value) for value in volume.array[0, 0]])
    assert sorted(seen) == [[100 * t + n for n in range(5)] for t in range(3)]


def test_times_that_cannot_be_grouped_evenly_are_not_grouped(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="lie at the same place"):
        read_image(save(tmp_path / "cine", cine(place=2, time=1)))


def test_two_acquisitions_of_other_places_are_still_a_choice(tmp_path: Path) -> None:
    slices = [ct_slice(z, AcquisitionNumber=1) for z in PLACES]
    slices += [ct_slice(z, AcquisitionNumber=2) for z in PLACES[:3]]
    with pytest.raises(BadCall, match="acquisition 2, 3 slices"):
        read_image(save(tmp_path / "two", slices))


@pytest.mark.parametrize("step", [1.25, 0.75, 0.625])
@pytest.mark.parametrize("tilt", [0.0, 0.35])
def test_places_rounded_to_tenths_are_not_missing_slices(tmp_path: Path, step: float, tilt: float) -> None:
    slices = [
        ct_slice(0.0, ImagePositionPatient=[10.0, round(20 + tilt * step * n, 1), round(step * n, 1)])
        for n in range(17)
    ]
    volume = read_image(save(tmp_path / "rounded", slices)).volume
    assert volume is not None
    assert np.linalg.norm(volume.grid.affine[2, 2]) == pytest.approx(step, abs=0.1 / 16)


@pytest.mark.parametrize("gone", [1, 8, 15])
def test_a_missing_slice_among_rounded_places_is_still_missed(tmp_path: Path, gone: int) -> None:
    slices = [ct_slice(round(1.25 * n, 1)) for n in range(17) if n != gone]
    with pytest.raises(BadCall, match="missing or unevenly"):
        read_image(save(tmp_path / "rounded", slices))


def test_links_within_the_roots_count_and_others_are_left_out_and_said(tmp_path: Path) -> None:
    store, series, elsewhere = tmp_path / "root" / "store", tmp_path / "root" / "series", tmp_path / "elsewhere"
    for folder in (store, series, elsewhere):
        folder.mkdir(parents=True)
    for n, z in enumerate(PLACES):
        target = (elsewhere if n == 4 else store) / f"k{n}.dat"
        ct_slice(z).save_as(target, enforce_file_format=True)
        (series / f"{n}.dcm").symlink_to(target)
    (series / "nowhere.dcm").symlink_to(store / "gone.dat")
    (series / "folder").symlink_to(store)
    found = read_image(series, within=[tmp_path / "root"])
    assert found.volume is not None
    assert found.volume.array.shape[2] == 4
    assert any(w.startswith("3 links were left out") for w in found.warnings)
    with pytest.raises(BadCall, match="holds 7 links"):
        read_image(series)


@pytest.mark.parametrize("length", [140, 200, 500, 700])
def test_a_dicom_file_cut_within_its_header_is_counted(tmp_path: Path, length: int) -> None:
    folder = save(tmp_path / "ct", [ct_slice(z) for z in PLACES])
    whole = (folder / sorted(p.name for p in folder.iterdir())[0]).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:length])
    (folder / "notes.txt").write_text("no image")
    found = read_image(folder)
    assert any(w.startswith("1 image files with damaged headers") for w in found.warnings)
