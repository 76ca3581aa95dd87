"""Which worker gets a request: one that has the memory, best one that has the image's features or the model already."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ..imaging.errors import Unavailable
from ..observing.counts import HERE
from .devices import Device
from .line import PATIENCE_S

MOST_PATIENCE_S = 60.0
REMEMBERED = 256  # pairs of model and image


@dataclass(frozen=True)
class Placed:
    """Workers that may take a request.

    Attributes:
        lanes: the best first.
        is_at_home: the first has the image's features.
        patience_s: how long it is worth waiting for that one: as long as another look would take.
    """

    lanes: tuple[int, ...]
    is_at_home: bool
    patience_s: float = PATIENCE_S


class Places:
    """What each worker was asked about last, and what it may hold."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = tuple(devices)
        self._held: OrderedDict[tuple[str, str], int] = OrderedDict()  # model and image -> lane
        self._models: list[set[str]] = [set() for _ in devices]
        self._used = [0] * len(self.devices)  # when each last looked at something, in looks
        self._looks = 0
        self._looks_s: dict[str, float] = {}  # model -> seconds of its last look at an image

    def place(self, model: str, image_key: str, memory_mb: int) -> Placed:
        """The workers for a request of this size.

        Raises:
            Unavailable: it needs more memory than any device has.
        """
        fitting = [lane for lane, one in enumerate(self.devices) if one.budget_mb is None or memory_mb <= one.budget_mb]
        if not fitting:
            HERE.add("ostensor_refusals_total", reason="memory")
            told = ", ".join(f"{one.name} {one.budget_mb} MB" for one in self.devices)
            raise Unavailable(
                f"This needs about {memory_mb} MB, but the worker may use {max(one.budget_mb or 0 for one in self.devices)} MB "
                f"({told}). Use a smaller image or a smaller model."
            )
        home = (
            self._held.get((model, image_key)) if image_key else None
        )  # without a key nothing is kept to come back to
        if image_key:
            HERE.add("ostensor_cache_lookups_total", cache="home", outcome="hit" if home in fitting else "miss")
        # Of equals the one used longest ago: were it always the first, new images would push out the features of others
        # there while the rest stood idle (docs/scale.md).
        order = sorted(
            fitting,
            key=lambda lane: (
                lane != home,
                model not in self._models[lane],
                self.devices[lane].name == "cpu",
                self._used[lane],
            ),
        )
        return Placed(tuple(order), home in fitting, self._looks_s.get(model, PATIENCE_S))

    def note(self, lane: int, model: str, image_key: str, look_s: float = 0.0) -> None:
        """A worker has looked at an image with a model.

        Args:
            look_s: how long that took; 0 when it had looked before.
        """
        if look_s:
            self._looks_s[model] = min(max(look_s, PATIENCE_S), MOST_PATIENCE_S)
        self._looks += 1
        self._used[lane] = self._looks
        if image_key:
            self._held[(model, image_key)] = lane
            self._held.move_to_end((model, image_key))
        while len(self._held) > REMEMBERED:
            self._held.popitem(last=False)
        self._models[lane].add(model)

    def forget(self, lane: int) -> None:
        """A worker was started anew and holds nothing."""
        self._held = OrderedDict((key, where) for key, where in self._held.items() if where != lane)
        self._models[lane].clear()
        self._used[lane] = 0
