"""nnInteractive's server: clicks in, masks out; our log of clicks outlives its sessions. Torch-free."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import numpy as np

from ....imaging.errors import BadCall, OstensorError
from ....imaging.volume import BoolArray, Volume
from ...card import Card
from ...inference.prompts import check_prompt
from ...interface import Cancelled, Prompt
from ..engine import Engine
from ..refusals import refusal
from ..shelf import is_current
from .http import LeaseLost, NotThere, Server, asked_of, draft_of
from .wire import Damaged, pack_nnia, unpack_nnia

PATHS = {"scribble": "/add_scribble_interaction", "lasso": "/add_lasso_interaction"}
MISSING = "!!MISSING!!"  # what its server says where the model's folder has no LICENSE
T = TypeVar("T")


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a running server.

    Args:
        options: `url`, and `name`, `key_env`, `plain_text` where needed.

    Raises:
        OstensorError: nobody answers, or somebody else.
    """
    del folder
    engine = draft_of(
        options,
        "nninteractive",
        "nnInteractive",
        modalities=("ct", "mr", "pet", "us"),
        orientation="as-stored",
        accepts="clicks",
    )
    told = asked_of(engine)
    if "supported_interactions" not in told:
        raise refusal("engine_unsupported", "What answers there is no server of nnInteractive.")
    licence = str(told.get("license") or MISSING)
    version = str(told.get("inference_session_version", ""))
    kinds = {key: bool(value) for key, value in dict(told["supported_interactions"]).items()}
    return _with(engine, "not stated" if licence == MISSING else licence, f"nnInteractive {version}".strip(), kinds)


def _with(engine: Engine, licence: str, title: str, kinds: Mapping[str, bool]) -> Engine:
    source = "" if licence == "not stated" else "its server"
    return replace(
        engine,
        licence=licence,
        licence_source=source,
        title=title,
        options={**engine.options, "interactions": dict(kinds)},
    )


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Nothing: servers are not looked for."""
    del places, home
    return []


class Client:
    """One session at a time, for one scan and structure; claimed anew and replayed when the server gave it away."""

    def __init__(self, card: Card, engine: Engine) -> None:
        self.card, self.spec, self.engine = card, engine, engine.title
        self.server = Server(engine)
        self._lease = ""
        self._key = ""
        self._sent: list[Prompt] = []
        self._mask: Any = None
        self._can_undo = False
        self._is_sure = True

    def click(
        self, volume: Volume, key: str, prompts: Sequence[Prompt], *, progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> BoolArray:  # fmt: skip
        """The mask after these prompts; see `models.interface.Clicks`."""
        if not prompts:
            raise BadCall("Nothing was pointed at. Give at least one point, box, scribble, lasso or mask.")
        for prompt in prompts:
            check_prompt(prompt, volume.grid)
            self._check_kind(prompt)
        if float(np.ptp(volume.array)) == 0:
            raise BadCall("The scan holds one value only, so there is nothing to click at.")
        for again in (False, True):
            try:
                return self._through(volume, key, list(prompts), progress, cancelled)
            except (LeaseLost, NotThere):
                self._forget()
                if again:
                    break
            except OstensorError:  # the server may have a click whose answer we have not
                self._is_sure = False
                raise
        raise refusal(
            "engine_lease_lost",
            f"The server of '{self.spec.name}' gave our session away twice. Call again; nothing is lost.",
        )

    def is_current(self) -> bool:
        """Whether its engine.toml still says what it was loaded from."""
        return is_current(self.spec, Path(self.card.weights_file))

    def close(self) -> None:
        """Give the session back."""
        if self._lease:
            with contextlib.suppress(Exception):  # it may be gone already, and so may the server
                self._post("/release", {})
        self._forget()
        self.server.close()

    def _through(
        self, volume: Volume, key: str, prompts: list[Prompt], progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> BoolArray:  # fmt: skip
        if not self._lease:
            self._lease = str(self._read(self.server.json("POST", "/claim", json_body={}), "lease_token", str))
            self._key = ""
        if not key or self._key != key:
            progress(0.02, f"sending the scan to {self.spec.name}")
            self._binary("/set_image", volume.array[None].astype(np.float32), {"image_properties": {}})
            self._mask = np.zeros(volume.grid.shape, np.uint8)
            self._post("/set_target_buffer", {"shape": list(volume.grid.shape), "dtype": "uint8"})
            self._key, self._sent, self._can_undo, self._is_sure = key, [], False, True
        if self._is_sure and self._can_undo and prompts == self._sent[:-1]:
            self._apply(self._post("/undo", {}))
            self._sent, self._can_undo = prompts, False
        if not self._is_sure or prompts[: len(self._sent)] != self._sent:
            self._post("/reset_interactions", {})
            self._mask[:] = 0
            self._sent, self._can_undo, self._is_sure = [], False, True
        fresh = prompts[len(self._sent) :]
        for number, prompt in enumerate(fresh):
            if cancelled():
                raise Cancelled
            progress(0.1 + 0.9 * number / len(fresh), f"{prompt.kind} {len(self._sent) + 1} of {len(prompts)}")
            self._send(prompt)
            self._sent = [*self._sent, prompt]
            self._can_undo = True
        found: BoolArray = self._mask > 0
        return found

    def _check_kind(self, prompt: Prompt) -> None:
        """Refuse what the server's model was not taught.

        Raises:
            BadCall: it was not.
        """
        taught = self.spec.options.get("interactions", {})
        deep = prompt.kind == "box" and all(high - low > 1 for low, high in prompt.box)
        kind = {"point": "points", "box": "bbox3d" if deep else "bbox2d"}.get(prompt.kind, prompt.kind)
        if kind == "text" or taught.get(kind) is False:
            advice = "Give a box that is one voxel thick along one axis." if deep else "Point at it in another way."
            raise BadCall(f"'{self.spec.name}' takes no {kind}. {advice}")

    def _send(self, prompt: Prompt) -> None:
        about = {"include_interaction": prompt.positive, "run_prediction": True, "override_capability_checks": False}
        if prompt.kind == "point":
            self._apply(self._post("/add_point_interaction", {"coordinates": list(prompt.at), **about}))
        elif prompt.kind == "box":
            corners = [list(one) for one in prompt.box]
            self._apply(self._post("/add_bbox_interaction", {"bbox_coords": corners, **about}))
        elif prompt.kind == "mask":
            assert prompt.array is not None
            self._mask[:] = prompt.array
            meta = {"run_prediction": False, "override_capability_checks": False}
            self._apply(self._binary("/add_initial_seg_interaction", prompt.array.astype(np.uint8), meta))
        else:
            assert prompt.array is not None
            self._apply(
                self._binary(PATHS[prompt.kind], prompt.array.astype(np.uint8), {**about, "interaction_bbox": None})
            )

    def _post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        return self.server.ask("POST", path, json_body=body, headers={"X-Lease-Token": self._lease})

    def _binary(self, path: str, array: Any, meta: dict[str, Any]) -> httpx2.Response:
        headers = {"X-Lease-Token": self._lease, "X-Meta": json.dumps(meta, separators=(",", ":"))}
        return self.server.ask("POST", path, body=pack_nnia(array), headers=headers)

    def _apply(self, answer: httpx2.Response) -> None:
        """Lay what changed into the mask."""
        told = answer.headers.get("X-Meta")
        if told is None:
            return
        meta = self.server.object_in(told)
        if not meta.get("ran_prediction") or meta.get("bbox") is None or not answer.content:
            return
        try:
            where = tuple(slice(int(low), int(high)) for low, high in meta["bbox"])
            room = self._mask[where].shape
            inside = all(0 <= one.start <= one.stop <= edge for one, edge in zip(where, self._mask.shape, strict=True))
            if not inside:
                raise Damaged("a box outside the scan")
            self._mask[where] = unpack_nnia(answer.content, room) > 0
        except (Damaged, TypeError, ValueError) as error:
            raise refusal(
                "engine_geometry_broken", f"The answer of '{self.spec.name}' cannot be used: {error}. Call again."
            ) from None

    def _read(self, answer: Mapping[str, Any], key: str, kind: Callable[[Any], T]) -> T:
        if key not in answer:
            raise refusal(
                "engine_unsupported", f"The server of '{self.spec.name}' does not answer as nnInteractive's does."
            )
        return kind(answer[key])

    def _forget(self) -> None:
        self._lease, self._key, self._sent, self._mask, self._can_undo, self._is_sure = "", "", [], None, False, True
