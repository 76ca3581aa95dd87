"""lungmask (Apache-2.0 code): its networks from a file, its slices told one batch after the other.

Facts of lungmask 0.2.22 that this rests on: a path of weights is never downloaded and is read as tensors only; arrays must
be z y x with axes that grow to L, P, S; its `apply` looks at batches in this thread, so a run is left by raising there.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from engine_host import Line, Refused
from run_nnunet import version_of

BATCH = 8  # slices


class Adapter:
    """One network, and one that fills what the first misses, where the user gave it."""

    def __init__(self) -> None:
        self.inferer: Any = None
        self.slices = 1
        self.looked = 0

    def describe(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """The version of what is installed."""
        return {"version": version_of("lungmask")}

    def load(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Read the weights."""
        version = version_of("lungmask")
        line.tell(0.1, "importing lungmask")
        from lungmask import LMInferer

        options, folder = request["options"], Path(request["weights"])
        fill = options.get("fill")
        try:
            self.inferer = LMInferer(
                modelpath=str(folder / options["file"]),
                fillmodel_path=str(folder / fill) if fill else None,
                force_cpu=request["device"] == "cpu",
                batch_size=BATCH,
                tqdm_disable=True,
            )
        except pickle.UnpicklingError:
            raise Refused("engine_unsafe_checkpoint", f"{options['file']} holds more than tensors and might run code when "
                          "opened, so it is not. Get the weights from their authors.") from None  # fmt: skip
        except (RuntimeError, EOFError, TypeError, AttributeError):
            raise Refused("engine_unsupported", f"{options['file']} holds no weights of lungmask's network.") from None
        heads = len(list(self.inferer.model.state_dict().values())[-1])
        if heads != 1 + len(request["classes"]):
            raise Refused("engine_unsupported", f"{options['file']} has {heads - 1} classes, '{options['model']}' has {len(request['classes'])}.")  # fmt: skip
        for network in (self.inferer.model, self.inferer.fillmodelm):
            if network is not None:
                self._watch(network, line)
        return {"version": version}

    def run(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """A label map on the grid of the image."""
        array = np.load(request["images"][0], allow_pickle=False).transpose(2, 1, 0)
        self.slices, self.looked = len(array) * (2 if self.inferer.fillmodelm is not None else 1), 0
        found = self.inferer.apply(np.ascontiguousarray(array))
        np.save(Path(request["folder"]) / "answer.npy", np.ascontiguousarray(found.transpose(2, 1, 0)))
        return {}

    def _watch(self, network: Any, line: Line) -> None:
        forward = network.forward

        def watched(batch: Any) -> Any:
            line.tell(0.9 * self.looked / self.slices, "looking at slices")
            found = forward(batch)
            self.looked += len(batch)
            return found

        network.forward = watched
