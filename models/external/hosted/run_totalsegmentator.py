"""TotalSegmentator as a library: its own cropping, resampling and joining of parts, around networks that stay loaded.

Facts of TotalSegmentator 2.18.0 (Apache-2.0 code) that this rests on: every call reads the weights again and starts two
processes that import torch; weights are downloaded, and folders of old ones deleted; each run is reported to a server;
`sys.exit` is called where something is missing; images become 32-bit integers on the way.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import run_nnunet as nnunet  # the file beside this one
from engine_host import Line, Refused

NARROW = 100.0  # MR values that span less are scaled up before they are made integers
WIDE = 1000.0
NEAR = 0.25  # voxels; it does not always put back the affine of a scan whose spacing is nearly its own


class Adapter:
    """One task, resident."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.device = "cpu"
        self.networks: dict[int, Any] = {}
        self.line: Any = None
        self.run_task: Any = None
        self.passes, self.finished = 1, 0

    def describe(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Classes, kind of scan, licence and weights of a task, from the package's own tables; no torch."""
        version = nnunet.version_of("TotalSegmentator")
        from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS
        from totalsegmentator.registry import TASKS, get_task_classes, requires_license, task_modality

        options = request["options"]
        task = str(options.get("task", "total"))
        if task not in TASKS:
            raise Refused(
                "engine_unsupported", f"TotalSegmentator {version} has no task '{task}'. It has: {', '.join(TASKS)}."
            )
        folders = {}
        for number in ids_of(task, options):
            facts = TASK_ID_WEIGHTS_CONFIGS.get(number)
            if facts is None:
                raise Refused(
                    "engine_unsupported", f"TotalSegmentator {version} names no weights for part {number} of '{task}'."
                )
            folders[str(number)] = str(Path(facts.get("rel_path") or "") / facts["foldername"])
        classes = {int(number): str(label) for number, label in get_task_classes(task).items()}
        return {"version": version, "classes": classes, "modality": task_modality(task).lower(),
                "needs_licence": bool(requires_license(task)), "folders": folders}  # fmt: skip

    def load(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Set up a home of its own, so that nothing of the user's is written or deleted, and read every part."""
        self.options, self.device, self.line = request["options"], request["device"], line
        home = Path(os.environ["HOME"])
        weights = home / "weights"
        facts = self.describe(request, line)
        for folder in facts["folders"].values():
            (weights / folder).parent.mkdir(parents=True, exist_ok=True)
            (weights / folder).symlink_to(Path(request["weights"]) / folder, target_is_directory=True)
        settings = {
            "totalseg_id": "none",
            "send_usage_stats": False,
            "prediction_counter": 0,
            "statistics_disclaimer_shown": True,
        }
        if self.options.get("license_number"):
            settings["license_number"] = str(self.options["license_number"])
        (home / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        threads = str(request["threads"] or 1)
        os.environ |= {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(weights), "nnUNet_def_n_proc": threads,
                       "nnUNet_results": str(weights), "nnUNet_raw": str(weights), "nnUNet_preprocessed": str(weights)}  # fmt: skip
        line.tell(0.1, "importing TotalSegmentator")
        import totalsegmentator.nnunet as inner
        import totalsegmentator.python_api as outer

        outer.download_pretrained_weights = self._there  # type: ignore[attr-defined, unused-ignore]
        outer.send_usage_stats = lambda *_: None  # type: ignore[attr-defined, unused-ignore]
        inner.nnUNetv2_predict = self._predict  # type: ignore[attr-defined, unused-ignore]
        self.run_task = outer.totalsegmentator
        for number, part in enumerate(self._parts()):
            line.tell(0.5 + 0.5 * number / len(self._parts()), "reading weights")
            self._network(part)
        return {"version": facts["version"]}

    def run(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """A label map of the task's classes on the grid of the image."""
        array = np.load(request["images"][0], allow_pickle=False)
        task = str(self.options.get("task", "total"))
        affine = np.diag(
            [*request["spacing"], 1.0]
        )  # it is in RAS already, and its tools do not take oblique axes well
        if array.dtype.kind == "f" and task.endswith("_mr") and 0 < float(np.ptp(array)) < NARROW:
            array = (array - array.min()) * (WIDE / float(np.ptp(array)))  # its networks do not see a linear change
        scan = nibabel.Nifti1Image(array.astype(np.float32), affine)
        wanted = self._subset(request["wanted"])
        self.finished = 0
        self.passes = len(self._parts()) if wanted is None else 1 + len(wanted[1])
        found = self._labels(scan, task, None if wanted is None else wanted[0])
        if wanted is not None and not found.any():  # the rough look that it crops by missed it
            wanted, self.finished, self.passes = None, 0, len(self._parts())
            found = self._labels(scan, task, None)
        np.save(Path(request["folder"]) / "answer.npy", found)
        return {"whole": wanted is None}

    def _labels(self, scan: Any, task: str, subset: list[str] | None) -> Any:
        made = self.run_task(
            scan,
            None,
            ml=True,
            task=task,
            fast=self.options.get("speed") == "fast",
            fastest=self.options.get("speed") == "fastest",
            roi_subset=subset,
            device="gpu" if self.device.startswith("cuda") else self.device,
            quiet=True,
            nr_thr_resamp=1,
            nr_thr_saving=1,
            skip_saving=True,
        )
        far = np.abs((made.affine - scan.affine) @ [*scan.shape, 1]).max()
        if made.shape != scan.shape or not far <= NEAR * min(scan.header.get_zooms()):
            raise Refused("engine_geometry_broken", "TotalSegmentator answered on another grid.")
        return np.asanyarray(made.dataobj).astype(np.uint8)

    def _parts(self) -> list[int]:
        return main_ids_of(str(self.options.get("task", "total")), self.options)

    def _subset(self, wanted: list[int]) -> tuple[list[str], set[str]] | None:
        """Names for `roi_subset` and the parts they need, where that saves a part; else None."""
        from totalsegmentator.map_to_binary import class_map

        task = str(self.options.get("task", "total"))
        parts = parts_of(task) if len(self._parts()) > 1 else {}
        names = [class_map[task][number] for number in wanted if number in class_map[task]]
        needed = {part for part, labels in parts.items() if set(names) & labels}
        crop = 852 if task.endswith("_mr") else 298
        if not parts or len(needed) >= len(parts) - 1 or not self._has(crop):
            return None
        return names, needed

    def _has(self, number: int) -> bool:
        from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

        facts = TASK_ID_WEIGHTS_CONFIGS[number]
        folder = Path(os.environ["TOTALSEG_WEIGHTS_PATH"], facts.get("rel_path") or "", str(facts["foldername"]))
        return folder.is_dir()

    def _there(self, number: int) -> None:
        """In place of its download."""
        if not self._has(number):
            raise Refused("engine_weights_missing", f"The weights of part {number} are not in its folder. Download them with "
                          "TotalSegmentator itself (totalseg_download_weights), then add the engine again.")  # fmt: skip

    def _network(self, number: int) -> Any:
        """The loaded network of a part."""
        if number not in self.networks:
            import torch
            from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

            self._there(number)
            facts = TASK_ID_WEIGHTS_CONFIGS[number]
            top = Path(os.environ["TOTALSEG_WEIGHTS_PATH"]) / (facts.get("rel_path") or "") / facts["foldername"]
            trained = sorted(path.parent for path in top.glob("*/plans.json"))
            if len(trained) != 1:
                raise Refused(
                    "engine_unsupported", f"Part {number} holds {len(trained)} trained folders; one was expected."
                )
            predictor = nnunet.watched_predictor(self.line)(
                use_mirroring=False, device=torch.device(self.device), allow_tqdm=False,
                perform_everything_on_device=self.device != "cpu",
            )  # fmt: skip
            nnunet.initialize(predictor, trained[0], trained[0].name.split("__")[-1], ["0"], "checkpoint_final.pth")
            self.networks[number] = predictor
        return self.networks[number]

    def _predict(self, dir_in: Any, dir_out: Any, task_id: int, *_: Any, step_size: float = 0.5, **__: Any) -> None:
        """In place of its `nnUNetv2_predict`: the same files in and out, no process started, no weight read again."""
        predictor = self._network(task_id)
        predictor.tile_step_size = step_size
        inputs = sorted(Path(dir_in).glob("*_0000.nii.gz"))
        predictor.start(1)
        predictor.told = self._told
        for file in inputs:
            stem = file.name.removesuffix("_0000.nii.gz")
            channels = sorted(str(path) for path in Path(dir_in).glob(f"{stem}_????.nii.gz"))
            predictor.predict_from_files_sequential([channels], [str(Path(dir_out) / stem)], save_probabilities=False)
        self.finished += 1

    def _told(self, share: float) -> None:
        self.line.tell(min(1.0, (self.finished + share) / self.passes), f"part {self.finished + 1} of {self.passes}")


def main_ids_of(task: str, options: dict[str, Any]) -> list[int]:
    """Numbers of the networks of a task itself."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS

    facts = TASK_CONFIGS[task]
    if "sub_modes" in facts:
        speed = str(options.get("speed") or "default")
        if speed not in facts["sub_modes"]:
            raise Refused(
                "engine_unsupported", f"Task '{task}' has no speed '{speed}'. It has: {', '.join(facts['sub_modes'])}."
            )
        facts = facts["sub_modes"][speed]
    elif options.get("speed"):
        raise Refused("engine_unsupported", f"Task '{task}' has one speed only. Leave speed out.")
    number = facts["task_id"]
    return [int(one) for one in number] if isinstance(number, list) else [int(number)]


def ids_of(task: str, options: dict[str, Any]) -> list[int]:
    """Numbers of every network a task needs, those it crops by included."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS

    facts, found = TASK_CONFIGS[task], main_ids_of(task, options)
    if facts.get("crop_model"):
        found += ids_of(str(facts["crop_model"]), {})
    elif facts.get("crop") is not None or facts.get("cascade"):
        crop = facts["crop"] or ()
        trunk = "body_trunc" in crop or "body_extremities" in crop
        mr = task.endswith("_mr") or facts.get("modality") == "mr"
        found.append(300 if trunk else 852 if mr else 297 if facts.get("robust_crop") else 298)
    if task == "vertebrae_pp_refined":
        found.append(305)
    return list(dict.fromkeys(found))


def parts_of(task: str) -> dict[str, set[str]]:
    """Part -> its labels, of the tasks that are made of several networks."""
    from totalsegmentator import map_to_binary

    maps = {"total": "class_map_5_parts", "total_v3": "class_map_5_parts_total_v3", "total_mr": "class_map_parts_mr"}
    found = getattr(map_to_binary, maps[task]) if task in maps else {}
    return {part: set(labels.values()) for part, labels in found.items()}
