"""nnInteractive as an engine serves the same tool: a server of ours that draws by the slow, obvious way."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.models import catalogue
from ostensor.models.external import shelf
from ostensor.models.external.servers import nninteractive
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.desks import HERE

sys.path.insert(0, str(HERE))
from engine_servers import KEY, Clicking, drawn, served


@pytest.fixture
def clicking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clicking]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TOY_KEY", KEY)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with served(Clicking()) as site:
        described = nninteractive.describe(None, {"url": site.url, "key_env": "TOY_KEY", "name": "clicks"})
        shelf.add_engine(replace(described, prefer=("*",)))
        catalogue.forget_cards()
        site.calls.clear()
        yield site


def test_an_engine_of_clicks_is_asked_first_and_draws_what_it_was_told(clicking: Clicking, settings: Settings) -> None:
    with Desk(replace(settings, factory="desk_engines:load")) as desk:
        image = use(desk, "open_image", path="ct.nii.gz").result.image_id
        made: Any = None
        log: list[tuple[Any, bool]] = []
        for at, positive in (((15, 20, 10), True), ((22, 20, 10), True), ((16, 21, 10), False)):
            log.append((at, positive))
            made = use(
                desk, "refine_mask", handle=made.refinement_id if made else image, frame="index",
                prompts=[{"kind": "point", "at": [list(at)], "positive": positive}],
            ).result  # fmt: skip
            wanted = drawn(desk.store.image(image).grid.shape, log) > 0
            assert np.array_equal(desk.store.mask(made.mask_id).array, wanted)
        assert made.provenance.model == "clicks"
        assert made.provenance.purpose == "research-only"
        assert clicking.calls.count("/add_point_interaction") == 3, "each click is sent once"
        back = use(desk, "undo_refinement", refinement_id=made.refinement_id).result
        assert np.array_equal(
            desk.store.mask(back.mask_id).array, drawn(desk.store.image(image).grid.shape, log[:2]) > 0
        )
