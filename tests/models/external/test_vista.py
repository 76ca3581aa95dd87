"""VISTA3D's bundle: asked by class numbers, its masks those that MONAI's own functions give for the same weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.external.engine import Engine
from ostensor.models.external.folders import bundle
from ostensor.models.external.predictor import HostedPredictor

from .conftest import named

LOW, HIGH = -963.8, 1053.7
ROUNDED = 3  # of 17,160 voxels: logits that are 0 but for the order in which numbers were added
NETS = "monai.networks.nets"
NETWORK = (
    f"{NETS}.vista3d.VISTA3D(image_encoder={NETS}.segresnet_ds.SegResNetDS2(in_channels=1, blocks_down=(1, 1), "
    "norm='instance', out_channels=8, init_filters=8, dsdepth=1), "
    f"class_head={NETS}.vista3d.ClassMappingClassify(n_classes=20, feature_size=8, use_mlp=True), "
    f"point_head={NETS}.vista3d.PointMappingSAM(feature_size=8, n_classes=20, last_supported=10))"
)
VISTA = "monai.apps.vista3d.transforms"


def small_network() -> torch.nn.Module:
    from monai.networks.nets.segresnet_ds import SegResNetDS2
    from monai.networks.nets.vista3d import VISTA3D, ClassMappingClassify, PointMappingSAM

    torch.manual_seed(0)
    encoder = SegResNetDS2(
        in_channels=1, blocks_down=(1, 1), norm="instance", out_channels=8, init_filters=8, dsdepth=1
    )
    classes = ClassMappingClassify(n_classes=20, feature_size=8, use_mlp=True)
    points = PointMappingSAM(feature_size=8, n_classes=20, last_supported=10)
    return VISTA3D(image_encoder=encoder, class_head=classes, point_head=points).eval()


def vista_bundle(folder: Path, net: torch.nn.Module) -> Path:
    """As the zoo's, but for the size of the network and of its windows."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    keys = {"keys": "@image_key"}
    config = {
        "imports": ["$import copy", "$import monai"], "bundle_root": "./", "image_key": "image",
        "device": "$torch.device('cpu')", "patch_size": [16, 16, 16], "subclass": {"2": [14, 5]},
        "labels_dict": {"1": "liver", "3": "spleen"},
        "network_def": f"${NETWORK}", "network": "$@network_def.to(@device)",
        "preprocessing_transforms": [
            {"_target_": "LoadImaged", **keys, "image_only": True}, {"_target_": "EnsureChannelFirstd", **keys},
            {"_target_": "EnsureTyped", **keys, "device": "@device", "track_meta": True},
            {"_target_": f"{VISTA}.VistaPreTransformd", **keys, "subclass": "@subclass", "labels_dict": "@labels_dict"},
            {"_target_": "ScaleIntensityRanged", **keys, "a_min": LOW, "a_max": HIGH, "b_min": 0, "b_max": 1, "clip": True},
            {"_target_": "Orientationd", **keys, "axcodes": "RAS"}, {"_target_": "CastToTyped", **keys, "dtype": "$torch.float32"},
        ],
        "preprocessing": {"_target_": "Compose", "transforms": "$@preprocessing_transforms "},
        "inferer": {"_target_": "scripts.inferer.Vista3dInferer", "roi_size": "@patch_size", "overlap": 0.3, "sw_batch_size": 1},
        "postprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": f"{VISTA}.VistaPostTransformd", "keys": "pred"},
            {"_target_": "Invertd", "keys": "pred", "transform": "$copy.deepcopy(@preprocessing)", "orig_keys": "@image_key",
             "nearest_interp": True, "to_tensor": True},
            {"_target_": "Lambdad", "func": "$lambda x: torch.nan_to_num(x, nan=255)", "keys": "pred"},
            {"_target_": "SaveImaged", "keys": "pred"},
        ]},
    }  # fmt: skip
    channels = {"0": "background", "1": "liver", "3": "spleen", "4": "pancreas"}
    formats = {
        "inputs": {"image": {"modality": "CT", "num_channels": 1}},
        "outputs": {"pred": {"channel_def": channels}},
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps({"name": "VISTA3D", "network_data_format": formats}))
    torch.save(net.state_dict(), folder / "models" / "model.pt")
    return folder


def of_monai(net: torch.nn.Module, array: np.ndarray, classes: list[int]) -> np.ndarray:
    """The label map, by MONAI's own sliding window and the rule of its transform: the greatest positive logit."""
    from monai.inferers.utils import sliding_window_inference

    scaled = torch.from_numpy((np.clip(array, LOW, HIGH) - LOW) / (HIGH - LOW)).float()[None, None]
    asked = torch.tensor(classes)
    with torch.inference_mode():
        logits = sliding_window_inference(
            scaled, [16, 16, 16], 1, net, mode="gaussian", overlap=0.3, transpose=True, class_vector=asked,
            prompt_class=asked, point_coords=None, point_labels=None,
        )[0]  # fmt: skip
    return np.where((logits > 0).any(0).numpy(), np.array(classes)[logits.argmax(0).numpy()], 0)


@pytest.mark.filterwarnings("ignore:input's size at dim=0:UserWarning")
def test_classes_are_asked_for_by_their_numbers(loaded: Callable[[Engine], HostedPredictor], tmp_path: Path) -> None:
    net = small_network()
    engine = bundle.describe(vista_bundle(tmp_path / "vista3d", net), {})
    assert [(one.label, one.values) for one in engine.classes] == [
        ("liver", (1,)),
        ("spleen", (3,)),
        ("pancreas", (4,)),
    ]
    predictor = loaded(named(engine, where="worker", trust_code=True))
    array = np.random.default_rng(0).integers(-900, 900, (30, 26, 22)).astype(np.int16)
    scan = Volume(array, Grid(array.shape, np.diag([1.5, 1.5, 1.5, 1.0])), "ct")

    def look(*names: str) -> tuple[list[np.ndarray], bool]:
        found, asked = predictor.look([scan], "k", names, progress=lambda *_: None, cancelled=lambda: False)
        return [one.array for one in found], asked

    truth = of_monai(net, array, [1, 3])
    masks, _ = look("liver", "spleen")
    assert (masks[0] != (truth == 1)).sum() <= ROUNDED
    assert (masks[1] != (truth == 3)).sum() <= ROUNDED
    assert look("spleen")[1] is False, "what was asked before is known"
    (pancreas,), asked = look("pancreas")
    assert asked
    assert (pancreas != (of_monai(net, array, [4]) == 4)).sum() <= ROUNDED
