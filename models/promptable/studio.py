"""Masks under way in one worker: the last ones are kept, so that a further step costs that step only. Torch-free."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.volume import BoolArray
from ..interface import Cancelled, Clicks, Features, Progress, Promptable
from .drawing import Asked, Draw, Drawn, click_with, draw_with
from .steps import Step

KEPT = 4  # masks that are gone on from without drawing what came before; ours


class Studio:
    """What was drawn last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Drawn] = OrderedDict()

    def clear(self) -> None:
        """Forget it; it is drawn again when it is gone on from."""
        self._kept.clear()

    def drawn_by(
        self,
        model: object,
        asked: Asked,
        looking: Callable[[Promptable], Features],
        *,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Drawn:
        """The mask after all steps.

        Args:
            looking: gives a network's features of the scan.

        Raises:
            BadCall: the model takes no marks, or not these.
            Cancelled: `cancelled` answered True between two steps.
        """
        if isinstance(model, Promptable):
            draw = draw_with(model, looking(model), asked)
        elif isinstance(model, Clicks):
            draw = click_with(model, asked, cancelled)
        else:
            raise BadCall(
                "This model takes names, not clicks. Use model='auto', or one that list_models shows for task 'refine'."
            )
        return self._drawn(asked, draw, progress, cancelled)

    def _drawn(self, asked: Asked, draw: Draw, progress: Progress, cancelled: Callable[[], bool]) -> Drawn:
        steps = asked.steps
        keys = [_key(asked.key, steps[:number]) for number in range(len(steps) + 1)]
        known = next((number for number in range(len(steps), 0, -1) if keys[number] in self._kept), 0)
        empty: BoolArray = np.zeros(asked.volume.grid.shape, np.bool_)
        last = self._kept[keys[known]] if known else Drawn(empty if asked.start is None else asked.start)
        for number in range(known + 1, len(steps) + 1):
            if cancelled():
                raise Cancelled
            last = draw(last, steps[:number])
            progress((number - known) / (len(steps) - known))
        self._kept[keys[-1]] = last
        self._kept.move_to_end(keys[-1])
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return last


def _key(key: str, steps: Sequence[Step]) -> str:
    return hashlib.sha256(repr((key, steps)).encode()).hexdigest()
