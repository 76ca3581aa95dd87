"""Random views and synthetic pictures: a function of the seed, with the labels in step."""

import numpy as np
import pytest
import torch

from ostensor.imaging.volume import Grid
from ostensor.training.bodies import hra_phantom
from ostensor.training.bodies.appearance import _ghosted, _streaked, synthesise
from ostensor.training.bodies.bodies import WALL_MM, with_body
from ostensor.training.bodies.cores import core_of, with_cores, without_cores
from ostensor.training.bodies.hra_phantom import SHELL, SPINE
from ostensor.training.data import brain
from ostensor.training.sampling import Ready, View, draw


def body() -> torch.Tensor:
    labels = torch.zeros(24, 20, 16, dtype=torch.long)
    labels[3:21, 3:17, 2:14] = 1
    labels[5:11, 5:12, 4:9] = 16  # liver
    labels[13:19, 6:10, 4:9] = 2  # hip bone
    return labels


def test_the_same_seed_gives_the_same_picture_and_another_a_different_one() -> None:
    one, two, other = (synthesise(body(), hra_phantom.APPEARANCE, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, other, atol=0.1)


def test_synthetic_ct_has_bone_above_liver_above_air() -> None:
    for seed in range(5):
        labels = body()
        picture = synthesise(labels, hra_phantom.APPEARANCE, np.random.default_rng(seed))
        assert picture[labels == 2].mean() > picture[labels == 16].mean() > picture[labels == 0].mean() + 0.5


def test_synthetic_mr_varies_its_contrast_but_keeps_fluid_darkest_in_t1() -> None:
    labels = torch.zeros(20, 20, 20, dtype=torch.long)
    labels[2:18, 2:18, 2:18] = 1
    labels[6:12, 6:12, 6:12] = 3
    differences = []
    for seed in range(6):
        picture = synthesise(labels, brain.APPEARANCE, np.random.default_rng(seed))
        differences.append(float(picture[labels == 1].mean() - picture[labels == 3].mean()))
    assert min(differences) > 0
    assert np.std(differences) > 0.05


VIEW = View(patch=(16, 12, 8), rotate_deg=10, scale=0.1, elastic=1.0)


def ready(image: bool = True) -> Ready:
    labels = body().to(torch.uint8)
    return Ready("case", labels[None].half() if image else None, labels)


def test_views_are_patches_that_depend_on_the_seed_only() -> None:
    one, two = (draw(ready(), VIEW, np.random.default_rng(5), {}, None) for _ in range(2))
    assert one[0].shape == (1, 16, 12, 8)
    assert one[1].shape == (16, 12, 8)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_image_and_labels_move_together() -> None:
    """The image is the label map itself, so a view's image must be its labels."""
    view = View(patch=(16, 12, 8), rotate_deg=0, scale=0, elastic=0, noise=0, gamma=0, bias=0, coarse=0)
    agree = []
    for seed in range(4):
        image, labels = draw(ready(), view, np.random.default_rng(seed), {}, None)
        agree.append(float((image[0] - labels).abs().lt(0.51).float().mean()))
    assert min(agree) > 0.7, "borders are interpolated"


def test_neighbours_move_with_their_slice_come_in_either_order_and_are_missing_at_times() -> None:
    """Three channels of one label map in other greys: each view holds one in the middle and what belongs beside it."""
    view = View(patch=(16, 12), rotate_deg=10, elastic=1.0, noise=0, gamma=0, bias=0, coarse=0)
    labels = body()[:, :, 8].to(torch.uint8)
    shown = torch.stack([2 * labels, labels, 3 * labels]).half()
    seen = set()
    for seed in range(40):
        image, _moved = draw(Ready("case", shown, labels), view, np.random.default_rng(seed), {}, None)
        assert image.shape == (3, 16, 12)
        middle = image[1]
        ratios = tuple(round(float(one.sum() / middle.sum()), 2) for one in image)
        assert torch.allclose(image, torch.tensor(ratios)[:, None, None] * middle, atol=1e-2)
        seen.add(ratios)
    assert seen == {(2.0, 1.0, 3.0), (3.0, 1.0, 2.0), (1.0, 1.0, 1.0)}


def test_mirroring_swaps_the_names_of_sides() -> None:
    view = View(
        patch=(24, 20, 16), rotate_deg=0, scale=0, elastic=0, shift=0, foreground=0, mirror=True, noise=0, gamma=0,
        bias=0, coarse=0,
    )  # fmt: skip
    seen = set()
    for seed in range(12):
        _, labels = draw(ready(), view, np.random.default_rng(seed), {16: 2, 2: 16}, None)
        left = set(labels[:12].unique().tolist()) & {2, 16}
        seen.add(tuple(left))
        assert left == {16}, "after mirroring, the structure on the low side has the low side's name"
    assert len(seen) == 1


def test_labels_without_image_or_appearance_are_refused() -> None:
    with pytest.raises(ValueError, match="no image"):
        draw(ready(image=False), VIEW, np.random.default_rng(0), {}, None)


@pytest.mark.parametrize("artefact", [_ghosted, _streaked])
def test_artefacts_change_a_picture_but_keep_its_place(artefact) -> None:  # type: ignore[no-untyped-def]
    """The changed picture still agrees best with the unshifted one."""
    rng = np.random.default_rng(3)
    picture = torch.from_numpy(rng.normal(size=(23, 19, 5)).astype(np.float32)) * 400
    made = artefact(picture, np.random.default_rng(1))
    assert made.shape == picture.shape
    assert not torch.equal(made, picture)

    def agreement(other: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([made.flatten(), other.flatten()]))[0, 1])

    assert agreement(picture) > 0.8
    assert agreement(picture) > agreement(picture.roll(1, 0)) + 0.5


def test_a_body_is_built_around_organs() -> None:
    """A ball-like organ of 20 mm: skin 38 mm from it, a spine where told, shells under the skin, organ untouched."""
    grid = Grid((15, 13, 7), np.diag([3.0, 3.0, 5.0, 1.0]))
    x, y, _ = np.indices(grid.shape)
    organs = (16 * ((x - 7) ** 2 + (y - 6) ** 2 < 4**2)).astype(np.uint8)
    made, whole = with_body(organs, grid, (21.0, -10.0))
    at = np.argwhere(made == 16)
    assert np.allclose((whole.affine @ [*at.mean(axis=0), 1])[:3], (21, 18, 15))
    assert len(at) == (organs > 0).sum()
    across = np.flatnonzero(made[:, :, 3].any(axis=1))
    assert 3.0 * (across[-1] - across[0] + 1) == pytest.approx(7 * 3 + 2 * WALL_MM, abs=6)
    spine = np.argwhere(made == SPINE)
    assert np.allclose((whole.affine @ [*spine.mean(axis=0), 1])[:2], (21, -10), atol=3)
    assert set(np.unique(made)) >= {0, 16, SPINE, SHELL}


def test_an_organs_inside_has_its_own_label_and_the_wall_is_one_voxel_thick() -> None:
    labels = np.zeros((11, 13, 17), np.uint8)
    labels[2:9, 3:10, 4:13] = 29
    made = with_cores(labels, (29,), (3.0, 3.0, 3.0))
    inside = np.zeros_like(labels, dtype=bool)
    inside[3:8, 4:9, 5:12] = True
    assert np.array_equal(made == core_of(29), inside)
    assert np.array_equal(without_cores(made, (29,)), labels)


def test_a_reference_body_keeps_its_organs_whole_and_mirrors_their_insides() -> None:
    assert hra_phantom.STRUCTURES["urinary bladder"] == (29, core_of(29))
    assert hra_phantom.STRUCTURES["kidneys"] == (25, 26, core_of(25), core_of(26))
    assert hra_phantom.STRUCTURES["liver"] == (16,)
    assert hra_phantom.MIRRORED[core_of(2)] == core_of(3)
    look = hra_phantom.APPEARANCE
    assert look.tissue_of[core_of(2)] == "marrow"
    assert look.tissues["marrow"].mean < look.tissues["bone"].mean
