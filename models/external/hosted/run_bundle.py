"""MONAI bundles: their own preprocessing, inferer and postprocessing around a network that stays loaded.

Facts of MONAI 1.6.1 (Apache-2.0) that this rests on: every "$..." of a config is run as code, so a bundle is code and the
user has said that it may run; `SlidingWindowInferer` calls the network in this thread, so a run is left by raising there;
what an `Invertd` turns back is what the parsed preprocessing has done, so taking transforms out of it is enough.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
from engine_host import Line, Refused
from run_nnunet import version_of

READS = {"LoadImage", "LoadImaged", "EnsureChannelFirst", "EnsureChannelFirstd", "AddChanneld", "AsChannelFirstd"}
WRITES = {"SaveImage", "SaveImaged", "SaveClassificationd"}
NEEDED = ("network", "preprocessing", "inferer")
UNDEFINED = 255  # what VISTA3D's configuration writes where it looked nowhere


def let_copies_invert(operations: Any) -> None:
    """A copy of the preprocessing may turn back what the preprocessing did; MONAI would take it for somebody else's."""
    from monai.utils.enums import TraceKeys

    for one in operations:
        if isinstance(one, dict):
            one[TraceKeys.ID] = TraceKeys.NONE
        else:
            let_copies_invert(one)


class Adapter:
    """One bundle."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.network: Any = None
        self.before: Any = None
        self.after: Any = None
        self.inferer: Any = None
        self.device: Any = None
        self.by_prompt = False
        self.lowest = 1

    def describe(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """The version of what is installed."""
        return {"version": version_of("monai")}

    def load(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Parse the configuration, which runs code of the bundle's, and read the weights, which runs none."""
        root, options = Path(request["weights"]), request["options"]
        sys.path.insert(0, str(root))  # its `scripts`
        line.tell(0.1, "importing MONAI")
        import torch
        from monai.bundle.config_parser import ConfigParser

        self.device = torch.device(request["device"])
        self.parser = ConfigParser()
        self.parser.read_config(str(root / options["config"]))
        self.parser.read_meta(str(root / "configs" / "metadata.json"))
        missing = [name for name in NEEDED if name not in self.parser.config]
        if missing:
            raise Refused("engine_unsupported", f"Its {options['config']} has no {', '.join(missing)}, which are what is used of it.")  # fmt: skip
        self.parser["bundle_root"] = str(root)
        self.parser["device"] = self.device
        line.tell(0.5, "building the network")
        self.network = self.parser.get_parsed_content("network").to(self.device).eval()
        line.tell(0.7, "reading weights")
        self._read_weights(root / options["weights"])
        self.before = self.parser.get_parsed_content("preprocessing")
        self.before.transforms = [one for one in self.before.transforms if type(one).__name__ not in READS]
        self.by_prompt = bool(options.get("by_prompt"))
        self.inferer = self.parser.get_parsed_content("inferer") if not self.by_prompt else None
        if "postprocessing" in self.parser.config:  # parsed last, for it may copy the preprocessing
            self.after = self.parser.get_parsed_content("postprocessing")
            self.after.transforms = [one for one in self.after.transforms if type(one).__name__ not in WRITES]
        self.lowest = min((value for values in request["classes"].values() for value in values), default=1)
        return {"version": f"{version_of('monai')}, bundle {self.parser['_meta_'].get('version', 'of no version')}"}

    def run(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """A label map, or a mask a channel, on the grid of the images."""
        import torch
        from monai.data.meta_tensor import MetaTensor

        arrays = [np.load(file, allow_pickle=False).astype(np.float32) for file in request["images"]]
        affine = torch.tensor(request["affine"], dtype=torch.float64)
        data: dict[str, Any] = {"image": MetaTensor(torch.from_numpy(np.stack(arrays)), affine=affine)}
        if self.by_prompt:
            data["label_prompt"] = [int(value) for value in request["wanted"]]
        line.tell(0.02, "preparing the scan")
        with torch.inference_mode():
            data = self.before(data)
            image = data["image"][None].to(self.device)
            data["pred"] = self._looked(image, data, line)[0]
            line.tell(0.92, "putting it back on the grid")
            if self.by_prompt:  # its postprocessing reads a tensor where its preprocessing reads a list
                data["label_prompt"] = torch.tensor(data["label_prompt"], device=self.device)
            let_copies_invert(data["image"].applied_operations)
            if self.after is not None:
                data = self.after(data)
        self._keep(np.asarray(data["pred"].cpu()), arrays[0].shape, Path(request["folder"]))
        return {"whole": not self.by_prompt}

    def _looked(self, image: Any, data: dict[str, Any], line: Line) -> Any:
        """What the network says of an image (1 channel x y z), window by window."""
        seen = 0
        count = self._windows(image.shape[2:])

        def watched(windows: Any, *more: Any, **named: Any) -> Any:
            nonlocal seen
            line.tell(0.05 + 0.85 * min(1.0, seen / count), "looking at windows")
            seen += len(windows)
            return self.network(windows, *more, **named)

        if not self.by_prompt:
            return self.inferer(inputs=image, network=watched)
        import torch
        from monai.inferers.utils import sliding_window_inference

        facts = self.parser.config["inferer"]
        prompts = torch.tensor(data["label_prompt"], device=self.device).long()
        return sliding_window_inference(
            inputs=image,
            roi_size=self.parser.get_parsed_content("inferer#roi_size"),
            sw_batch_size=1,
            predictor=watched,
            mode="gaussian",
            overlap=float(facts.get("overlap", 0.3)),
            transpose=True,
            class_vector=prompts,
            prompt_class=prompts,
            point_coords=None,
            point_labels=None,
        )

    def _windows(self, shape: Any) -> int:
        """How many windows the inferer will look at; 1 where it says nothing of windows."""
        from monai.data.utils import dense_patch_slices
        from monai.inferers.utils import _get_scan_interval

        roi = (
            self.parser.get_parsed_content("inferer#roi_size")
            if self.by_prompt
            else getattr(self.inferer, "roi_size", None)
        )
        if roi is None:
            return 1
        overlap = getattr(self.inferer, "overlap", 0.25)
        size = [
            min(edge, whole) if edge and edge > 0 else whole
            for edge, whole in zip(np.broadcast_to(roi, 3), shape, strict=True)
        ]
        steps = _get_scan_interval(tuple(shape), tuple(size), 3, [float(one) for one in np.broadcast_to(overlap, 3)])
        return max(1, len(dense_patch_slices(tuple(shape), tuple(size), steps)))

    def _keep(self, found: Any, shape: tuple[int, ...], folder: Path) -> None:
        """Write the answer: one channel is a label map, several are masks that may overlap."""
        if found.ndim != 4 or found.shape[1:] != shape:
            raise Refused("engine_geometry_broken", f"The bundle's answer has shape {found.shape}, the scan {shape}: its "
                          "postprocessing does not turn back what its preprocessing did.")  # fmt: skip
        if len(found) > 1:
            np.save(folder / "answer.npy", found > 0.5)
            return
        if self.lowest == 0:
            raise Refused("engine_unsupported", "Its channel 0 is no background, yet it answers one channel: what 0 means is not clear.")  # fmt: skip
        labels = np.nan_to_num(found[0])
        labels[labels == UNDEFINED] = 0
        np.save(folder / "answer.npy", labels)

    def _read_weights(self, path: Path) -> None:
        import torch

        if path.suffix == ".ts":
            raise Refused(
                "engine_unsupported", "TorchScript weights are code that nobody can look at. Use the bundle's model.pt."
            )
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise Refused("engine_unsafe_checkpoint", f"{path.name} holds more than tensors and might run code when opened, so "
                          "it is not. Get it from its authors.") from None  # fmt: skip
        except Exception:
            raise Refused("engine_unsupported", f"{path.name} is no checkpoint, or is truncated.") from None
        state = content.get("model", content) if isinstance(content, dict) else None
        if not isinstance(state, dict):
            raise Refused("engine_unsupported", f"{path.name} holds no weights.")
        try:
            self.network.load_state_dict(state)
        except RuntimeError:
            raise Refused("engine_unsupported", f"{path.name} does not fit the network of the configuration.") from None
