"""The figures of `ostensor eval referring` are those of answers we know, and a run becomes bundled weights."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.interface import Orientation
from ostensor.training.folders import Folders
from ostensor.training.referring import export as referring_export
from ostensor.training.referring import report as referring_report
from ostensor.training.referring.cases import Subject, stacks, subjects
from ostensor.training.referring.evaluate import AllOverlaps, measure_sides, measure_slices
from ostensor.training.referring.report import Report
from ostensor.training.runs import read_run

Mask = np.ndarray


def _subject() -> Subject:
    """A picture of boxes: two kidneys, a liver and a spleen of quite different sizes."""
    labels = np.zeros((97, 89), dtype=np.uint8)
    labels[5:50, 5:45] = 6
    labels[20:40, 60:80] = 1
    labels[60:84, 12:26] = 2
    labels[64:74, 58:68] = 3
    array = labels.T[:, :, None].astype(np.float32)
    volume = Volume(array, Grid(array.shape, np.diag([-1.0, -1.0, 1.0, 1.0]), False), "ct")
    return Subject("btcv", "p", "p:1", volume, labels, 1.0)


class Known:
    """Answers by looking the sentence up in the truth, changed on the way out."""

    name = "known"
    weights = "none"

    def __init__(self, subject: Subject, change: Callable[[str, Mask], Mask] = lambda text, mask: mask) -> None:
        said = [one for part in ("train", "test") for one in subject.refer(part, 7)]  # type: ignore[arg-type]
        self.truth, self.change = {one.text: one.mask for one in said}, change

    def takes(self, volume: Volume) -> bool:
        return volume.modality == "ct"

    def point(self, volume: Volume, sentences: Sequence[str], orientation: Orientation = "header") -> list[Mask]:
        del volume, orientation
        return [self.change(text, self.truth[text]) for text in sentences]


def test_a_perfect_engine_gets_full_marks_and_not_listening_costs() -> None:
    subject = _subject()
    found = measure_slices(Known(subject), [subject])
    for wording in ("taught", "new"):
        for family in ("anatomy", "position", "size", "attribute", "absent: empty", "nothing: empty"):
            assert found["btcv", family, wording].mean == 1, family
        assert found["btcv", "other sentence", wording].mean < 0.5
        assert 0.1 < found["btcv", "best single mask", wording].mean < 0.7


def test_an_engine_that_always_marks_something_fails_where_nothing_is() -> None:
    subject = _subject()

    def full(_text: str, mask: Mask) -> Mask:
        return np.ones_like(mask)

    found = measure_slices(Known(subject, full), [subject])
    assert found["btcv", "absent: empty", "taught"].mean == 0
    assert found["btcv", "found at all", "taught"].mean == 1


def test_swapped_sides_are_counted_as_wrong() -> None:
    """Whatever is asked, the other kidney is answered."""
    subject = _subject()
    left, right = subject.labels == 3, subject.labels == 2

    def swapped(_text: str, mask: Mask) -> Mask:
        return right if np.array_equal(mask, left) else left if np.array_equal(mask, right) else mask

    assert measure_sides(Known(subject), [subject])["kidney",].mean == 1
    assert measure_sides(Known(subject, swapped), [subject])["kidney",].mean == 0


def test_sentences_are_drawn_the_same_each_time() -> None:
    subject = _subject()
    first, again = subject.refer("test", 7), subject.refer("test", 7)
    assert [one.text for one in first] == [one.text for one in again]
    assert [one.text for one in first] != [one.text for one in subject.refer("test", 8)]


@pytest.mark.data
def test_real_subjects_are_held_out_and_upright(shared_data: Path) -> None:
    """In BTCV the liver lies on the picture's left of the spleen, and no training patient is among them."""
    from ostensor.training.data import btcv

    seen = set()
    trained = {case.patient for case in btcv.DATASET.cases(shared_data, "train")}
    for number, one in enumerate(subjects(shared_data, seed=7)):
        seen.add(one.source)
        assert one.labels.shape == one.volume.grid.shape[1::-1]
        if one.source.startswith("btcv"):
            assert one.patient not in trained
        if one.source != "acdc" and {1, 6} <= set(np.unique(one.labels)):
            columns = [np.nonzero(one.labels == value)[1].mean() for value in (6, 1)]
            assert columns[0] < columns[1]
        if one.source == "btcv with drawn lesions" and number > 30:
            break
    assert {"btcv", "btcv with drawn lesions"} <= seen
    heart = next(stacks(shared_data))
    assert set(heart.masks) == {"right ventricle", "myocardium", "left ventricle"}


def test_a_run_becomes_weights_that_load_and_a_card_that_tells(tmp_path: Path) -> None:
    run = read_run("lsms")[1]
    torch.manual_seed(0)
    net = run.untrained()
    folder = tmp_path / "runs" / run.name
    folder.mkdir(parents=True)
    torch.save({"average": net.state_dict(), "step": 12}, folder / "checkpoint.pt")
    weights = referring_export.export_weights(run, Folders(tmp_path, tmp_path / "runs", tmp_path, tmp_path))
    assert weights.stat().st_size < 6e6
    facts = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    assert (facts["steps"], facts["purpose"], facts["claimed"]) == (12, "research-only", [])
    assert "CC BY-NC-SA" in facts["licence"]
    try:
        assert catalogue.card("lsms-mini", folder=tmp_path).weights == "bundled"
        subject = _subject()
        overlaps: AllOverlaps = {}
        slices = {"lsms-mini": measure_slices(Known(subject), [subject], overlaps=overlaps)}
        report = Report(
            slices, {"lsms-mini": measure_sides(Known(subject), [subject])}, {}, {}, {"lsms-mini": overlaps}
        )
        referring_export.write_cards([run], report, tmp_path, thin=3)
        text = (tmp_path / "CARD.md").read_text(encoding="utf-8")
        assert "## lsms-mini" in text
        assert "| btcv | 1.000 (" in text
        facts = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        assert facts["referring"]["command"] == "ostensor eval referring --every 3"
        docs = tmp_path / "referring.md"
        docs.write_text(f"# Mine\n{referring_export.MARK}old", encoding="utf-8")
        referring_export.write_docs(report, docs)
        written = docs.read_text(encoding="utf-8")
        assert written.startswith("# Mine\n")
        assert "old" not in written
        assert "| kidney | 1.000 (2) |" in written
        assert "| btcv | taught | lsms-mini | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | " in written
    finally:
        catalogue.forget_cards()


def test_what_was_measured_is_kept_for_its_weights_words_and_seed(tmp_path: Path) -> None:
    subject = _subject()
    overlaps: AllOverlaps = {}
    slices = measure_slices(Known(subject), [subject], overlaps=overlaps)
    found = {"slices": slices, "sides": measure_sides(Known(subject), [subject]), "overlaps": overlaps}
    path = tmp_path / "deep" / "known.json"
    key = referring_report._key(Known(subject), 7, 1)
    assert referring_report._read(path, key) is None
    referring_report._write(path, key, found)
    assert referring_report._read(path, key) == found
    other = Known(subject)
    other.weights = "others"
    for changed in (referring_report._key(other, 7, 1), referring_report._key(Known(subject), 8, 1)):
        assert referring_report._read(path, changed) is None, "of other weights, or another seed"
    assert referring_report._read(path, referring_report._key(Known(subject), 7, 6)) is None


def test_slices_measured_one_by_one_give_the_same_sums() -> None:
    subject = _subject()
    engine = Known(subject, lambda text, mask: mask & (np.arange(mask.shape[1]) % (2 + len(text) % 3) > 0))
    both = measure_slices(engine, [subject, subject])
    joined = referring_report._joined([measure_slices(engine, [subject]) for _ in range(2)])
    assert joined == both
    assert 0 < (both["btcv", "anatomy", "taught"].mean or 0) < 1


def test_without_any_network_the_way_to_one_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    where = dict.fromkeys(("flans-mini", "lsms-mini"), tmp_path)
    with pytest.raises(Unavailable, match="ostensor fit flans"):
        referring_export.measure(where, Folders(tmp_path, tmp_path, tmp_path, tmp_path), tell=told.append)
    assert len(told) == 2
    catalogue.forget_cards()
