"""`ostensor engines` from a clean home: found, added, checked in 48 orders, preferred, removed; and the page's words."""

import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall, OstensorError
from ostensor.models.external import shelf

from ..toys.desks import HERE

sys.path.insert(0, str(HERE))
import bands
from band_values import BANDS

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
AFFINE = np.array(
    [[-1.5, 0, 0, 20.0], [0, -1.5, 0, 30.0], [0, 0, 1.5, -50.0], [0, 0, 0, 1]]
)  # LPS, as most CTs are stored


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("XDG_DATA_HOME", tmp_path / "data"), ("HOME", tmp_path), ("TMPDIR", tmp_path / "tmp")):
        monkeypatch.setenv(name, str(value))
    for name in ("nnUNet_results", "BUNDLE_DIR", "TOTALSEG_WEIGHTS_PATH", "TOTALSEG_HOME_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def engines(*words: str) -> str:
    result = CliRunner().invoke(app, ["engines", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def scan_and_labels(folder: Path) -> tuple[Path, Path]:
    scan = bands.band_scan()
    for name, array in (("ct", scan), ("labels", bands.band_labels(scan))):
        nibabel.save(nibabel.Nifti1Image(array, AFFINE), folder / f"{name}.nii.gz")
    return folder / "ct.nii.gz", folder / "labels.nii.gz"


def program(how: str = "well") -> str:
    return f"{shlex.join([sys.executable, str(HERE / 'band_program.py')])} {{image}} {{mask}} {how}"


def add_program(*more: str, name: str = "mine", how: str = "well") -> str:
    classes = ",".join(f"{label}={number}" for number, label in enumerate(BANDS, 1))
    return engines("add", "command", "--name", name, "--modality", "ct", "--classes", classes, "--option", f"template={program(how)}", *more)  # fmt: skip


def test_a_clean_home_has_none_and_says_what_to_do() -> None:
    assert "Give the folder yourself" in engines("find")
    assert "No engine was added" in engines("list")
    assert json.loads(engines("list", "--json")) == []
    told = engines("kinds")
    for kind in ("nnunet", "totalsegmentator", "lungmask", "monai-bundle", "nninteractive", "voxtell", "command"):
        assert f"{kind}: needs" in told


def test_a_program_is_added_listed_shown_checked_preferred_and_removed(home: Path) -> None:
    image, labels = scan_and_labels(home)
    told = add_program("--licence", "MIT")
    assert "licence: MIT (said by the user), use: any" in told
    assert "It knows 4 structures" in told
    (row,) = json.loads(engines("list", "--json"))
    assert (row["name"], row["where"], row["orientation_from"]) == ("mine", "worker", "adapter")
    assert "mine" in engines("list")
    told = engines("check", "mine", "--image", str(image), "--modality", "ct")
    assert (
        "It answered on the scan's own grid and marked: liver 0.2 ml" in told
    )  # 5 x 4 x 3 voxels of 1.5 mm: 0.2025 ml
    told = engines("check", "mine", "--image", str(image), "--mask", str(labels), "--modality", "ct")
    assert "liver 1.000, spleen 1.000, left kidney 1.000, right kidney 1.000" in told
    assert "Measured on 1 scan here" in told
    assert list(json.loads(engines("show", "mine"))["measured"].values()) == [dict.fromkeys(BANDS, 1.0)]
    engines("check", "mine", "--image", str(image), "--mask", str(labels), "--modality", "ct")
    assert len(shelf.measured_cases("mine")) == 1  # the same scan again is the same case
    assert "preferred for: liver, spleen" in engines("prefer", "mine", "liver, spleen")
    assert shelf.engine_of("mine").prefer == ("liver", "spleen")
    with pytest.raises(BadCall, match="does not know: heart"):
        engines("prefer", "mine", "heart")
    assert "nothing" in engines("prefer", "mine", "")
    assert "forgotten" in engines("remove", "mine")
    assert engines("list").startswith("No engine")
    assert not list((home / "tmp").glob("*"))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_the_48_orders_find_the_axes_a_network_was_taught_in(axes: str, home: Path) -> None:
    """A toy that marks what lies before the middle of the first stored axis, and then of the others, in `axes` only."""
    image, labels = halves(home, axes)
    words = shlex.join([sys.executable, "-I", "-S", str(HERE / "half_program.py")])
    engines("add", "command", "--name", "half", "--modality", "ct", "--classes", "liver=1,spleen=2,left kidney=3",
            "--option", f"template={words} {{image}} {{mask}}")  # fmt: skip
    wrong = "LPS" if axes != "LPS" else "RAS"
    shelf.save_engine(shelf.merged(shelf.engine_of("half"), {"orientation": wrong, "orientation_from": "assumed"}))
    told = engines("check", "half", "--image", str(image), "--mask", str(labels), "--modality", "ct")
    assert f"Of 48 orders of axes {axes} is best (mean Dice 1.000" in told
    assert "taken down as checked" in told
    engine = shelf.engine_of("half")
    assert (engine.orientation, engine.orientation_from) == (axes, "checked")
    assert "liver 1.000, spleen 1.000, left kidney 1.000" in told
    assert "axes" in engines("list")


def halves(folder: Path, axes: str) -> tuple[Path, Path]:
    """A scan on a permuted grid, and the labels the toy makes when it gets the scan in `axes` (nibabel turns it)."""
    from half_program import label_at

    rng = np.random.default_rng(0)
    scan = nibabel.Nifti1Image(rng.integers(-100, 100, (11, 13, 7)).astype(np.int16), AFFINE)
    there = nibabel.orientations.ornt_transform(nibabel.io_orientation(AFFINE), nibabel.orientations.axcodes2ornt(axes))
    turned = scan.as_reoriented(there)
    array = np.array([label_at(index, turned.shape) for index in np.ndindex(turned.shape)], np.uint8)
    labelled = nibabel.Nifti1Image(array.reshape(turned.shape), turned.affine)
    back = nibabel.orientations.ornt_transform(nibabel.io_orientation(turned.affine), nibabel.io_orientation(AFFINE))
    nibabel.save(scan, folder / "ct.nii.gz")
    nibabel.save(labelled.as_reoriented(back), folder / "labels.nii.gz")
    return folder / "ct.nii.gz", folder / "labels.nii.gz"


def test_a_bundle_is_found_added_only_with_trust_run_and_checked(home: Path) -> None:
    image, labels = scan_and_labels(home)
    folder = bands.monai_bundle(home / ".cache" / "torch" / "hub" / "bundle")
    assert f"monai-bundle  {folder}" in engines("find")
    told = engines("add", "monai-bundle", "--folder", str(folder))
    assert "Apache License, Version 2.0 (LICENSE), use: any" in told
    with pytest.raises(OstensorError, match="engine_code_untrusted"):
        engines("check", "band_ct_segmentation", "--image", str(image), "--modality", "ct")
    engines("remove", "band_ct_segmentation")
    engines("add", "monai-bundle", "--folder", str(folder), "--trust-code")
    assert "(added)" in engines("find")
    told = engines("check", "band_ct_segmentation", "--image", str(image), "--mask", str(labels), "--modality", "ct")
    assert "files as they were" in told
    assert "right kidney 1.000" in told


def test_an_nnunet_is_found_and_added_from_its_json_alone(home: Path) -> None:
    folder = bands.nnunet_folder(home / "nnUNet_results", channels=("noNorm",))
    assert f"nnunet  {folder}" in engines("find")
    with pytest.raises(BadCall, match="--modality"):
        engines("add", "nnunet", "--folder", str(folder))
    told = engines("add", "nnunet", "--folder", str(folder), "--modality", "ct")
    assert "Axes LPS are assumed" in told
    assert "use: research-only" in told
    with pytest.raises(BadCall, match=r"--option 'folds'"):
        engines("add", "nnunet", "--folder", str(folder), "--option", "folds")
    with pytest.raises(BadCall, match=r"liver=1,spleen=2"):
        engines("add", "command", "--classes", "liver", "--option", f"template={program()}")


@pytest.mark.slow
def test_an_nnunet_is_checked_by_the_real_one(home: Path) -> None:
    import os

    python = Path(os.environ.get("OSTENSOR_ENGINES", "")) / "bin" / "python"
    if not python.is_file():
        pytest.skip("the real engines are not installed: run `make engines`")
    image, labels = scan_and_labels(home)
    folder = bands.nnunet_folder(home)
    engines("add", "nnunet", "--folder", str(folder), "--modality", "ct", "--python", str(python))
    told = engines("check", "dataset900_bands", "--image", str(image), "--mask", str(labels), "--modality", "ct")
    assert "48 orders" in told
    assert "liver 1.000, spleen 1.000, left kidney 1.000, right kidney 1.000" in told


def test_names_of_models_of_ours_and_odd_names_are_refused(home: Path) -> None:
    from ostensor.models.catalogue import catalogue

    ours = next(card.name for card in catalogue())
    for name, fact in ((ours, "already"), ("../x", "no name"), ("Mine", "no name")):
        with pytest.raises(BadCall, match=fact):
            add_program(name=name)
    assert not shelf.engines()


def test_a_shell_is_never_asked(home: Path) -> None:
    """What follows a semicolon is a word for the program."""
    image, _labels = scan_and_labels(home)
    add_program(
        how=f"well ; touch {home}/ran '$(touch {home}/ran)' `touch {home}/ran` > {home}/ran && touch {home}/ran"
    )
    told = engines("check", "mine", "--image", str(image), "--modality", "ct")
    assert "answered on the scan's own grid" in told
    assert not (home / "ran").exists()


def commands_of(page: str) -> list[str]:
    """Every line of the page that starts with `ostensor engines`, backslashes joined."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("ostensor engines")]


def test_every_option_the_page_uses_exists(home: Path) -> None:
    found = commands_of(PAGE.read_text(encoding="utf-8"))
    assert len(found) >= 8
    for line in found:
        words = shlex.split(line)[1:]
        result = CliRunner().invoke(app, [*words[:2], "--help"])
        assert result.exit_code == 0, line
        for option in [word for word in words if word.startswith("--")]:
            assert option in result.output, (line, option)


def test_the_page_followed_word_for_word_where_no_package_is_needed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nnU-Net, bundle and program, in the folders it names, from that folder; `docker` is a program of ours."""
    monkeypatch.chdir(home)
    scan_and_labels(home)
    bands.monai_bundle(home).rename(home / "spleen_ct_segmentation")
    bands.nnunet_folder(home, dataset="Dataset042_Liver")
    (home / "bin").mkdir()
    (home / "bin" / "docker").write_text(f'#!/bin/sh\nfor mask; do image=$before; before=$mask; done\nexec {sys.executable} {HERE / "band_program.py"} "$image" "$mask"\n')  # fmt: skip
    (home / "bin" / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
    page = commands_of(PAGE.read_text(encoding="utf-8"))
    done = []
    for line in page:
        words = shlex.split(line)[2:]
        if words[:2] in (
            ["find"],
            ["add", "nnunet"],
            ["add", "monai-bundle"],
            ["add", "command"],
            ["check", "spleen_ct_segmentation"],
        ):
            done.append(engines(*words))
    assert {engine.name for engine in shelf.engines()} == {"dataset042_liver", "spleen_ct_segmentation", "mine"}
    assert any("It answered on the scan's own grid" in told for told in done)
    assert "answered on the scan's own grid" in engines("check", "mine", "--image", "ct.nii.gz")


def test_a_word_of_every_answer_is_no_trace(home: Path) -> None:
    result: Any = CliRunner().invoke(app, ["engines", "show", "nobody"])
    assert result.exit_code != 0
