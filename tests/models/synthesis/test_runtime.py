"""Jobs on the bundled networks: grids, seeds, labels, cancelling, and structures nobody taught them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Failed
from ostensor.imaging.volume import Grid
from ostensor.models import synthesizers
from ostensor.models.interface import Cancelled
from ostensor.models.synthesis.jobs import SynthesisJob, memory_mb
from ostensor.models.synthesis.runtime import load_task, synthesize

SHAPE = (37, 41, 3)
LPS = Grid(SHAPE, np.array([[-1, 0, 0, 20.0], [0, -1, 0, 30.0], [0, 0, 1, -5.0], [0, 0, 0, 1]]))
BRAIN = "paint-hippocampus"
# Contrast agent fills the aorta, bile holds none; the two parts of the hippocampus are alike, so they are not asked.
BRIGHTER = {"paint-abdomen": ("aorta", "gallbladder")}


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[9:18, 12:20, :] = 1
    labels[20:30, 22:31, :] = 2
    return labels


@pytest.fixture(scope="module")
def loaded() -> dict[str, object]:
    return {}


def _job(
    folder: Path, names: tuple[str, str] = ("anterior hippocampus", "posterior hippocampus"), **changes: object
) -> SynthesisJob:
    path = folder / "labels.npy"
    np.save(path, _labels())
    facts: dict[str, object] = {
        "task": "synthesize", "engine": BRAIN, "modality": "mr", "grid": LPS, "seed": 1, "steps": 2,
        "names": dict(enumerate(names, 1)), "labels_path": str(path), "threads": 1,
    }  # fmt: skip
    return SynthesisJob(**{**facts, **changes})  # type: ignore[arg-type]  # a table of arguments


def _synthesize(job: SynthesisJob, loaded: dict[str, object]) -> np.ndarray:
    return synthesize(
        job,
        synthesizers.synthesis_network(job.engine),
        progress=lambda share, said: None,
        cancelled=lambda: False,
        loaded=loaded,
    ).array  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_voxels_and_another_other_ones(tmp_path: Path, loaded: dict[str, object]) -> None:
    one, again = _synthesize(_job(tmp_path), loaded), _synthesize(_job(tmp_path), loaded)
    assert one.shape == SHAPE
    assert np.array_equal(one, again)
    assert not np.array_equal(one, _synthesize(_job(tmp_path, seed=2), loaded))


def test_the_axis_order_of_the_grid_does_not_matter(tmp_path: Path, loaded: dict[str, object]) -> None:
    """The same anatomy stored the other way round gives the same image, stored the other way round."""
    upright = _synthesize(_job(tmp_path), loaded)
    ras = Grid(SHAPE, np.array([[1, 0, 0, -16.0], [0, 1, 0, -10.0], [0, 0, 1, -5.0], [0, 0, 0, 1]]))
    path = tmp_path / "turned.npy"
    np.save(path, np.ascontiguousarray(_labels()[::-1, ::-1]))
    turned = _synthesize(_job(tmp_path, grid=ras, labels_path=str(path)), loaded)
    assert np.abs(turned[::-1, ::-1].astype(int) - upright).max() <= 1


def test_an_untaught_structure_is_painted_by_its_prior(tmp_path: Path, loaded: dict[str, object]) -> None:
    """Fat is 900 in T1 by the signal equation; the network knows no fat."""
    job = _job(tmp_path, names=("anterior hippocampus", "subcutaneous fat"))
    synthesized = synthesize(
        job,
        synthesizers.synthesis_network(job.engine),
        progress=lambda share, said: None,
        cancelled=lambda: False,
        loaded=loaded,
    )  # type: ignore[arg-type]
    assert synthesized.by_prior == ("subcutaneous fat",)
    assert np.median(synthesized.array[23:27, 25:28, 1]) == pytest.approx(900, abs=60)


def test_inpainting_keeps_what_is_labelled_on_the_jobs_own_grid(tmp_path: Path, loaded: dict[str, object]) -> None:
    """Bit by bit, although the network works on a turned grid; with and without the opposite."""
    source = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    path = tmp_path / "source.npy"
    np.save(path, source)
    for keep_labelled in (True, False):
        job = _job(tmp_path, task="inpaint", source_path=str(path), keep_labelled=keep_labelled)
        made = _synthesize(job, loaded)
        kept = (_labels() > 0) == keep_labelled
        assert made.dtype == np.uint8
        assert np.array_equal(made[kept], source[kept])
        assert (made[~kept] != source[~kept]).mean() > 0.8


def test_translation_keeps_the_geometry(tmp_path: Path, loaded: dict[str, object]) -> None:
    """A CT block of soft tissue in air: the MR-like body lies where the block lies, in an unsymmetric place."""
    grid = Grid((41, 53, 2), np.diag([3.0, 3.0, 3.0, 1.0]))
    source = np.full(grid.shape, -1000, np.int16)
    source[5:25, 12:47, :] = 50
    path = tmp_path / "ct.npy"
    np.save(path, source)
    job = SynthesisJob(
        "translate", "translate-torso", "mr", grid, 0, 4, source_path=str(path), source_modality="ct", threads=1
    )
    made = _synthesize(job, loaded)
    assert made.shape == grid.shape
    body = source > -500
    said = made > (np.median(made[body]) + np.median(made[~body])) / 2  # a shifted or mirrored block would miss it
    assert 2 * (body & said).sum() / (body.sum() + said.sum()) > 0.9


def test_every_denoising_step_is_told_and_cancelling_stops_the_job(tmp_path: Path, loaded: dict[str, object]) -> None:
    told: list[str] = []

    def hear(share: float, said: str) -> None:
        assert 0 <= share <= 1
        told.append(said)

    job = _job(tmp_path, steps=5)
    synthesize(job, synthesizers.synthesis_network(job.engine), progress=hear, cancelled=lambda: False, loaded=loaded)  # type: ignore[arg-type]
    assert [said for said in told if "denoising step" in said] == [
        f"denoising step {n} of 5, slices 1 of 3" for n in (1, 2, 3, 4, 5)
    ]
    told.clear()
    with pytest.raises(Cancelled):
        synthesize(
            job,
            synthesizers.synthesis_network(job.engine),
            progress=hear,
            cancelled=lambda: len(told) >= 2,
            loaded=loaded,
        )  # type: ignore[arg-type]
    assert len(told) == 2


def test_wrong_tasks_and_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadCall, match="cannot translate"):
        _synthesize(_job(tmp_path, task="translate"), {})
    known = synthesizers.synthesis_network(BRAIN)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(known.path.read_bytes()[:-1] + b"x")
    damaged = synthesizers.SynthesisNetwork(**{**vars(known), "path": copy})
    with pytest.raises(Failed, match="damaged"):
        load_task(damaged)


def test_the_memory_estimate_grows_with_the_image() -> None:
    small, large = Grid((37, 41, 3), np.eye(4)), Grid((512, 512, 3), np.eye(4))
    assert memory_mb(BRAIN, small) < memory_mb(BRAIN, large)
    assert memory_mb("classical", large) < memory_mb(BRAIN, large)


def test_every_bundled_network_has_its_card() -> None:
    """A section, a licence, a purpose, and both figures the card promises: rivals and nearest training image."""
    card = (synthesizers.WEIGHTS_FOLDER / "SYNTHESIS.md").read_text(encoding="utf-8")
    assert synthesizers.synthesis_networks()
    for name, one in synthesizers.synthesis_networks().items():
        assert f"## {name}\n" in card
        assert one.purpose in ("any", "research-only")
        assert one.path.stat().st_size <= 8_000_000
        makers = {row["maker"] for row in one.facts["measured"]}
        assert {"diffusion", "prior fill", "real image"} <= makers
        assert all(row["nearest"] > 0 for row in one.facts["measured"])


@pytest.mark.parametrize("name", sorted(BRIGHTER))
def test_swapping_two_labels_swaps_their_values_in_what_a_bundled_network_paints(
    name: str, tmp_path: Path, loaded: dict[str, object]
) -> None:
    """Of two structures one is brighter in real images; whichever disc bears its name is the brighter one."""
    bright, dark = BRIGHTER[name]
    one = synthesizers.synthesis_network(name)
    shape = (96, 80, 3)
    grid = Grid(shape, np.diag([one.spacing_mm] * 3 + [1.0]))
    x, y = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint8)
    labels[(x - 34) ** 2 + (y - 38) ** 2 < 90] = 1
    labels[(x - 58) ** 2 + (y - 38) ** 2 < 90] = 2
    path = tmp_path / "discs.npy"
    np.save(path, labels)

    def first_minus_second(names: tuple[str, str]) -> float:
        job = _job(
            tmp_path, names, engine=name, modality=one.makes[0], grid=grid, labels_path=str(path), steps=8, seed=0
        )
        made = _synthesize(job, loaded).astype(float)
        return float(np.median(made[labels == 1]) - np.median(made[labels == 2]))

    assert first_minus_second((bright, dark)) > 0 > first_minus_second((dark, bright))


def test_a_network_whose_images_do_not_follow_their_masks_is_used_by_name_only() -> None:
    one = synthesizers.synthesis_network(BRAIN)
    assert one.follows_masks
    measured = [{**row, "dice": {k: v / 2 for k, v in row["dice"].items()}} if row["maker"] == "diffusion" else row
                for row in one.facts["measured"]]  # fmt: skip
    assert not replace(one, facts={**one.facts, "measured": measured}).follows_masks
    assert synthesizers.best_synthesis_network({"anterior hippocampus"}, "mr", purpose="research") == one
    assert not synthesizers.synthesis_network("paint-abdomen").follows_masks
    assert synthesizers.best_synthesis_network({"liver", "spleen"}, "ct", purpose="research") is None
