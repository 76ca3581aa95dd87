"""VoxTell's server: sentences in, masks out. Torch-free."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from ....imaging.errors import BadCall, OstensorError
from ....imaging.volume import Volume
from ...card import Card
from ...interface import Cancelled, Decoded
from ..engine import Engine
from ..orientation import turn_to
from ..refusals import refusal
from ..shelf import is_current
from .http import LeaseLost, NotThere, Server, asked_of, draft_of
from .wire import Damaged, unpack_vxa2

PAUSE_S = 0.5  # between two looks at a cancel while the server says nothing
SILENT_S = 600.0  # a job that says nothing for so long hangs
_AGAIN_S = 0.05  # before an ended stream is taken up again
KEPT = 4  # scans whose handles at the server are remembered
NEAR = 3


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a running server.

    Args:
        options: `url`, and `name`, `key_env`, `plain_text` where needed.

    Raises:
        OstensorError: nobody answers, or somebody else.
    """
    del folder
    engine = draft_of(options, "voxtell", "VoxTell", modalities=("ct", "mr", "pet"), orientation="RAS", accepts="text")
    if "available_embeddings" not in asked_of(engine):
        raise refusal("engine_unsupported", "What answers there is no server of VoxTell.")
    return engine


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Nothing: servers are not looked for."""
    del places, home
    return []


class Client:
    """Scans are sent once; each question is a job with progress and cancel."""

    def __init__(self, card: Card, engine: Engine) -> None:
        self.card, self.spec, self.engine = card, engine, "voxtell"
        self.server = Server(engine)
        self._images: OrderedDict[str, str] = OrderedDict()
        self._answers: dict[tuple[str, str], Any] = {}

    def look(
        self, volumes: Sequence[Volume], key: str, structures: Sequence[str], *, progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> tuple[list[Decoded], bool]:  # fmt: skip
        """One mask per sentence; see `models.interface.Looks`."""
        if len(volumes) != 1:
            raise BadCall(f"'{self.spec.name}' takes one image.")
        fresh = [one for one in dict.fromkeys(structures) if not key or (key, one) not in self._answers]
        found: dict[str, Any] = {}
        if fresh:
            try:
                found = self._asked(volumes[0], key, fresh, progress, cancelled)
            except (NotThere, LeaseLost):  # the server forgot the scan
                self._images.pop(key, None)
                try:
                    found = self._asked(volumes[0], key, fresh, progress, cancelled)
                except (NotThere, LeaseLost):
                    raise refusal(
                        "engine_lease_lost", f"The server of '{self.spec.name}' forgot the scan twice. Call again."
                    ) from None
            if key:
                self._answers |= {(key, one): np.packbits(mask) for one, mask in found.items()}
                while len({scan for scan, _words in self._answers}) > KEPT:
                    oldest = next(iter(self._answers))[0]
                    self._answers = {pair: bits for pair, bits in self._answers.items() if pair[0] != oldest}
        shape, count = volumes[0].grid.shape, int(np.prod(volumes[0].grid.shape))
        masks = [
            found[one]
            if one in found
            else np.unpackbits(self._answers[key, one], count=count).view(np.bool_).reshape(shape)
            for one in structures
        ]
        return [Decoded(one, mask, None, None) for one, mask in zip(structures, masks, strict=True)], bool(fresh)

    def is_current(self) -> bool:
        """Whether its engine.toml still says what it was loaded from."""
        return is_current(self.spec, Path(self.card.weights_file))

    def close(self) -> None:
        """Drop the connections."""
        self.server.close()

    def _asked(
        self, volume: Volume, key: str, prompts: list[str], progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> dict[str, Any]:  # fmt: skip
        turn = turn_to(volume.grid, "RAS")
        turned = turn.grid(volume.grid)
        if not key or key not in self._images:  # under "" nothing is kept: the next scan without a key is another one
            progress(0.02, f"sending the scan to {self.spec.name}")
            answer = self.server.ask(
                "POST", "/images", body=_nifti(turn.of(volume.array), turned.affine), params={"include_image": "false"}
            )
            meta = self.server.object_in(answer.headers.get("X-Meta", ""))
            if meta.get("shape") != list(turned.shape[::-1]):
                raise refusal(
                    "engine_geometry_broken",
                    f"'{self.spec.name}' read the scan as {str(meta.get('shape'))[:60]}, not {turned.shape[::-1]}.",
                )
            self._images[key] = self._told(meta, "image_id")
            while len(self._images) > KEPT:
                self._images.popitem(last=False)
        wish = {"image_id": self._images[key], "prompts": prompts, "keep_largest": False}
        job = self._told(self.server.json("POST", "/jobs", json_body=wish), "job_id")
        self._await(job, prompts, progress, cancelled)
        content = self.server.ask("GET", f"/jobs/{job}/result").content
        try:
            masks = unpack_vxa2(content, (len(prompts), *turned.shape[::-1]))
        except Damaged as error:
            raise refusal(
                "engine_geometry_broken", f"The answer of '{self.spec.name}' cannot be used: {error}. Call again."
            ) from None
        return {one: turn.back(mask.transpose(2, 1, 0) > 0) for one, mask in zip(prompts, masks, strict=True)}

    def _told(self, answer: Mapping[str, Any], name: str) -> str:
        """A handle the server gave; it becomes part of addresses."""
        handle = answer.get(name)
        if not isinstance(handle, str) or not re.fullmatch(r"[\w-]{1,200}", handle):
            raise refusal("engine_unsupported", f"The server of '{self.spec.name}' does not answer as VoxTell's does.")
        return handle

    def _await(
        self, job: str, prompts: list[str], progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> None:
        """Follow a job to its end; a stream that says nothing is left and taken up again, to look at a cancel."""
        heard = time.monotonic()
        while True:
            if cancelled():
                with contextlib.suppress(OstensorError, NotThere, LeaseLost):  # it may have ended by itself
                    self.server.ask("POST", f"/jobs/{job}/cancel", json_body={})
                raise Cancelled
            if time.monotonic() - heard > SILENT_S:
                raise refusal(
                    "engine_hangs", f"'{self.spec.name}' said nothing for {SILENT_S:.0f} s. Look at its server."
                )
            try:
                with self.server.failures(pauses=True), self.server.lines(f"/jobs/{job}/events", PAUSE_S) as lines:
                    for line in lines:
                        heard = time.monotonic()
                        event = self.server.object_in(line)
                        if (share := _share(event.get("done"), event.get("total"))) is not None:
                            progress(0.1 + 0.85 * share, "looking at tiles")
                        if event.get("status") == "done":
                            return
                        if event.get("status") == "cancelled":
                            raise Cancelled
                        if event.get("status") == "error":
                            raise self._unread(prompts)
                        if cancelled():
                            break
                time.sleep(_AGAIN_S)  # a stream that ended before its job
            except httpx2.ReadTimeout:
                continue

    def _unread(self, prompts: list[str]) -> Exception:
        """Why a job failed, as far as it can be told from what the server knows."""
        bank = [str(one) for one in self.server.json("GET", "/capabilities").get("available_embeddings") or ()]
        unknown = [one for one in prompts if one.lower() not in bank]
        if bank and unknown:
            near = difflib.get_close_matches(unknown[0].lower(), bank, n=NEAR, cutoff=0.0)
            return BadCall(
                f"The server of '{self.spec.name}' failed, maybe for want of words: its bank does not hold '{unknown[0][:60]}', and "
                f"others it reads only with its text model beside it. Near: {', '.join(near)}."
            )
        return refusal("engine_crashed", f"The server of '{self.spec.name}' failed at this scan. Its own log says why.")


def _share(done: Any, total: Any) -> float | None:
    """How much of a job is done, in [0, 1]; None where its numbers are none."""
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in (done, total)) or total <= 0:
        return None
    return float(min(1.0, max(0.0, done / total)))


def _nifti(array: Any, affine: Any) -> bytes:
    import gzip

    import nibabel

    kept = array.astype(np.float32) if array.dtype.kind == "f" or array.dtype.itemsize > 4 else array
    kept = kept.astype(np.uint8) if kept.dtype == np.bool_ else kept
    image: Any = nibabel.Nifti1Image(kept, affine)
    return gzip.compress(image.to_bytes(), compresslevel=1)
