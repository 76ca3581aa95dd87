"""FLanS and LSMS on whole scans: slices, symmetries, refusals, and the worker that holds them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient, reorient_mask
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.models.catalogue import card
from ostensor.models.interface import Cancelled, Pointing, Referred, Refers
from ostensor.models.language.flans.network import MINI as FLANS
from ostensor.models.language.flans.network import Flans
from ostensor.models.language.flans.predictor import FlansPointer
from ostensor.models.language.lsms.network import MINI as LSMS
from ostensor.models.language.lsms.network import Lsms
from ostensor.models.language.lsms.predictor import LsmsPointer
from ostensor.models.language.referring.predictor import ReferringPredictor
from ostensor.models.language.referring.scan import ReferringScan
from ostensor.models.text.sentences import States


class Reader:
    """Token states without a language model: random, but always the same for a sentence."""

    def states(self, sentences: Sequence[str]) -> States:
        values = np.stack(
            [np.random.default_rng(list(text.encode())).standard_normal((24, 384)) for text in sentences]
        ).astype(np.float32)
        valid = np.ones(values.shape[:2], dtype=np.bool_)
        return States(values, valid, np.array([len(text.split()) > 20 for text in sentences]))


def _flans() -> ReferringPredictor:
    torch.manual_seed(0)
    net = Flans(FLANS)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return ReferringPredictor(FlansPointer(net), Reader(), card("flans-mini"))


def _lsms() -> ReferringPredictor:
    torch.manual_seed(0)
    net = Lsms(dataclasses.replace(LSMS, drop=0.0))
    for name, value in net.named_parameters():
        if ".scale" in name:
            torch.nn.init.constant_(value, 1.0)
    return ReferringPredictor(LsmsPointer(net, 128), Reader(), card("lsms-mini"))


MAKERS = {"flans": _flans, "lsms": _lsms}


def _volume(*, known: bool = True, slices: int = 3) -> Volume:
    """An off-centre body with two organs, RAS."""
    shape = (61, 53, slices)
    x, y, z = np.indices(shape)
    hu = np.full(shape, -1000.0)
    hu[((x - 31) / 24) ** 2 + ((y - 25) / 19) ** 2 < 1] = -60
    hu[((x - 20) / 7) ** 2 + ((y - 28) / 9) ** 2 < 1] = 110
    hu[((x - 42) / 4) ** 2 + ((y - 20 - z) / 3) ** 2 < 1] = 220
    hu += np.random.default_rng(0).normal(0, 5, shape)
    return Volume(hu.astype(np.float32), Grid(shape, np.diag([1.5, 1.5, 4.0, 1.0]), known), "ct")


def _encode(predictor: ReferringPredictor, volume: Volume) -> ReferringScan:
    return predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_slice_answers_alone_and_words_steer(maker) -> None:  # type: ignore[no-untyped-def]
    predictor = maker()
    assert isinstance(predictor, Refers)
    scan = _encode(predictor, _volume())
    one, other = predictor.refer(scan, ["the liver", "the spleen"], Pointing("slice", 1))
    assert isinstance(one, Referred)
    assert one.array.shape == (61, 53, 3)
    assert one.array[:, :, 1].any()
    assert not one.array[:, :, [0, 2]].any(), "only the slice that was asked about"
    assert abs(one.confidence - other.confidence) > 1e-4
    assert 0.5 < one.confidence <= one.peak <= 1
    again = predictor.refer(scan, ["the spleen"], Pointing("slice", 1))[0]
    # alone or together, at once or later; passes of one and of two sentences differ in rounding
    assert (again.confidence, again.peak) == pytest.approx((other.confidence, other.peak), abs=1e-3)
    assert (again.array != other.array).sum() <= 3


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_volume_is_its_slices_and_any_axis_order_gives_the_same_mask(maker) -> None:  # type: ignore[no-untyped-def]
    predictor = maker()
    volume = _volume()
    whole = predictor.refer(_encode(predictor, volume), ["the liver"], Pointing("volume"))[0]
    for index in range(3):
        one = predictor.refer(_encode(predictor, volume), ["the liver"], Pointing("slice", index))[0]
        # passes of one and of three pictures differ in rounding, which moves a few border pixels
        assert (one.array[:, :, index] != whole.array[:, :, index]).sum() <= 3
    turned = reorient(volume, "SLP")
    moved = predictor.refer(_encode(predictor, turned), ["the liver"], Pointing("volume"))[0]
    back = reorient_mask(Mask(moved.array, turned.grid), "RAS")
    assert (back.array != whole.array).sum() <= 3
    named = predictor.decode(_encode(predictor, volume), ["the liver"])[0]
    assert np.array_equal(named.array, whole.array)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_many_sentences_on_many_slices_keep_their_own_answers(maker) -> None:  # type: ignore[no-untyped-def]
    """Eleven sentences, named and by place, over three slices: more pairs than one pass takes, in two groups."""
    predictor = maker()
    texts = [f"the organ number {number}" for number in range(9)] + ["left-most organ", "largest organ"]
    scan = _encode(predictor, _volume())
    together = predictor.refer(scan, texts, Pointing("slice", 2, "unknown"))
    named = predictor.refer(scan, texts[:9], Pointing("volume", None, "unknown"))
    for number in (0, 7, 8, 10):
        alone = predictor.refer(_encode(predictor, _volume()), [texts[number]], Pointing("slice", 2, "unknown"))[0]
        found = together[number]
        assert (found.structure, found.element) == (texts[number], alone.element)
        assert found.confidence == pytest.approx(alone.confidence, abs=1e-3)
        assert (found.array != alone.array).sum() <= 3
        if number < 9:
            assert (named[number].array[:, :, 2] != alone.array[:, :, 2]).sum() <= 3
    assert len({round(one.confidence, 6) for one in together}) > 5, "they do differ"


def test_slices_are_counted_from_the_feet_or_the_head_as_the_file_does() -> None:
    predictor = _flans()
    volume = _volume()
    down = reorient(volume, "RAI")
    up = predictor.refer(_encode(predictor, volume), ["the liver"], Pointing("slice", 2))[0]
    same = predictor.refer(_encode(predictor, down), ["the liver"], Pointing("slice", 0))[0]
    assert np.array_equal(up.array[:, :, 2], same.array[:, :, 0])


def _picture(volume: Volume, element: int) -> Volume:
    """One slice as a picture without orientation, under an element of the eight."""
    from ostensor.models.blocks.square import apply_element

    shown = torch.from_numpy(np.asarray(volume.array[::-1, ::-1, 1].T).copy())
    moved = apply_element(element, shown).numpy().T[:, :, None]
    return Volume(np.ascontiguousarray(moved), Grid(moved.shape, np.diag([-1.0, -1.0, 1.0, 1.0]), False), "ct")


def test_the_canonicaliser_works_only_where_the_header_is_silent_and_words_name() -> None:
    """Spec §7 and §11: off for positions, off with a header, turns only when sides are known."""
    predictor = _flans()
    scan = _encode(predictor, _picture(_volume(), 5))
    elements = {}
    for text in ("the liver", "left-most organ", "largest organ"):
        for orientation in ("auto", "header", "picture", "unknown"):
            found = predictor.refer(scan, [text], Pointing("slice", None, orientation))[0]  # type: ignore[arg-type]
            elements[text, orientation] = found.element
    assert {elements[text, how] for text in ("left-most organ", "largest organ") for how in ("auto", "unknown")} == {
        None
    }
    assert elements["the liver", "header"] is None
    assert elements["the liver", "auto"] == elements["the liver", "unknown"] is not None
    assert elements["the liver", "picture"] in (0, 1, 2, 3)
    known = _encode(predictor, _volume())
    assert predictor.refer(known, ["the liver"], Pointing("slice", 1))[0].element is None
    magnetic = dataclasses.replace(_picture(_volume(), 0), modality="mr")
    assert predictor.refer(_encode(predictor, magnetic), ["the liver"], Pointing())[0].element is None


def test_masks_of_moved_pictures_are_moved_masks_and_the_turn_is_told() -> None:
    """The frame is cut by whole pixels, so a rim may differ: Dice above 0.97."""
    from ostensor.models.blocks.square import apply_element

    predictor = _flans()
    plain = predictor.refer(_encode(predictor, _picture(_volume(), 0)), ["the liver"], Pointing())[0]
    shown = torch.from_numpy(plain.array[:, :, 0].T.copy())
    numbered = torch.arange(9).reshape(3, 3)
    for h in range(1, 8):
        found = predictor.refer(_encode(predictor, _picture(_volume(), h)), ["the liver"], Pointing())[0]
        expected = apply_element(h, shown).numpy()
        mask = found.array[:, :, 0].T
        assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.97
        assert found.element is not None
        once = apply_element(plain.element or 0, numbered)
        assert torch.equal(apply_element(found.element, numbered), apply_element(h, once))
        assert bool([note for note in found.notes if "set upright" in note]) == (found.element != 0)


def test_sides_without_a_header_and_long_sentences_are_noted() -> None:
    predictor = _flans()
    scan = _encode(predictor, _picture(_volume(), 0))
    notes = predictor.refer(scan, ["the left kidney"], Pointing())[0].notes
    assert any("tells no orientation" in note for note in notes)
    assert not any("tells no orientation" in note for note in predictor.refer(scan, ["the liver"], Pointing())[0].notes)
    long = predictor.refer(scan, ["liver " * 30], Pointing())[0].notes
    assert any("first words" in note for note in long)


@pytest.mark.parametrize(
    ("sentence", "how", "fact"),
    [
        ("   ", Pointing("slice", 1), "empty"),
        ("liver " * 200, Pointing("slice", 1), "1200 characters"),
        ("the liver", Pointing("slice"), "3 slices and none was chosen"),
        ("the liver", Pointing("slice", 3), "no slice 3"),
        ("the largest organ", Pointing("volume"), "points by size"),
        ("the left-most organ", Pointing("volume"), "points by position"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_fact(sentence: str, how: Pointing, fact: str) -> None:
    predictor = _flans()
    scan = _encode(predictor, _volume())
    with pytest.raises(BadCall, match=fact):
        predictor.refer(scan, [sentence], how)


def test_features_are_kept_and_foreign_ones_refused() -> None:
    predictor = _flans()
    scan = _encode(predictor, _volume())
    before = scan.nbytes
    predictor.refer(scan, ["the liver"], Pointing("volume"))
    assert len(scan.kept) == 3
    assert scan.nbytes > before
    calls = []
    predictor._pointer._net.image_encoder.register_forward_hook(lambda *_args: calls.append(1))
    predictor.refer(scan, ["the spleen"], Pointing("volume"))
    assert not calls, "another sentence looks at no picture again"
    with pytest.raises(TypeError, match="another model"):
        predictor.refer(object(), ["the liver"], Pointing())  # type: ignore[arg-type]


def test_framing_stops_when_called_off() -> None:
    with pytest.raises(Cancelled):
        _flans().encode(_volume(), progress=lambda share: None, cancelled=lambda: True)
