"""nnU-Net v2 folders: the network is built from its plans, its weights are read without running anything they hold.

Facts of nnunetv2 2.8.1 (Apache-2.0) that this rests on: the trainer is looked up by importing every trainer, one of which
needs torchvision, so it is not looked up; an error raised between two tiles leaves a thread that waits for ever, so a run
that was called off ends its list of tiles early instead.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from engine_host import Line, Refused  # the program that loads this file

OTHER_NETWORK = (
    "The weights of '{name}' do not fit the network of its plans: trainer '{trainer}' builds another one. Only trainers "
    "that use the network of the plans are taken."
)


class Adapter:
    """A folder `<Trainer>__<Plans>__<configuration>` with its folds."""

    def __init__(self) -> None:
        self.predictor: Any = None

    def describe(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """The version of what is installed."""
        return {"version": version_of("nnunetv2")}

    def load(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Build the network and read every fold."""
        line.tell(0.1, "importing nnU-Net")
        import torch

        threads = request["threads"] or torch.get_num_threads()
        os.environ["nnUNet_def_n_proc"] = str(threads)  # noqa: SIM112 - its name; read at import
        options = request["options"]
        predictor_class = watched_predictor(line)
        self.predictor = predictor_class(
            tile_step_size=float(options.get("tile_step_size", 0.5)),
            use_gaussian=True,
            use_mirroring=bool(options.get("mirroring", True)),
            perform_everything_on_device=request["device"] != "cpu",
            device=torch.device(request["device"]),
            verbose=False,
            allow_tqdm=False,
        )
        line.tell(0.5, "reading weights")
        folds = [str(fold) for fold in options["folds"]]
        initialize(self.predictor, Path(request["weights"]), options["configuration"], folds, options["checkpoint"])
        return {"version": version_of("nnunetv2")}

    def run(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """A label map of all classes on the grid of the images."""
        channels = [
            np.load(file, allow_pickle=False).astype(np.float32).transpose(2, 1, 0) for file in request["images"]
        ]
        self.predictor.start(len(self.predictor.list_of_parameters))
        found = self.predictor.predict_single_npy_array(np.stack(channels), {"spacing": request["spacing"][::-1]})
        line.stop_if_called_off()
        np.save(Path(request["folder"]) / "answer.npy", np.ascontiguousarray(np.asarray(found).transpose(2, 1, 0)))
        return {}


def watched_predictor(line: Line) -> Any:
    """nnU-Net's predictor, telling its tiles and stopping between them."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Tiles(list):  # type: ignore[type-arg]
        """Tiles that are told one by one and end early when the run was called off."""

        def __init__(self, tiles: Any, owner: Any) -> None:
            super().__init__(tiles)
            self.owner = owner

        def __iter__(self) -> Any:
            """Runs in a thread of nnU-Net's, where nothing may be raised."""
            for number, tile in enumerate(super().__iter__()):
                if line.is_called_off():
                    return
                self.owner.told(number / len(self))
                yield tile

    class Watched(nnUNetPredictor):  # type: ignore[misc, unused-ignore]
        """Passes over the image are counted, one for each fold (and part, where somebody else calls it)."""

        passes, finished, first = 1, 0, 0.0

        def start(self, passes: int, first: float = 0.0) -> None:
            self.passes, self.finished, self.first = passes, 0, first

        def told(self, share: float) -> None:
            line.tell(0.05 + 0.85 * min(1.0, (self.finished + share) / self.passes), "looking at tiles")

        def _internal_get_sliding_window_slicers(self, image_size: Any) -> Any:
            return Tiles(super()._internal_get_sliding_window_slicers(image_size), self)

        def predict_sliding_window_return_logits(self, input_image: Any) -> Any:
            line.stop_if_called_off()
            found = super().predict_sliding_window_return_logits(input_image)
            line.stop_if_called_off()
            self.finished += 1
            return found

    return Watched


def initialize(predictor: Any, folder: Path, configuration: str, folds: list[str], checkpoint: str) -> None:
    """What `initialize_from_trained_model_folder` does, without trainers and without running what a checkpoint holds."""
    import json

    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    plans = PlansManager(json.loads((folder / "plans.json").read_text(encoding="utf-8")))
    chosen = plans.get_configuration(configuration)
    parameters, trainer, mirrored = [], "", None
    for fold in folds:
        content = read_checkpoint(folder / f"fold_{fold}" / checkpoint)
        parameters.append(content["network_weights"])
        trainer = str(content.get("trainer_name", ""))
        mirrored = content.get("inference_allowed_mirroring_axes")
    network = get_network_from_plans(
        chosen.network_arch_class_name,
        chosen.network_arch_init_kwargs,
        chosen.network_arch_init_kwargs_req_import,
        determine_num_input_channels(plans, chosen, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        allow_init=False,
        deep_supervision=False,
    )
    try:
        for one in parameters:
            network.load_state_dict(one)
    except RuntimeError:
        raise Refused("engine_unsupported", OTHER_NETWORK.format(name=folder.parent.name, trainer=trainer)) from None
    predictor.manual_initialization(network, plans, chosen, parameters, dataset, trainer, mirrored)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint that is data.

    Raises:
        Refused: it holds something that would run when it is opened, or is no checkpoint.
    """
    import torch

    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "bool")]
    allowed: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *kinds,
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise Refused("engine_unsafe_checkpoint", f"{path.parent.name}/{path.name} holds more than data and might run code "
                      "when opened, so it is not. Get the checkpoint from its authors.") from None  # fmt: skip
    except Exception:
        raise Refused(
            "engine_unsupported", f"{path.parent.name}/{path.name} is no checkpoint, or is truncated."
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise Refused("engine_unsupported", f"{path.parent.name}/{path.name} is no checkpoint of nnU-Net v2.")
    return content


def version_of(package: str) -> str:
    """The installed version of a package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        raise Refused(
            "engine_missing", f"The engine's Python has no {package}. Install it there: pip install {package}"
        ) from None
