"""What folders tell before anything of them is run: half ones, odd ones, several; hand-made, facts from the formats' own docs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bands
import pytest

from ostensor.imaging.errors import BadCall, OstensorError, Unavailable
from ostensor.models.external.adapters import ADAPTERS
from ostensor.models.external.folders import bundle, command, lungmask, nnunet, totalsegmentator
from ostensor.models.external.folders.licences import licence_beside, purpose_of


def edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_whole_nnunet_folder_is_described(tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path, channels=("T1", "T2 FLAIR"), folds=("0", "3"), dataset="Dataset007_Ö")
    engine = nnunet.describe(tmp_path / "Dataset007_Ö", {})
    assert Path(engine.folder) == folder.resolve()
    assert set(engine.files) == {
        "dataset.json",
        "plans.json",
        "fold_0/checkpoint_final.pth",
        "fold_3/checkpoint_final.pth",
    }
    assert engine.channels == ("T1", "T2 FLAIR")
    assert [(one.label, one.values) for one in engine.classes] == [
        (name, (n,)) for n, name in enumerate(bands.BANDS, 1)
    ]
    assert (engine.orientation, engine.orientation_from, engine.licence) == ("LPS", "assumed", "not stated")
    assert engine.options["folds"] == ["0", "3"]


@pytest.mark.parametrize("name", ["dataset.json", "plans.json", "fold_0/checkpoint_final.pth"])
def test_each_file_a_half_folder_lacks_is_named(name: str, tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path)
    (folder / name).unlink()
    with pytest.raises(Unavailable, match=f"{name} is missing.*engine_weights_missing"):
        nnunet.describe(folder, {})


@pytest.mark.parametrize("name", ["dataset.json", "plans.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"", b"\xff\xfe", b"[" * 50_000, b'"x"'])
def test_damaged_json_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(BadCall, match=f"{name}.*damaged.*engine_unsupported"):
        nnunet.describe(folder, {})


ODD: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("dataset.json", lambda facts: facts.update(labels=["liver"])), ("dataset.json", lambda facts: facts.update(labels={"liver": "one"})),
    ("dataset.json", lambda facts: facts.update(labels={"liver": None})), ("dataset.json", lambda facts: facts.update(labels={"liver": -3})),
    ("dataset.json", lambda facts: facts.update(channel_names={"first": "CT"})), ("dataset.json", lambda facts: facts.update(channel_names=7)),
    ("plans.json", lambda facts: facts.update(configurations=[])), ("plans.json", lambda facts: facts.update(configurations={"3d_fullres": 3})),
    ("plans.json", lambda facts: facts["configurations"]["3d_fullres"].update(spacing=["a", 1, 2])),
    ("plans.json", lambda facts: facts["configurations"]["3d_fullres"].update(patch_size=3)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), ODD)
def test_json_of_another_kind_is_refused(name: str, change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path)
    edited(folder / name, change)
    with pytest.raises(OstensorError):
        nnunet.describe(folder, {})


def test_configurations_that_inherit_from_each_other_are_refused(tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path)

    def circle(facts: dict[str, Any]) -> None:
        facts["configurations"] = {"3d_fullres": {"inherits_from": "b"}, "b": {"inherits_from": "3d_fullres"}}

    edited(folder / "plans.json", circle)
    with pytest.raises(BadCall, match="engine_unsupported"):
        nnunet.describe(folder, {})


def test_cascades_and_unknown_configurations_are_refused(tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path)
    with pytest.raises(BadCall, match=r"no configuration '2d'\. It has: 3d_fullres"):
        nnunet.describe(folder, {"configuration": "2d"})

    def cascade(facts: dict[str, Any]) -> None:
        settings = facts["configurations"]
        settings["base"] = {**settings["3d_fullres"], "previous_stage": "3d_lowres"}
        settings["3d_fullres"] = {"inherits_from": "base"}

    edited(folder / "plans.json", cascade)
    with pytest.raises(BadCall, match="cascade"):
        nnunet.describe(folder, {})


def test_folds_chosen_absent_all_and_another_checkpoint(tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path, folds=("0", "1", "all"))
    assert nnunet.describe(folder, {}).options["folds"] == ["0", "1"]
    assert nnunet.describe(folder, {"folds": [1]}).options["folds"] == ["1"]
    assert nnunet.describe(folder, {"folds": ["all"]}).options["folds"] == ["all"]
    with pytest.raises(Unavailable, match=r"fold_4/checkpoint_final\.pth is missing"):
        nnunet.describe(folder, {"folds": [4]})
    with pytest.raises(Unavailable, match=r"fold_0/mine\.pth"):
        nnunet.describe(folder, {"checkpoint": "mine.pth"})
    (folder / "fold_1" / "checkpoint_final.pth").rename(folder / "fold_1" / "checkpoint_best.pth")
    assert nnunet.describe(folder, {}).options["folds"] == ["0"]
    assert nnunet.describe(folder, {"checkpoint": "checkpoint_best.pth"}).options["folds"] == ["1"]
    for way_out in (
        {"folds": ["../../other"]},
        {"checkpoint": "../../../other.pth"},
        {"checkpoint": "/etc/passwd"},
        {"folds": 3},
    ):
        with pytest.raises(OstensorError):
            nnunet.describe(folder, way_out)


def test_regions_and_labels_as_version_1_wrote_them(tmp_path: Path) -> None:
    folder = bands.nnunet_folder(tmp_path, regions={"whole": (1, 2, 3), "core": (2, 3)})
    assert [(one.label, one.values) for one in nnunet.describe(folder, {}).classes] == [
        ("whole", (1, 2, 3)),
        ("core", (2, 3)),
    ]
    edited(
        folder / "dataset.json",
        lambda facts: facts.update(labels={"0": "background", "1": "liver", "2": "7", "3": "ignore"}),
    )
    edited(folder / "dataset.json", lambda facts: facts.update(modality={"0": "MRI"}, channel_names={}))
    engine = nnunet.describe(folder, {})
    assert [(one.label, one.values) for one in engine.classes] == [("liver", (1,)), ("7", (2,))]
    assert (engine.channels, engine.modalities) == (("MRI",), ("mr",))


def test_several_trained_folders_are_named(tmp_path: Path) -> None:
    bands.nnunet_folder(tmp_path, dataset="Dataset001_A")
    bands.nnunet_folder(tmp_path, dataset="Dataset002_B")
    with pytest.raises(BadCall, match=r"2 trained folders.*Dataset001_A.*Dataset002_B"):
        nnunet.describe(tmp_path, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadCall, match="no trained nnU-Net"):
        nnunet.describe(tmp_path / "empty", {})
    with pytest.raises(BadCall, match="no folder"):
        nnunet.describe(tmp_path / "nowhere", {})
    with pytest.raises(BadCall, match="--folder"):
        nnunet.describe(None, {})


@pytest.mark.parametrize(
    ("channels", "kinds"),
    [
        (("CT",), ("ct",)), (("ct ",), ("ct",)), (("T1", "FLAIR"), ("mr",)), (("t1ce", "T2w"), ("mr",)), (("CT", "PET"), ("ct", "pet")),
        (("MRI",), ("mr",)), (("noNorm",), ("unknown",)), (("CT", "zscore"), ("unknown",)), (("image",), ("unknown",)), (("US",), ("us",)),
        (("SUV",), ("pet",)), (("ADC", "HBV"), ("unknown",)), (("electron microscopy",), ("unknown",)), (("mr-t1",), ("mr",)),
    ],
)  # fmt: skip
def test_kinds_of_scan_are_read_off_channel_names_or_not_at_all(
    channels: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    assert nnunet.modalities_of(channels) == kinds


@pytest.mark.parametrize("name", ["configs/metadata.json", "configs/inference.json", "models/model.pt"])
def test_each_file_a_half_bundle_lacks_is_named(name: str, tmp_path: Path) -> None:
    folder = bands.monai_bundle(tmp_path)
    (folder / name).unlink()
    with pytest.raises(Unavailable, match=f"{name}.*engine_weights_missing"):
        bundle.describe(folder, {})


BROKEN: list[Callable[[dict[str, Any]], Any]] = [
    lambda facts: facts.pop("network_data_format"), lambda facts: facts["network_data_format"].pop("outputs"),
    lambda facts: facts["network_data_format"]["inputs"].pop("image"),
    lambda facts: facts["network_data_format"]["outputs"]["pred"].update(channel_def={"one": "liver"}),
    lambda facts: facts["network_data_format"]["outputs"]["pred"].update(channel_def=["liver"]),
    lambda facts: facts["network_data_format"]["outputs"]["pred"].update(channel_def={"-1": "liver"}),
    lambda facts: facts["network_data_format"]["inputs"].update(image={"num_channels": "many"}),
    lambda facts: facts["network_data_format"]["inputs"].update(image=[]),
    lambda facts: facts["network_data_format"]["inputs"]["image"].update(num_channels=10**9),
    lambda facts: facts["network_data_format"]["inputs"]["image"].update(num_channels=2, channel_def=3),
]  # fmt: skip


@pytest.mark.parametrize("change", BROKEN)
def test_metadata_that_does_not_tell_is_refused(change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    folder = bands.monai_bundle(tmp_path)
    edited(folder / "configs" / "metadata.json", change)
    with pytest.raises(OstensorError):
        bundle.describe(folder, {})
    for content in (b"{", b"[]", b"\xff", b"[" * 50_000):
        (folder / "configs" / "metadata.json").write_bytes(content)
        with pytest.raises(BadCall, match=r"metadata\.json"):
            bundle.describe(folder, {})


def test_a_bundle_is_hashed_with_all_its_code(tmp_path: Path) -> None:
    folder = bands.monai_bundle(tmp_path)
    (folder / "scripts" / "inner").mkdir(parents=True)
    (folder / "scripts" / "inner" / "net.py").write_text("x = 1")
    (folder / "helper.py").write_text("x = 1")
    (folder / "scripts" / "__pycache__").mkdir()
    (folder / "scripts" / "__pycache__" / "net.pyc").write_bytes(b"")
    engine = bundle.describe(folder, {})
    assert {"models/model.pt", "configs/inference.json", "scripts/inner/net.py", "helper.py"} <= set(engine.files)
    assert not [name for name in engine.files if "pycache" in name]
    assert (engine.licence, engine.modalities, engine.orientation_from) == (
        "Apache License, Version 2.0",
        ("ct",),
        "adapter",
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "evil.py").write_text("x = 2")
    (folder / "scripts" / "linked").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(BadCall, match=r"scripts/linked.*link"):
        bundle.describe(folder, {})
    for way_out in (
        {"config": "../elsewhere/evil.py"},
        {"weights": "../elsewhere/evil.py"},
        {"weights": str(elsewhere / "evil.py")},
    ):
        (folder / "scripts" / "linked").unlink(missing_ok=True)
        with pytest.raises(BadCall):
            bundle.describe(folder, way_out)


def test_a_bundle_that_tells_no_modality_is_of_an_unknown_one(tmp_path: Path) -> None:
    folder = bands.monai_bundle(tmp_path)
    edited(
        folder / "configs" / "metadata.json",
        lambda facts: facts["network_data_format"]["inputs"]["image"].update(modality="n/a"),
    )
    assert bundle.describe(folder, {}).modalities == ("unknown",)


@pytest.mark.parametrize(
    ("licence", "purpose"),
    [
        ("Apache-2.0", "any"), ("MIT License", "any"), ("BSD-3-Clause", "any"), ("CC BY 4.0", "any"), ("CC-BY-4.0", "any"), ("CC0", "any"),
        ("CC BY-NC 4.0", "research-only"), ("CC-BY-NC-SA-4.0", "research-only"), ("CC BY-ND 4.0", "research-only"),
        ("CC BY-SA 4.0", "research-only"), ("not stated", "research-only"), ("", "research-only"), ("proprietary", "research-only"),
        ("for research use only, MIT", "research-only"), ("permitted", "research-only"), ("NVIDIA non-commercial", "research-only"),
        ("Apache-2.0 code, weights CC BY-NC", "research-only"), ("cc_by_nc_4.0", "research-only"), ("Apache-2.0; not for clinical or commercial use", "research-only"),
        ("MIT (noncommercial)", "research-only"),
    ],
)  # fmt: skip
def test_licences_that_do_not_clearly_allow_it_are_for_research_only(licence: str, purpose: str) -> None:
    assert purpose_of(licence) == purpose


def test_a_licence_is_read_beside_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c" / "d"
    folder.mkdir(parents=True)
    assert licence_beside(folder, {"licence": ""}) == ("not stated", "")
    (tmp_path / "a" / "LICENSE").write_text("too far up")
    assert licence_beside(folder) == ("not stated", "")
    (tmp_path / "a" / "b" / "LICENSE.md").write_bytes(b"\n\n  Lizenz \xff\n")
    assert licence_beside(folder)[1] == "LICENSE.md"
    assert licence_beside(folder, {"license": "MIT"})[0] == "MIT"


def test_a_lungmask_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"unet_r231-\*\.pth.*engine_weights_missing"):
        lungmask.describe(tmp_path, {})
    with pytest.raises(BadCall, match="R231, R231CovidWeb, LTRCLobes"):
        lungmask.describe(tmp_path, {"model": "R232"})
    (tmp_path / "unet_r231-d5d2fc3d.pth").write_bytes(b"")
    engine = lungmask.describe(tmp_path, {})
    assert list(engine.files) == ["unet_r231-d5d2fc3d.pth"]
    assert [(one.label, one.values) for one in engine.classes] == [("right lung", (1,)), ("left lung", (2,))]
    with pytest.raises(Unavailable, match=r"mine\.pth"):
        lungmask.describe(tmp_path, {"file": "mine.pth"})
    with pytest.raises(Unavailable, match=r"fill\.pth"):
        lungmask.describe(tmp_path, {"fill": "fill.pth"})


@pytest.mark.parametrize(
    "template",
    ["", "segment", "segment {image}", "segment {mask}", "segment {image} {mask} {other}", "segment {image} {mask} {}",
     "segment {image.__class__} {mask}", "segment {image[0]} {mask}", "segment '{image} {mask}", "segment {image {mask}",
     "{image} {mask}", "segment {image} {mask} {image1}", "segment {image!r} {mask}", "segment {image:>{threads}} {mask}"],
)  # fmt: skip
def test_templates_without_or_with_odd_places_are_refused(template: str) -> None:
    with pytest.raises(BadCall, match=r"[Tt]emplate"):
        command.describe(None, {"template": template, "classes": {"liver": 1}})


@pytest.mark.parametrize(
    "classes", [{}, {"liver": "one"}, {"liver": -1}, {"": 1}, {"../../x": 1}, "liver", ["liver"], {"liver": 70000}]
)
def test_classes_that_are_none_are_refused(classes: Any) -> None:
    with pytest.raises(BadCall):
        command.describe(None, {"template": "segment {image} {mask}", "classes": classes})


def test_a_template_is_described() -> None:
    engine = command.describe(None, {"template": "/opt/Seg/run.sh --in {image0},{image1} '{{x}}' {masks}", "classes": {"liver": 1},
                                     "channels": ["T1", "T2"]})  # fmt: skip
    assert (engine.name, engine.channels, engine.orientation) == ("run", ("T1", "T2"), "RAS")
    assert (engine.licence, engine.purpose) == ("not stated", "research-only")


def test_nothing_is_found_where_nothing_is_and_all_is_where_it_is(tmp_path: Path) -> None:
    assert [row.code().find({}, tmp_path) for row in ADAPTERS] == [[]] * len(ADAPTERS)
    trained = bands.nnunet_folder(tmp_path / "nnUNet_results")
    made = bands.monai_bundle(tmp_path / "bundles")
    places = {"BUNDLE_DIR": str(tmp_path / "bundles"), "nnUNet_results": str(tmp_path / "nowhere")}
    assert nnunet.find(places, tmp_path) == [trained]
    assert bundle.find(places, tmp_path) == [made]


def test_totalsegmentator_tells_what_it_needs(real: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"Dataset297.*engine_weights_missing"):
        totalsegmentator.describe(tmp_path, {"task": "total", "speed": "fast", "python": real})
    with pytest.raises(BadCall, match="brains"):
        totalsegmentator.describe(tmp_path, {"task": "brains", "python": real})
    with pytest.raises(Unavailable, match="engine_licence"):
        totalsegmentator.describe(tmp_path, {"task": "heartchambers_highres", "python": real})
    with pytest.raises(BadCall, match="no speed 'warp'"):
        totalsegmentator.describe(tmp_path, {"speed": "warp", "python": real})
    folder = bands.totalsegmentator_folder(
        tmp_path, "Dataset298_TotalSegmentator_total_6mm_1559subj", 117, 6.0, "nnUNetTrainer_4000epochs_NoMirroring"
    )
    engine = totalsegmentator.describe(tmp_path, {"speed": "fastest", "python": real})
    assert (engine.licence, len(engine.classes), engine.modalities) == ("Apache-2.0", 117, ("ct",))
    shutil.rmtree(folder / "fold_0")
    with pytest.raises(Unavailable, match=r"checkpoint_final\.pth"):
        totalsegmentator.describe(tmp_path, {"speed": "fastest", "python": real})
