"""Masks corrected in the viewer by click, box and scribble, in a real browser. What is right is `refine_mask` with the same marks."""

from typing import Any

import numpy as np
import pytest

from ostensor.imaging.geometry import reorient_array
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ..toys.browsers import browser, contrasts, in_colour, seen, show_scan_as, true_in  # noqa: F401  # a fixture
from .test_browser import ORANGE, opened, scan, site, solid_of  # noqa: F401  # fixtures

SHAPE, SPACING = (61, 53, 29), (0.8, 0.9, 3.0)  # towards right, front and head
LIVER = [44, 32, 10]  # a voxel inside its block
AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}  # across, down, cut


def refining(browser: Any, site: str, **options: Any) -> Any:  # noqa: F811
    """A tab in "Refine", whose planes meet in the liver."""
    tab = opened(browser, site, **options)
    tab.click("[data-mode=refine]")
    tab.evaluate(f"at = {LIVER}; drawAll()")
    for view, (_, _, cut) in AXES.items():
        drawn = f"document.querySelector('canvas[data-view={view}]').dataset.drawn === '{LIVER[cut]}'"
        true_in(tab, drawn, tab.trouble)
    return tab


def spot(tab: Any, view: str, voxel: list[int]) -> tuple[float, float]:
    """Where on the screen a voxel's middle lies: pictures run against the axes, in mm, with 18 pixels of 420 left free."""
    box = tab.locator(f"canvas[data-view={view}]").bounding_box()
    sizes = [SHAPE[axis] * SPACING[axis] for axis in AXES[view][:2]]
    zoom = (420 - 36) / max(sizes)
    places = [
        ((420 - size * zoom) / 2 + (SHAPE[axis] - 1 - voxel[axis] + 0.5) * SPACING[axis] * zoom) / 420
        for axis, size in zip(AXES[view][:2], sizes, strict=True)
    ]
    return box["x"] + places[0] * box["width"], box["y"] + places[1] * box["height"]


def drag(tab: Any, view: str, voxels: list[list[int]]) -> None:
    tab.mouse.move(*spot(tab, view, voxels[0]))
    tab.mouse.down()
    for voxel in voxels[1:]:
        tab.mouse.move(*spot(tab, view, voxel))
    tab.mouse.up()


def settled(tab: Any, step: int) -> dict[str, Any]:
    """Where the refinement stands once nothing is under way."""
    true_in(tab, f"untaken === 0 && (target.refining?.step ?? 0) === {step}", tab.trouble)
    assert tab.inner_text("#refused") == ""
    found: dict[str, Any] = tab.evaluate("target.refining")
    return found


def alone(desk: Desk, handle: str, *steps: dict[str, Any]) -> np.ndarray:
    """The mask that `refine_mask` makes of the steps without a viewer, turned to RAS."""
    mask_id = None
    for one in steps:
        made = use(desk, "refine_mask", handle=handle, frame="ras_index", prompts=[one]).result
        handle, mask_id = made.refinement_id, made.mask_id
    return voxels(desk, mask_id)


def voxels(desk: Desk, mask_id: str | None) -> np.ndarray:
    assert mask_id is not None
    mask = desk.store.mask(mask_id)
    return reorient_array(mask.array, mask.grid, "RAS")[0]


def point(voxel: list[int], positive: bool = True) -> dict[str, Any]:
    return {"kind": "point", "at": [voxel], "positive": positive}


@pytest.mark.parametrize("view", list(AXES))
def test_a_click_and_a_right_click_do_what_refine_mask_does_with_the_same_marks(
    browser: Any,  # noqa: F811
    site: str,  # noqa: F811
    desk: Desk,
    scan: str,  # noqa: F811
    view: str,
) -> None:
    """In each plane: the tissue beside the liver is added to it, and a part of the liver taken away."""
    across, down, _ = AXES[view]
    start = desk.store.masks_of(scan)[0].mask_id
    tab = refining(browser, site)
    beside, inside = list(LIVER), list(LIVER)
    beside[across] = 20
    inside[across], inside[down] = LIVER[across] + 4, LIVER[down] + 3
    tab.mouse.click(*spot(tab, view, beside))
    first = settled(tab, 1)
    tab.mouse.click(*spot(tab, view, inside), button="right")
    second = settled(tab, 2)
    assert np.array_equal(voxels(desk, second["mask_id"]), alone(desk, start, point(beside), point(inside, False)))
    assert not voxels(desk, second["mask_id"])[tuple(inside)]
    assert first["mask_id"] != second["mask_id"] != start
    assert (
        f"Step 2: {second['volume_ml']:g} ml (+{second['added_ml']:g} −{second['removed_ml']:g} ml)"
        in tab.inner_text("#step")
    )
    assert "No network was used" in tab.inner_text("#notes")
    assert tab.trouble == []
    tab.close()


def test_the_picture_shows_the_new_mask_and_undo_the_earlier_one(
    browser: Any,  # noqa: F811
    site: str,  # noqa: F811
    desk: Desk,
    scan: str,  # noqa: F811
) -> None:
    tab = refining(browser, site)
    start = desk.store.masks_of(scan)[0].mask_id
    shown = """() => { const bits = cache.get(`axial:${at[2]}`).bits[0], n = [...bits].map((b) => b.toString(2).padStart(8, "0"));
        return n.join("").slice(0, 61 * 53); }"""
    before = tab.evaluate(shown)
    tab.keyboard.down("Alt")
    tab.mouse.click(*spot(tab, "axial", [47, 35, 10]))
    tab.keyboard.up("Alt")
    made = settled(tab, 1)
    after = tab.evaluate(shown)
    expected = voxels(desk, made["mask_id"])[::-1, ::-1, 10].T
    assert after == "".join("1" if one else "0" for one in expected.ravel())
    assert after != before
    assert f"{made['volume_ml']:.2f} ml" in tab.inner_text("#masks")
    tab.click("#undo")
    undone = settled(tab, 2)
    assert undone["mask_id"] == start
    assert tab.evaluate(shown) == before
    assert "one taken back" in tab.inner_text("#step")
    assert tab.locator("#undo").is_disabled()
    tab.close()


def test_a_box_and_a_scribble_are_drawn_by_dragging(
    browser: Any,  # noqa: F811
    site: str,  # noqa: F811
    desk: Desk,
    scan: str,  # noqa: F811
) -> None:
    """A new structure from a box in the coronal plane, then a line of what does not belong to it."""
    tab = refining(browser, site)
    tab.select_option("#target", "new")
    tab.fill("#structure", "lesion")
    drag(tab, "coronal", [[50, 32, 6], [44, 32, 9], [39, 32, 14]])
    made = settled(tab, 1)
    box = {"kind": "box", "at": [[39, 32, 6], [51, 33, 15]], "positive": True}
    assert made["structure"] == "lesion"
    assert np.array_equal(voxels(desk, made["mask_id"]), alone(desk, scan, box))
    assert "lesion" in tab.inner_text("#masks")
    tab.click("[data-kind=scribble]")
    tab.click("[data-sign=no]")
    line = [[40, 26, 10], [40, 30, 10], [44, 30, 10]]
    drag(tab, "axial", line)
    second = settled(tab, 2)
    stroke = {"kind": "scribble", "at": line, "positive": False}
    assert np.array_equal(voxels(desk, second["mask_id"]), alone(desk, scan, box, stroke))
    assert not voxels(desk, second["mask_id"])[40, 28, 10], "the line runs through what lies between its places"
    tab.close()


def test_clicks_made_while_a_step_is_drawn_all_arrive_in_their_order(
    browser: Any,  # noqa: F811
    site: str,  # noqa: F811
    desk: Desk,
    scan: str,  # noqa: F811
) -> None:
    """On a new structure, whose refinement begins with the first of them."""
    tab = refining(browser, site)
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held or route.request.post_data_json["name"] != "refine_mask":
            route.continue_()
        else:
            held.append(route)

    tab.route("**/call", hold)
    tab.select_option("#target", "new")
    clicks = [[44, 32, 10], [20, 20, 10], [40, 26, 10]]
    for voxel, button in zip(clicks, ("left", "right", "left"), strict=True):
        tab.mouse.click(*spot(tab, "axial", voxel), button=button)
    assert "2 waiting" in tab.inner_text("#step"), "all three were made before the first was answered"
    assert tab.evaluate("target.marks.map((one) => one.waits)") == [True] * 3
    held[0].continue_()
    made = settled(tab, 3)
    kept = desk.store.refinements.lines(made["refinement_id"])
    assert [line.facts["marks"][0]["positive"] for line in kept[1:]] == [True, False, True]
    expected = alone(desk, scan, point(clicks[0]), point(clicks[1], False), point(clicks[2]))
    assert np.array_equal(voxels(desk, made["mask_id"]), expected)
    tab.close()


def test_what_the_tool_refuses_is_said_and_the_next_mark_is_taken(browser: Any, site: str, scan: str) -> None:  # noqa: F811
    tab = refining(browser, site)
    tab.select_option("#target", "new")
    tab.mouse.click(*spot(tab, "axial", LIVER), button="right")
    true_in(tab, "untaken === 0 && document.getElementById('refused').textContent !== ''", tab.trouble)
    assert "Only what is not meant was pointed at" in tab.inner_text("#refused")
    assert tab.evaluate("target.marks.length") == 0
    tab.mouse.click(*spot(tab, "axial", LIVER))
    assert settled(tab, 1)["voxels"] > 0
    tab.close()


def test_the_keyboard_marks_the_crosshair_and_takes_back(browser: Any, site: str, desk: Desk) -> None:  # noqa: F811
    tab = refining(browser, site)
    tab.select_option("#target", "new")
    tab.locator("canvas[data-view=axial]").focus()
    tab.keyboard.press("Enter")
    assert voxels(desk, settled(tab, 1)["mask_id"])[tuple(LIVER)]
    tab.keyboard.press("Control+z")
    assert settled(tab, 2)["mask_id"] is None
    assert "nothing is left" in tab.inner_text("#step")
    assert tab.trouble == []
    tab.close()


def test_steps_of_others_are_built_on_and_not_taken_back_unseen(browser: Any, site: str, desk: Desk) -> None:  # noqa: F811
    tab = refining(browser, site)
    tab.mouse.click(*spot(tab, "axial", [20, 20, 10]))
    handle = settled(tab, 1)["refinement_id"]
    use(desk, "refine_mask", handle=handle, frame="ras_index", prompts=[point([48, 28, 9], positive=False)])
    tab.click("#undo")
    true_in(tab, "document.getElementById('refused').textContent.includes('is at step 2, not 1')", tab.trouble)
    tab.mouse.click(*spot(tab, "axial", [20, 40, 10]))
    made = settled(tab, 3)
    assert not voxels(desk, made["mask_id"])[48, 28, 9], "what the other took away"
    assert voxels(desk, made["mask_id"])[20, 40, 10]
    tab.close()


def test_the_3d_view_shows_the_new_mask_in_its_colour(browser: Any, site: str) -> None:  # noqa: F811
    """Tissue far from the liver, added to it, makes its orange surface larger."""
    tab = refining(browser, site, width=760)
    stage = solid_of(tab)
    show_scan_as(tab, "#solid select", "hidden")
    before = in_colour(seen(stage), ORANGE).sum()
    tab.mouse.click(*spot(tab, "axial", [20, 20, 10]))
    settled(tab, 1)
    assert in_colour(seen(stage), ORANGE).sum() > before + 100
    tab.click("#undo")
    settled(tab, 2)
    assert in_colour(seen(stage), ORANGE).sum() == pytest.approx(before, abs=20)
    assert tab.trouble == []
    tab.close()


def test_a_step_that_takes_long_is_waited_for(browser: Any, site: str) -> None:  # noqa: F811
    """The page's first call is answered by a job, as `wait_s=0` makes it."""
    tab = refining(browser, site)

    def hurried(route: Any) -> None:
        asked = route.request.post_data_json
        if asked["name"] == "refine_mask":
            asked["arguments"]["wait_s"] = 0
        route.continue_(post_data=asked)

    tab.route("**/call", hurried)
    tab.mouse.click(*spot(tab, "axial", LIVER))
    assert settled(tab, 1)["voxels"] > 0
    tab.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_refines_with_a_finger(browser: Any, site: str, scheme: str) -> None:  # noqa: F811
    tab = refining(browser, site, width=390, color_scheme=scheme, has_touch=True)
    tab.select_option("#target", "new")
    tab.locator("canvas[data-view=axial]").scroll_into_view_if_needed()
    tab.touchscreen.tap(*spot(tab, "axial", LIVER))
    assert settled(tab, 1)["voxels"] > 0
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    boxes = [place.bounding_box() for place in tab.locator("#refine > *:visible, #refine button").all()]
    assert all(one["x"] >= 0 and one["x"] + one["width"] <= 390 for one in boxes)
    weak = {text: ratio for text, ratio in contrasts(tab).items() if ratio < 4.5}
    assert weak == {}
    named = "(one) => one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.[0]?.textContent.trim()"
    assert all(one.evaluate(named) for one in tab.locator("#refine button, #refine select, #refine input").all())
    assert tab.trouble == []
    tab.close()
