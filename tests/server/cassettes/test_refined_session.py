"""A recorded session of pointing: begun, corrected in pixels of a picture, undone, branched. It replays without a model, and live.

`OSTENSOR_UPDATE=1` records it again.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostensor.server.cassettes.cassette import Cassette, recording
from ostensor.server.cassettes.replay import Live, Player
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ...toys.desks import desk, root, settings, toys

__all__ = ["desk", "root", "settings", "toys"]
pytest_plugins = ["ostensor.server.cassettes.pytest_plugin"]
PATH = Path(__file__).with_name("refine.cassette")
Call = Callable[..., dict[str, Any]]


def session(call: Call) -> None:
    """What an assistant does: two clicks in different frames, a wrong one taken back, another way tried."""
    image = call("open_image", path="ct.nii.gz")["image_id"]
    spleen = call("segment", image_id=image, structures=["spleen"])["masks"][0]["mask_id"]
    click = {"kind": "point", "at": [[15, 20, 10]]}
    made = call("refine_mask", handle=image, frame="index", prompts=[click], structure="liver", locked=[spleen])
    shown = call("render", image_id=image, mask_ids=[made["mask_id"]], view="axial", slice_index=24)
    middle = [[shown["size"][0] // 2, shown["size"][1] // 2 - 20]]
    wrong = call(
        "refine_mask", handle=made["refinement_id"], frame=shown["picture_id"], prompts=[{"kind": "point", "at": middle}],
        scope="slice", after_step=1,
    )  # fmt: skip
    call("undo_refinement", refinement_id=wrong["refinement_id"], after_step=wrong["step"])
    call("branch_refinement", refinement_id=wrong["refinement_id"], step=wrong["step"], model="auto")


def test_the_session_agrees_with_a_live_run(desk: Desk) -> None:
    if os.environ.get("OSTENSOR_UPDATE"):
        with recording(desk, PATH, {"kind": "tools"}):
            session(lambda name, **given: use(desk, name, **given).result.model_dump(mode="json"))
    assert [row for row in Live(Cassette.load(PATH), desk).run() if row.matters] == []


def test_the_session_replays_without_a_model_or_a_scan(cassette: Callable[[str], Player]) -> None:
    player = cassette("refine.cassette")

    def call(name: str, **given: Any) -> dict[str, Any]:
        _, result, failed = player.answer(name, given)
        assert not failed
        return result

    session(call)
    assert player.unused == []


def test_the_recording_holds_masks_that_say_who_drew_them() -> None:
    made = Cassette.load(PATH).calls[2].result
    assert (made["verdict"], made["confidence"], made["provenance"]["drawn_by"]) == (
        "drawn by a person",
        None,
        "a person",
    )
    assert made["mask_id"] in Cassette.load(PATH).masks
