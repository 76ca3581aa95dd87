"""Hand-made networks in the layouts of others: label k is an interval of intensity, so every voxel's label is known.

Nothing is fitted: a feature is the distance to one side of a band's middle, a logit is the band's half width less the distance.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from band_values import BANDS

SCALE = 0.01  # of intensities inside the network: its logits are kept in half precision
SPACING = (1.5, 1.5, 1.5)


def band_scan(shape: tuple[int, int, int] = (28, 24, 20), bands: Mapping[str, tuple[int, int]] = BANDS) -> Any:
    """Air with a block of each band's middle, in places that no flip or permutation maps onto each other."""
    array = np.full(shape, -500, np.int16)
    for number, (low, high) in enumerate(bands.values()):
        x, y, z = 2 + 5 * number, 3 + 3 * number, 2 + 2 * number
        array[x : x + 5, y : y + 4, z : z + 3 + number] = (low + high) // 2
    return array


def band_labels(array: Any, bands: Mapping[str, tuple[int, int]] = BANDS) -> Any:
    """Number of the band each voxel lies in, from 1; 0 for none."""
    labels = np.zeros(array.shape, np.uint8)
    for number, (low, high) in enumerate(bands.values(), 1):
        labels[(array > low) & (array < high)] = number
    return labels


def band_state(bands: Sequence[tuple[int, int]], channels: int = 1, flat: bool = False) -> dict[str, torch.Tensor]:
    """Weights of nnU-Net's PlainConvUNet of two stages and kernels of one voxel; only the first channel is looked at."""
    count, ones = 2 * len(bands), (1, 1) if flat else (1, 1, 1)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, weight: torch.Tensor, bias: torch.Tensor) -> None:
        for part in ("conv", "all_modules.0"):
            state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"] = weight, bias

    first, bias = torch.zeros(count, channels, *ones), torch.zeros(count)
    for number, (low, high) in enumerate(bands):
        middle = (low + high) / 2 * SCALE
        first[2 * number, 0], bias[2 * number] = SCALE, -middle
        first[2 * number + 1, 0], bias[2 * number + 1] = -SCALE, middle
    for encoder in ("encoder", "decoder.encoder"):
        conv(f"{encoder}.stages.0.0.convs.0", first, bias)
        conv(f"{encoder}.stages.1.0.convs.0", torch.zeros(count, count, *ones), torch.zeros(count))
    passed = torch.zeros(count, 2 * count, *ones)  # what comes from below, then what is passed across
    passed[:, count:] = torch.eye(count).reshape(count, count, *ones)
    conv("decoder.stages.0.convs.0", passed, torch.zeros(count))
    two = (2, 2) if flat else (2, 2, 2)
    state["decoder.transpconvs.0.weight"] = torch.zeros(count, count, *two)
    state["decoder.transpconvs.0.bias"] = torch.zeros(count)
    heads, offsets = torch.zeros(len(bands) + 1, count, *ones), torch.zeros(len(bands) + 1)
    for number, (low, high) in enumerate(bands):
        heads[number + 1, 2 * number : 2 * number + 2] = -1
        offsets[number + 1] = (high - low) / 2 * SCALE
    state["decoder.seg_layers.0.weight"], state["decoder.seg_layers.0.bias"] = heads, offsets
    return state


def nnunet_folder(
    parent: Path,
    bands: Mapping[str, tuple[int, int]] = BANDS,
    *,
    dataset: str = "Dataset900_Bands",
    channels: Sequence[str] = ("CT",),
    folds: Sequence[str] = ("0",),
    trainer: str = "nnUNetTrainer",
    configuration: str = "3d_fullres",
    regions: Mapping[str, Sequence[int]] | None = None,
    spacing: tuple[float, float, float] = SPACING,
    mirror: Sequence[int] | None = (0, 1, 2),
    patch: tuple[int, ...] = (16, 16, 16),
) -> Path:
    """A trained folder as nnU-Net v2 leaves it."""
    folder = parent / dataset / f"{trainer}__nnUNetPlans__{configuration}"
    flat = len(patch) == 2
    ones, two = ([1, 1], [2, 2]) if flat else ([1, 1, 1], [2, 2, 2])
    labels: dict[str, Any] = {"background": 0, **{name: n for n, name in enumerate(bands, 1)}}
    facts: dict[str, Any] = {"channel_names": {str(n): name for n, name in enumerate(channels)}, "labels": labels,
                             "numTraining": 0, "file_ending": ".nii.gz"}  # fmt: skip
    if regions:
        facts["labels"] = {"background": 0, **{name: list(values) for name, values in regions.items()}}
        facts["regions_class_order"] = list(range(1, len(bands) + 1))
    size = 2 * len(bands)
    kind = "Conv2d" if flat else "Conv3d"
    resampling = {"resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
                  "resampling_fn_probabilities": "resample_data_or_seg_to_shape"}  # fmt: skip
    orders = {"data": {"is_seg": False, "order": 3}, "seg": {"is_seg": True, "order": 1}, "probabilities": {"is_seg": False, "order": 1}}  # fmt: skip
    kwargs = {f"resampling_fn_{name}_kwargs": {**order, "order_z": 0, "force_separate_z": None} for name, order in orders.items()}  # fmt: skip
    plans = {
        "dataset_name": dataset, "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": list(spacing[::-1]),
        "original_median_shape_after_transp": [20, 24, 28], "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(n): {} for n in range(len(channels))},
        "configurations": {configuration: {
            "data_identifier": "x", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": list(patch),
            "median_image_size_in_voxels": [20, 24, 28][-len(patch):], "spacing": list(spacing[::-1])[-len(patch):],
            "normalization_schemes": ["NoNormalization"] * len(channels), "use_mask_for_norm": [False] * len(channels),
            **resampling, **kwargs, "batch_dice": False,
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 2, "features_per_stage": [size, size], "conv_op": f"torch.nn.modules.conv.{kind}",
                    "kernel_sizes": [ones, ones], "strides": [ones, two], "n_conv_per_stage": [1, 1],
                    "n_conv_per_stage_decoder": [1], "conv_bias": True, "norm_op": None, "norm_op_kwargs": None,
                    "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.ReLU", "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(facts))
    (folder / "plans.json").write_text(json.dumps(plans))
    state = band_state(list(bands.values()), len(channels), flat)
    if regions:
        state = _as_regions(state, len(bands), list(regions.values()))
    checkpoint = {
        "network_weights": state, "trainer_name": trainer, "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": None if mirror is None else tuple(mirror),
        "optimizer_state": {}, "grad_scaler_state": None, "logging": {"train_losses": [np.float64(0.5)]},
        "_best_ema": np.float64(0.9), "current_epoch": 1000,
    }  # fmt: skip
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def _as_regions(
    state: dict[str, torch.Tensor], count: int, regions: Sequence[Sequence[int]]
) -> dict[str, torch.Tensor]:
    """One head for a band, without background: a region is met where its band's logit is positive.

    Region n must hold band n and those after it, for the sigmoid of a band alone cannot say more; see the tests.
    """
    del regions
    state["decoder.seg_layers.0.weight"] = state["decoder.seg_layers.0.weight"][1 : count + 1]
    state["decoder.seg_layers.0.bias"] = state["decoder.seg_layers.0.bias"][1 : count + 1]
    return state


def totalsegmentator_folder(parent: Path, folder_name: str, count: int, spacing_mm: float, trainer: str) -> Path:
    """A part of TotalSegmentator's weights whose label k is the intensities round 20 k."""
    bands = {f"label{k}": (20 * k - 8, 20 * k + 8) for k in range(1, count + 1)}
    return nnunet_folder(
        parent, bands, dataset=folder_name, trainer=trainer, spacing=(spacing_mm,) * 3, mirror=None, patch=(16, 16, 16)
    )


def monai_bundle(parent: Path, bands: Mapping[str, tuple[int, int]] = BANDS, *, overlapping: bool = False) -> Path:
    """A MONAI bundle as the zoo has them, with a network of two convolutions.

    Args:
        overlapping: it answers a mask a class, without background, by a sigmoid each.
    """
    folder = parent / "band_ct_segmentation"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    count, first = len(bands), 0 if overlapping else 1
    names = {str(n + first): name for n, name in enumerate(bands)}
    metadata = {
        "name": "Bands", "version": "0.1.0", "monai_version": "1.6.0", "task": "bands",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1, "channel_def": {"0": "image"}}},
            "outputs": {"pred": {"num_channels": count + first, "channel_def": names if overlapping else {"0": "background", **names}}},
        },
    }  # fmt: skip
    layers = f"torch.nn.Conv3d(1, {2 * count}, 1), torch.nn.ReLU(), torch.nn.Conv3d({2 * count}, {count + first}, 1)"
    post: list[dict[str, Any]] = [
        {"_target_": "Activationsd", "keys": "pred", **({"sigmoid": True} if overlapping else {"softmax": True})},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image", "nearest_interp": False},
        {"_target_": "AsDiscreted", "keys": "pred", **({"threshold": 0.5} if overlapping else {"argmax": True})},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
    ]  # fmt: skip
    config = {
        "imports": ["$import os"], "bundle_root": ".", "device": "$torch.device('cpu')", "datalist": "$os.listdir(@bundle_root)",
        "network_def": f"$torch.nn.Sequential({layers})", "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}, {"_target_": "EnsureTyped", "keys": "image"},
        ]},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 2, "overlap": 0.25},
        "postprocessing": {"_target_": "Compose", "transforms": post},
    }  # fmt: skip
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "LICENSE").write_text("Apache License, Version 2.0\n")
    state = band_state(list(bands.values()))
    heads = {
        "weight": state["decoder.seg_layers.0.weight"][1 - first :],
        "bias": state["decoder.seg_layers.0.bias"][1 - first :],
    }
    net = {"0.weight": state["encoder.stages.0.0.convs.0.conv.weight"], "0.bias": state["encoder.stages.0.0.convs.0.conv.bias"],
           "2.weight": heads["weight"], "2.bias": heads["bias"]}  # fmt: skip
    torch.save({"model": net}, folder / "models" / "model.pt")
    return folder


def nninteractive_folder(parent: Path, low: float = 1.0, high: float = 9.0) -> Path:
    """A model of nnInteractive's that marks what is brighter than most of the scan, wherever it is clicked.

    Its network gets the scan, normalised to mean 0 and deviation 1, the last answer and six channels of clicks.
    """
    scaled = {"bright": (low / SCALE, high / SCALE)}
    folder = nnunet_folder(
        parent, scaled, dataset="nnInteractive_bands", trainer="nnInteractiveTrainer_stub", channels=["image"] * 8,
        mirror=None, patch=(64, 64, 64),
    )  # fmt: skip
    for name in ("dataset.json", "plans.json"):
        facts = json.loads((folder / name).read_text())
        if "channel_names" in facts:
            facts["channel_names"] = {"0": "image"}
        else:
            plan = facts["configurations"]["3d_fullres"]
            plan |= {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False]}
            facts["foreground_intensity_properties_per_channel"] = {"0": {}}
        (folder / name).write_text(json.dumps(facts))
    for path in folder.glob("fold_*/*.pth"):
        content = torch.load(path, weights_only=False)
        for key in [
            key for key in content["network_weights"] if "encoder.stages.0.0.convs.0" in key and key.endswith("weight")
        ]:
            content["network_weights"][key] = (
                content["network_weights"][key] / SCALE
            )  # the scan comes normalised, not scaled
        for key in [
            key for key in content["network_weights"] if "encoder.stages.0.0.convs.0" in key and key.endswith("bias")
        ]:
            content["network_weights"][key] = content["network_weights"][key]
        torch.save(content, path)
    (folder / "inference_info.json").write_text(json.dumps({"point_radius": 2, "interaction_decay": 0.98}))
    (folder / "LICENSE").write_text("CC BY-NC-SA 4.0\n")
    return folder


def write_bench(folder: Path) -> None:
    """What the table of docs/benchmarks.md was measured on: two engines' weights and a scan for each."""
    import nibabel

    nnunet_folder(folder / "nnunet")
    totalsegmentator_folder(folder / "totalsegmentator", "Dataset300_body_6mm_1559subj", 2, 6.0, "nnUNetTrainer")
    trunk = band_scan((96, 96, 80))
    trunk[30:60, 20:50, 10:60], trunk[10:20, 60:90, 10:60] = 100, 200
    nibabel.save(nibabel.Nifti1Image(trunk, np.diag([1.5, 1.5, 1.5, 1])), folder / "trunk.nii.gz")
    body = np.full((60, 50, 40), -500, np.int16)
    body[10:40, 10:40, 10:30], body[12:20, 12:20, 12:20] = 20, 40
    nibabel.save(nibabel.Nifti1Image(body, np.diag([6.0, 6.0, 6.0, 1])), folder / "body.nii.gz")


if __name__ == "__main__":
    write_bench(Path(sys.argv[1]))
