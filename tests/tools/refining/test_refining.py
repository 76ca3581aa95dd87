"""Masks drawn and corrected by pointing. What is right is the toy scan's own blocks, and the toys' plain rules."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.desks import AFFINE, Ask

LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))
SPLEEN = (slice(40, 50), slice(30, 41), slice(20, 29))
IN_LIVER, IN_SPLEEN = [15, 20, 10], [45, 35, 25]
SHAPE = (61, 53, 29)


def point(*at: float, positive: bool = True) -> dict[str, Any]:
    return {"kind": "point", "at": [list(at)], "positive": positive}


def refine(desk: Desk, handle: str, *prompts: dict[str, Any], **more: Any) -> Any:
    return use(desk, "refine_mask", handle=handle, prompts=list(prompts), **{"frame": "index", **more}).result


def voxels(desk: Desk, mask_id: str | None) -> np.ndarray:
    assert mask_id is not None
    return desk.store.mask(mask_id).array


def block(*where: tuple[slice, ...]) -> np.ndarray:
    array = np.zeros(SHAPE, np.bool_)
    for one in where:
        array[one] = True
    return array


def test_a_click_draws_from_nothing_and_counts_as_drawn_by_a_person(desk: Desk, image_id: str) -> None:
    """The ball of the toy: radius 4 about the click, inside the liver's block."""
    made = refine(desk, image_id, point(*IN_LIVER), structure="liver", model="toy-ball")
    x, y, z = np.indices(SHAPE)
    ball = (x - 15) ** 2 + (y - 20) ** 2 + (z - 10) ** 2 <= 16
    assert np.array_equal(voxels(desk, made.mask_id), ball & block(LIVER))
    assert (made.verdict, made.confidence, made.step, made.structure) == ("drawn by a person", None, 1, "liver")
    assert made.added_ml == made.volume_ml == pytest.approx(int(ball.sum()) * 0.8 * 0.9 * 3 / 1000, abs=1e-3)
    by = made.provenance
    assert (by.drawn_by, by.model, by.marks, by.refinement_id) == ("a person", "toy-ball", 1, made.refinement_id)
    assert desk.store.mask_record(made.mask_id).facts["verdict"] == "drawn by a person"


def test_every_frame_names_the_same_voxel(desk: Desk, image_id: str) -> None:
    """The toy scan is stored LPS with voxels of 0.8 x 0.9 x 3 mm: places worked out by hand from its affine."""
    shown = use(desk, "render", image_id=image_id, view="axial", slice_index=10)
    mm = (AFFINE @ [*IN_LIVER, 1])[:3]
    places = {
        "index": IN_LIVER,
        "ras_index": [60 - 15, 52 - 20, 10],
        "mm": mm.tolist(),
        "mm_lps": [-mm[0], -mm[1], mm[2]],
        shown.result.picture_id: pixel_of(shown, 15, 20),
    }
    masks = {frame: refine(desk, image_id, point(*at), frame=frame).mask_id for frame, at in places.items()}
    assert len(set(masks.values())) == 1, masks


def pixel_of(shown: Any, x: int, y: int) -> list[float]:
    """By the drawing: an axial picture has 26 pixels of frame, the patient's right (x grows to the left here) on its left."""
    width, height = shown.result.size
    return [26 + (x + 0.5) / SHAPE[0] * (width - 52) - 0.5, 26 + (y + 0.5) / SHAPE[1] * (height - 52) - 0.5]


def test_the_same_marks_have_the_same_mask_and_a_repeated_first_call_begins_nothing_new(
    desk: Desk, image_id: str
) -> None:
    first = refine(desk, image_id, point(*IN_LIVER))
    assert refine(desk, image_id, point(*IN_LIVER)) == first
    on = refine(desk, first.refinement_id, point(*IN_SPLEEN))
    again = refine(desk, image_id, point(*IN_LIVER))
    assert again.refinement_id != first.refinement_id
    assert again.mask_id == first.mask_id
    assert refine(desk, again.refinement_id, point(*IN_SPLEEN)).mask_id == on.mask_id


def test_a_mask_is_corrected_without_being_changed_itself(desk: Desk, image_id: str) -> None:
    """The toy takes a ball of radius 4 off the liver; the mask of `segment` stays."""
    liver = use(desk, "segment", image_id=image_id, structures=["liver"]).result.masks[0].mask_id
    made = refine(desk, liver, point(10, 12, 6, positive=False), model="toy-ball")
    x, y, z = np.indices(SHAPE)
    ball = (x - 10) ** 2 + (y - 12) ** 2 + (z - 6) ** 2 <= 16
    assert np.array_equal(voxels(desk, made.mask_id), block(LIVER) & ~ball)
    assert np.array_equal(voxels(desk, liver), block(LIVER))
    assert (made.structure, made.added_ml) == ("liver", 0.0)
    assert made.removed_ml == pytest.approx(int((ball & block(LIVER)).sum()) * 0.00216, abs=1e-3)
    assert made.provenance.inputs == [liver, image_id]


def test_an_imported_mask_can_be_started_from(desk: Desk, image_id: str) -> None:
    liver = use(desk, "segment", image_id=image_id, structures=["liver"]).result.masks[0].mask_id
    path = use(desk, "export", mask_ids=[liver]).result.files[0].path
    imported = use(desk, "import_mask", path=path, image_id=image_id).result.masks[0].mask_id
    made = refine(desk, imported, point(*IN_SPLEEN), model="grow-from-seeds")
    assert np.array_equal(voxels(desk, made.mask_id), block(LIVER, SPLEEN))


def test_not_that_one_the_one_below(desk: Desk, image_id: str) -> None:
    """What a text answered is rejected by locking it, and the one below is pointed at; the right kidney is toy's wrong answer."""
    text = use(desk, "segment_described", image_id=image_id, description="the spleen").result
    wrong = text.candidates[0].mask_id
    made = refine(desk, image_id, point(*IN_LIVER), point(*IN_SPLEEN), locked=[wrong], model="grow-from-seeds")
    assert np.array_equal(voxels(desk, made.mask_id), block(LIVER))
    assert any(f"lies inside the locked spleen ({wrong}), which stays as it is" in note for note in made.notes)


def test_locked_masks_are_not_entered_by_any_step(desk: Desk, image_id: str) -> None:
    liver = use(desk, "segment", image_id=image_id, structures=["liver"]).result.masks[0].mask_id
    first = refine(desk, image_id, point(5, 20, 10), locked=[liver], model="toy-ball")  # beside the liver
    later = refine(desk, first.refinement_id, point(*IN_LIVER))
    assert not (voxels(desk, later.mask_id) & block(LIVER)).any()
    assert "inside the locked liver" in " ".join(later.notes)
    free = refine(desk, later.refinement_id, point(16, 20, 10), locked=[])
    assert (voxels(desk, free.mask_id) & block(LIVER)).any()


def test_undo_takes_back_any_number_and_branches_go_on_from_any_step(desk: Desk, image_id: str) -> None:
    steps = [refine(desk, image_id, point(*IN_LIVER), model="toy-ball")]
    for at in ([16, 22, 11], [14, 18, 9], IN_SPLEEN):
        steps.append(refine(desk, steps[-1].refinement_id, point(*at)))
    handle = steps[0].refinement_id
    back = use(desk, "undo_refinement", refinement_id=handle, steps=3).result
    assert (back.mask_id, back.step, back.steps) == (steps[0].mask_id, 5, 1)
    again = refine(desk, handle, point(16, 22, 11))
    assert again.mask_id == steps[1].mask_id
    branch = use(desk, "branch_refinement", refinement_id=handle, step=4).result  # a step that was undone since
    assert (branch.mask_id, branch.steps) == (steps[3].mask_id, 4)
    assert branch.refinement_id != handle
    refine(desk, branch.refinement_id, point(30, 30, 3))
    assert use(desk, "undo_refinement", refinement_id=handle, steps=2).result.mask_id is None
    with pytest.raises(BadCall, match="0 steps that count"):
        use(desk, "undo_refinement", refinement_id=handle)
    assert [line.kind for line in desk.store.refinements.lines(handle)] == [
        "begin", "add", "add", "add", "add", "undo", "add", "undo",
    ]  # fmt: skip


def test_after_a_restart_another_worker_goes_on_as_if_nothing_had_been(
    desk: Desk, settings: Settings, image_id: str
) -> None:
    """The ball's radius depends on how often it was drawn: a worker that had lost the steps before would draw another."""
    first = refine(desk, image_id, point(*IN_LIVER), model="toy-ball")
    whole = refine(desk, first.refinement_id, point(33, 20, 10))
    use(desk, "undo_refinement", refinement_id=first.refinement_id)
    desk.close()
    with Desk(replace(settings)) as other:
        again = refine(other, first.refinement_id, point(33, 20, 10))
        assert again.mask_id == whole.mask_id
        x, y, z = np.indices(SHAPE)
        ball = (x - 33) ** 2 + (y - 20) ** 2 + (z - 10) ** 2 <= 25
        assert (voxels(other, again.mask_id) & ball).sum() == ball.sum()


def test_a_replay_draws_every_step_anew_and_says_whether_it_is_the_same(desk: Desk, image_id: str) -> None:
    made = refine(desk, image_id, point(*IN_LIVER), model="toy-ball")
    made = refine(desk, made.refinement_id, point(33, 20, 10))
    same = use(desk, "branch_refinement", refinement_id=made.refinement_id, model="toy-ball").result
    assert same.mask_id == made.mask_id
    assert same.notes == ["All 2 steps were drawn anew, and every mask is the same bit for bit."]
    other = use(desk, "branch_refinement", refinement_id=made.refinement_id, model="grow-from-seeds").result
    assert "Step 1: " in other.notes[0]
    assert "voxels differ" in other.notes[0]
    assert other.provenance.model == "grow-from-seeds"


def test_an_editor_who_did_not_see_the_last_step_gets_a_conflict(desk: Desk, image_id: str) -> None:
    first = refine(desk, image_id, point(*IN_LIVER), model="toy-ball")
    other = refine(desk, first.refinement_id, point(16, 22, 11), after_step=1)
    with pytest.raises(BadCall, match=rf"Conflict: .* at step 2, not 1.*{other.mask_id}.*after_step=2") as refused:
        refine(desk, first.refinement_id, point(*IN_SPLEEN), after_step=1)
    assert "branch_refinement" in str(refused.value)
    with pytest.raises(BadCall, match="Conflict"):
        use(desk, "undo_refinement", refinement_id=first.refinement_id, after_step=1)
    with pytest.raises(BadCall, match="no step 9 yet"):
        refine(desk, first.refinement_id, point(*IN_SPLEEN), after_step=9)
    assert len(desk.store.refinements.lines(first.refinement_id)) == 3


def test_a_call_whose_answer_was_lost_is_not_counted_twice(desk: Desk, image_id: str) -> None:
    first = refine(desk, image_id, point(*IN_LIVER), model="toy-ball")
    one = refine(desk, first.refinement_id, point(16, 22, 11), after_step=1)
    assert refine(desk, first.refinement_id, point(16, 22, 11), after_step=1) == one
    back = use(desk, "undo_refinement", refinement_id=first.refinement_id, after_step=2).result
    assert use(desk, "undo_refinement", refinement_id=first.refinement_id, after_step=2).result == back
    assert len(desk.store.refinements.lines(first.refinement_id)) == 4


@pytest.mark.parametrize("names_its_step", [True, False])
def test_of_editors_at_once_no_click_is_lost(desk: Desk, image_id: str, names_its_step: bool) -> None:
    """Who names the step is refused and knows; who does not is added after the others. Either way the log holds what was answered."""
    first = refine(desk, image_id, point(*IN_LIVER), model="toy-ball")
    gate = threading.Barrier(4)
    places = [[12, 12, 6], [20, 25, 12], [18, 14, 8], [10, 26, 14]]

    def click(at: list[int]) -> Any:
        gate.wait()
        try:
            return refine(desk, first.refinement_id, point(*at), **({"after_step": 1} if names_its_step else {}))
        except BadCall as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(click, places))
    kept = [line.facts["marks"][0]["at"][0] for line in desk.store.refinements.lines(first.refinement_id)[2:]]
    taken = [at for at, answer in zip(places, answers, strict=True) if not isinstance(answer, BadCall)]
    assert sorted(kept) == sorted(taken)
    assert len(kept) == (1 if names_its_step else 4)
    assert all("Conflict" in str(answer) for answer in answers if isinstance(answer, BadCall))


def test_a_network_of_slices_is_carried_through_the_volume_and_says_so(desk: Desk, image_id: str) -> None:
    """The liver's block is the same in slices 5 to 16 and ends in tissue of another grey."""
    made = refine(desk, image_id, point(*IN_LIVER), model="toy-flat")
    assert np.array_equal(voxels(desk, made.mask_id), block(LIVER))
    assert "carried to slices 5 to 16 (from the feet)" in " ".join(made.notes)
    taken = refine(desk, made.refinement_id, point(*IN_LIVER[:2], 7, positive=False))
    left = block() if taken.mask_id is None else voxels(desk, taken.mask_id)
    assert not left[:, :, 7].any()
    assert left[:, :, 10].sum() == block(LIVER)[:, :, 10].sum(), "a slice with a mark of its own is left to that mark"


def test_scope_slice_changes_no_other_slice(desk: Desk, image_id: str) -> None:
    for model in ("toy-ball", "toy-flat", "grow-from-seeds"):
        made = refine(desk, image_id, point(*IN_LIVER), scope="slice", model=model)
        drawn = voxels(desk, made.mask_id)
        assert drawn[:, :, 10].any(), model
        assert not np.delete(drawn, 10, axis=2).any(), model
    later = refine(desk, made.refinement_id, point(*IN_SPLEEN))
    assert np.array_equal(voxels(desk, later.mask_id), drawn | block(SPLEEN)), "what was left out does not come back"
    with pytest.raises(BadCall, match="lie in slices 10 to 12"):
        refine(desk, image_id, point(*IN_LIVER), point(15, 20, 12), scope="slice")


def test_scope_slice_follows_the_plane_of_the_picture(desk: Desk, image_id: str) -> None:
    shown = use(desk, "render", image_id=image_id, view="coronal", slice_index=52 - 20).result
    width, height = shown.size
    at = [26 + 15.5 / 61 * (width - 52) - 0.5, 26 + (28 - 10 + 0.5) / 29 * (height - 52) - 0.5]
    made = refine(desk, image_id, point(*at), frame=shown.picture_id, scope="slice", model="grow-from-seeds")
    wanted = block(LIVER)
    wanted[:, :20], wanted[:, 21:] = False, False
    assert np.array_equal(voxels(desk, made.mask_id), wanted)


def test_boxes_scribbles_and_lassos_say_what_they_hold(desk: Desk, image_id: str) -> None:
    """By grey values: a box about the spleen, a line through the liver, an outline in one of its slices."""
    box = refine(desk, image_id, {"kind": "box", "at": [[38, 28, 18], [52, 43, 29]]}, model="grow-from-seeds")
    drawn = voxels(desk, box.mask_id)
    assert 2 * (drawn & block(SPLEEN)).sum() / (drawn.sum() + block(SPLEEN).sum()) > 0.85
    line = refine(desk, image_id, {"kind": "scribble", "at": [[10, 12, 7], [20, 25, 12]]}, model="grow-from-seeds")
    assert np.array_equal(voxels(desk, line.mask_id), block(LIVER))
    outline = [[9.5, 12.5, 8], [9.5, 20.5, 8], [18.5, 20.5, 8], [18.5, 12.5, 8]]
    lasso = refine(desk, image_id, {"kind": "lasso", "at": outline}, scope="slice", model="grow-from-seeds")
    assert np.array_equal(voxels(desk, lasso.mask_id), block((slice(10, 19), slice(13, 21), slice(8, 9))))


def test_a_network_is_told_in_its_own_way_what_it_does_not_understand(desk: Desk, image_id: str) -> None:
    made = refine(desk, image_id, {"kind": "scribble", "at": [[10, 12, 7], [20, 25, 12]]}, model="toy-ball")
    assert "'toy-ball' takes no scribble; it was told some point instead." in made.notes
    drawn = voxels(desk, made.mask_id)
    assert drawn[10, 12, 7]
    assert drawn[20, 25, 12]


def test_auto_takes_a_network_of_volumes_first_then_slices_then_grey_values(
    desk: Desk, settings: Settings, image_id: str
) -> None:
    assert refine(desk, image_id, point(*IN_LIVER)).provenance.model == "toy-ball"
    commercial = Desk(replace(settings, purpose="commercial"), host=desk)
    assert refine(commercial, image_id, point(*IN_SPLEEN)).provenance.model == "toy-flat"
    commercial.close()
    negative_box = {"kind": "box", "at": [[38, 28, 18], [52, 43, 29]], "positive": False}
    with pytest.raises(BadCall, match="does not understand a box that says what is not meant"):
        refine(desk, image_id, point(*IN_LIVER), negative_box, model="toy-ball")
    mr = desk.store.add_image(replace(desk.store.volume(image_id), modality="mr"), source_name="mr").image_id
    assert refine(desk, mr, point(*IN_LIVER)).provenance.model == "grow-from-seeds"


def test_contradictions_are_said_with_both_places_and_the_later_counts(desk: Desk, image_id: str) -> None:
    with pytest.raises(BadCall, match=r"contradict each other at voxel \[15, 20, 10\]") as refused:
        refine(desk, image_id, point(*IN_LIVER), point(*IN_LIVER, positive=False))
    assert "the positive point at [15, 20, 10] and the negative point at [15, 20, 10]" in str(refused.value)
    with pytest.raises(BadCall, match="contradict each other"):
        refine(desk, image_id, {"kind": "scribble", "at": [[10, 12, 7], [20, 12, 7]]}, point(15, 12, 7, positive=False))
    first = refine(desk, image_id, point(*IN_LIVER), point(*IN_SPLEEN), model="toy-ball")
    later = refine(desk, first.refinement_id, point(*IN_LIVER, positive=False))
    told = "the negative point at [15, 20, 10] says the opposite of the positive point at [15, 20, 10] of step 1"
    assert any(told in note for note in later.notes)
    assert not (voxels(desk, later.mask_id) & block(LIVER)).any()
    assert voxels(desk, later.mask_id)[tuple(IN_SPLEEN)]


def test_a_mark_that_the_model_does_not_follow_is_named(desk: Desk, image_id: str) -> None:
    """The toy looks at a ball about the mark in the grey of the mark; a mark of tissue inside the start's mask takes nothing of it."""
    liver = use(desk, "segment", image_id=image_id, structures=["liver"]).result.masks[0].mask_id
    grown = use(desk, "edit_mask", operation="grow", mask_ids=[liver], amount_mm=3).result.mask_id
    made = refine(desk, grown, point(7, 20, 10, positive=False), point(16, 20, 10), model="toy-flat", scope="slice")
    assert not any("did not follow" in note for note in made.notes)
    ignored = refine(desk, image_id, point(30, 30, 3), point(32, 30, 3, positive=False), model="toy-ball")
    assert "The model did not follow: the positive point at [30, 30, 3] is outside the mask still." in ignored.notes


@pytest.mark.parametrize(
    ("prompts", "fact"),
    [
        ([], "Nothing was pointed at"),
        ([point(61, 2, 3)], r"\[61, 2, 3\] \(index\) is outside the scan. It has 61 x 53 x 29 voxels"),
        ([point(float("nan"), 2, 3)], "NaN or infinity"),
        ([point(float("inf"), 2, 3)], "NaN or infinity"),
        ([point(1, 2)], "Without a third nobody knows the slice"),
        ([{"kind": "scribble", "at": [[1, 2], [3, 4]]}], "Without a third nobody knows the slice"),
        ([{"kind": "point", "at": []}], "A point came with 0 places"),
        ([{"kind": "point", "at": [[1, 2, 3]] * 10_000}], "10000 places in one call are too many"),
        ([{"kind": "scribble", "at": [[1, 2, 3]] * 10_001}], "too many"),
        ([{"kind": "box", "at": [[5, 5, 5], [5, 9, 9]]}], "is empty"),
        ([{"kind": "box", "at": [[5, 5, 5]]}], "exactly two corners"),
        ([{"kind": "box", "at": [[5, 5, 5], [80, 9, 9]]}], "outside the scan"),
        ([{"kind": "lasso", "at": [[5, 5, 5], [9, 9, 9], [5, 9, 12]]}], "lies in no slice"),
        ([{"kind": "lasso", "at": [[1, 2, 3], [4, 5, 3], [1, 2, 3]]}], "encloses no voxel"),
        ([{"kind": "star", "at": [[1, 2, 3]]}], "'point', 'box', 'scribble' or 'lasso'"),
        ([{"kind": "point", "at": [[1, 2, 3]], "slice": 3}], "not an argument"),
    ],
)
def test_bad_marks_are_refused_and_nothing_is_drawn(desk: Desk, image_id: str, prompts: Any, fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        refine(desk, image_id, *prompts)
    assert desk.store.masks_of(image_id) == ()


def test_marks_on_another_image_are_refused(desk: Desk, image_id: str) -> None:
    other = desk.store.add_image(replace(desk.store.volume(image_id), synthetic=True), source_name="other").image_id
    picture = use(desk, "render", image_id=other).result.picture_id
    with pytest.raises(BadCall, match="Pictures of other images cannot be used"):
        refine(desk, image_id, point(300, 300), frame=picture)
    mask = refine(desk, other, point(*IN_LIVER)).mask_id
    with pytest.raises(BadCall, match=f"locked mask {mask} belongs to {other}, not to {image_id}"):
        refine(desk, image_id, point(*IN_LIVER), locked=[mask])


def test_wrong_handles_frames_and_models_say_what_to_do(desk: Desk, image_id: str) -> None:
    first = refine(desk, image_id, point(*IN_LIVER), structure="liver", model="toy-ball")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"handle": "job_0123456789abcdef"}, "no handle to draw on"),
        ({"handle": "ref_0123456789ab"}, "Unknown refinement 'ref_0123456789ab'"),
        ({"handle": "img_0123456789ab"}, "Unknown image"),
        ({"frame": "voxel"}, "Unknown frame 'voxel'. Allowed: mm, mm_lps, index, ras_index"),
        ({"frame": "pic_0123456789ab"}, "No picture 'pic_0123456789ab'"),
        ({"after_step": 3}, "pass its ref_ handle"),
        ({"model": "toy-ct"}, "does not draw from marks"),
        ({"model": "toy-bal"}, "Unknown model 'toy-bal'"),
        ({"handle": first.refinement_id, "model": "toy-flat"}, r"branch_refinement\(.*model='toy-flat'"),
        ({"handle": first.refinement_id, "structure": "spleen"}, "draws the liver"),
    ]
    for changes, fact in cases:
        with pytest.raises(BadCall, match=fact):
            refine(desk, str(changes.pop("handle", image_id)), point(*IN_LIVER), **changes)
    with pytest.raises(BadCall, match="has no step 7"):
        use(desk, "branch_refinement", refinement_id=first.refinement_id, step=7)


def test_a_pixel_on_the_frame_or_a_mark_across_two_slices_is_no_place(desk: Desk, image_id: str) -> None:
    one = use(desk, "render", image_id=image_id).result.picture_id
    with pytest.raises(BadCall, match="shows no voxel"):
        refine(desk, image_id, point(3, 3), frame=one)
    shown = use(desk, "render", image_id=image_id, view="montage").result
    across = {"kind": "scribble", "at": [[60, shown.size[1] // 2], [shown.size[0] - 60, shown.size[1] // 2]]}
    with pytest.raises(BadCall, match="across two slices"):
        refine(desk, image_id, across, frame=shown.picture_id)
    for kind in ("mip", "surface"):
        mask = refine(desk, image_id, point(*IN_LIVER)).mask_id
        assert use(desk, "render", image_id=image_id, mask_ids=[mask], kind=kind).result.picture_id is None


def test_an_image_without_voxel_size_has_no_mm_but_pixels_and_volumes_stay_unknown(desk: Desk, root: Any) -> None:
    from PIL import Image

    grey = np.full((40, 60), 20, np.uint8)
    grey[10:20, 30:50] = 200
    Image.fromarray(grey).save(root / "flat.png")
    image = use(desk, "open_image", path="flat.png").result.image_id
    with pytest.raises(BadCall, match="no place in mm is known"):
        refine(desk, image, point(1, 2, 3), frame="mm")
    made = refine(desk, image, point(35, 15))
    assert (made.voxels, made.volume_ml, made.added_ml) == (200, None, None)
    assert made.changed_voxels == 200


def test_a_model_that_is_away_is_passed_over_and_named(
    desk: Desk, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = desk.workers.run

    def run(request: Any, **more: Any) -> Any:
        if request.model == "toy-ball":
            raise Unavailable("Its server is away.")
        return asked(request, **more)

    monkeypatch.setattr(desk.workers, "run", run)
    made = refine(desk, image_id, point(*IN_LIVER))
    assert made.provenance.model == "toy-flat"
    assert made.notes[0] == "'toy-ball' was passed over: Its server is away."


def test_an_assistant_reads_what_it_needs_from_the_answer(ask: Ask, image_id: str) -> None:
    told = ask("refine_mask", handle=image_id, frame="index", prompts=[point(*IN_LIVER)], structure="liver")
    assert not told.is_error, told.text
    assert f"{told.result['mask_id']}: liver as drawn by a person" in told.text
    assert f"Step 1 of {told.result['refinement_id']}." in told.text
    assert len(told.text) / 4 <= 400
    refused = ask("refine_mask", handle=image_id, frame="index", prompts=[])
    assert refused.is_error
