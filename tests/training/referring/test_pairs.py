"""Sentences are true of one thing only; both referring networks learn from them; runs read and refuse."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.blocks.square import apply_element
from ostensor.models.language.flans.image import BODY_MEAN, BODY_SPREAD
from ostensor.models.language.flans.network import MINI, Flans
from ostensor.models.language.lsms.network import Lsms, LsmsConfig
from ostensor.models.load import load_predictor
from ostensor.models.text.sentences import States
from ostensor.training.configuration import bundled
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.referring.drawing import draw_opposed, draw_referral, draw_referrals
from ostensor.training.referring.fit import load_trunk, trained
from ostensor.training.referring.objective import (
    MIXED,
    FlansObjective,
    LsmsObjective,
    Vocabulary,
    forgotten,
    rival_loss,
)
from ostensor.training.referring.pairs import (
    HOSTS,
    LESION,
    ORGANS,
    every_sentence,
    first_by,
    referrals,
    things_of,
    words,
)
from ostensor.training.referring.stream import with_lesions
from ostensor.training.runs import read_run

SHAPE = (97, 89)


def _labels() -> np.ndarray:
    """An abdomen of boxes: large liver with three lesions, two kidneys of unlike size, a spleen, an aorta."""
    labels = np.zeros(SHAPE, dtype=np.int64)
    labels[10:60, 5:40] = 6
    labels[30:55, 60:80] = 1
    labels[64:84, 12:26] = 2
    labels[66:80, 58:68] = 3
    labels[62:70, 42:48] = 8
    labels[14:22, 10:20] = LESION  # dark, largest, on top
    labels[30:34, 25:31] = LESION + 1  # dark
    labels[50:54, 8:12] = LESION + 10  # bright, lowest
    return labels


def _masks(labels: np.ndarray, **options: bool) -> Mapping[str, np.ndarray]:
    return {key: mask for described in referrals(labels, "train", **options).values() for key, _t, mask in described}


def test_an_organ_holds_its_lesions() -> None:
    things = {(thing.name, thing.density, thing.area) for thing in things_of(_labels())}
    assert ("liver", "", 50 * 35) in things
    assert ("lesion", "dark", 80) in things
    assert ("lesion", "bright", 16) in things


def test_ranks_and_positions_are_those_of_the_boxes() -> None:
    """Read off the drawing above, not computed."""
    labels, found = _labels(), _masks(_labels())
    expected = {
        "position:left": 6, "position:right": 1, "position:top": 6, "position:bottom": 2, "size:largest": 6,
        "size:smallest": 8, "kidney:largest": 2, "kidney:smallest": 3, "kidney:left": 2, "kidney:right": 3,
        "lesion:::largest": LESION, "lesion:dark::smallest": LESION + 1, "lesion:::bottom": LESION + 10,
        "lesion:bright:liver:": LESION + 10, "lesion:dark:liver:top": LESION,
    }  # fmt: skip
    for key, value in expected.items():
        truth = (labels == value) | ((labels >= LESION) if value == 6 else False)
        assert np.array_equal(found[key], truth), key
    assert "lesion:::" not in found, "three lesions fit, so 'the lesion' is ambiguous"
    assert not found["absent:stomach"].any()
    assert not found["absent:lesion::spleen"].any()
    assert "absent:liver" not in found


def test_near_ties_are_not_spoken_of() -> None:
    labels = np.zeros(SHAPE, dtype=np.int64)
    labels[10:30, 10:30] = 2
    labels[12:32, 50:69] = 3
    kidneys = things_of(labels)
    assert first_by("largest", kidneys) is None, "400 and 380 pixels"
    assert first_by("top", kidneys) is None, "two pixels apart"
    left = first_by("left", kidneys)
    assert left is not None
    assert left.name == "right kidney"
    assert first_by("largest", kidneys[:1]) is None, "a rank needs a rival"


def test_mirroring_swaps_left_and_right_and_turning_cycles_all_four_but_sizes_stay() -> None:
    """Spec test 9: the key that held before holds after, under the mapping of a mirror and a quarter turn."""
    labels = _labels()
    mirrored, turned = labels[:, ::-1], np.rot90(labels)  # left goes to the bottom, top to the left
    before = _masks(labels)
    for after, mapping, move in (
        (_masks(mirrored, anatomical=False), {"left": "right", "right": "left", "top": "top", "bottom": "bottom"}, lambda m: m[:, ::-1]),
        (_masks(turned, anatomical=False), {"left": "bottom", "bottom": "right", "right": "top", "top": "left"}, np.rot90),
    ):  # fmt: skip
        for old, new in mapping.items():
            for kind in ("position:", "kidney:", "lesion:::"):
                key, moved = kind + old, kind + new
                assert (key in before) == (moved in after)
                if key in before:
                    assert np.array_equal(move(before[key]), after[moved]), (key, moved)
        for key in ("size:largest", "size:smallest", "kidney:largest", "lesion:::smallest"):
            assert np.array_equal(move(before[key]), after[key])
        assert not [key for key in after if key.startswith("name:")], "names have sides"


def test_sentences_without_anatomy_name_no_organ_and_families_keep_their_words() -> None:
    """Spec test 8, on every sentence there is."""
    organs = re.compile(r"liver|spleen|kidney|aorta|stomach|pancreas|gall|vein|cava|gullet|adrenal|ventricle|heart")
    for part in ("train", "test"):
        told = words(part)  # type: ignore[arg-type]
        for table in (told.positions, told.sizes):
            assert not [p for phrases in table.values() for p in phrases if organs.search(p)]
        assert "{" not in "".join(every_sentence(part))  # type: ignore[arg-type]
    assert not set(every_sentence("train")) & set(every_sentence("test")), "new wordings are new"


def test_every_drawn_sentence_is_in_the_vocabulary_and_drawing_repeats() -> None:
    known = set(every_sentence("train"))
    fitting = referrals(_labels(), "train")
    first = [draw_referral(fitting, MIXED, np.random.default_rng(n)) for n in range(300)]
    again = [draw_referral(fitting, MIXED, np.random.default_rng(n)) for n in range(300)]
    assert [one.text for one in first] == [one.text for one in again]
    assert {one.text for one in first} <= known
    assert {one.family for one in first} == set(MIXED)
    for one in first:
        assert one.mask.any() == (one.family not in ("absent", "nothing"))


def test_drawn_lesions_lie_inside_their_host_and_are_dark_or_bright() -> None:
    labels = np.where(_labels() >= LESION, 6, _labels()).astype(np.uint8)
    picture = np.where(labels > 0, 0.55, 0.4).astype(np.float32)
    seen = set()
    for seed in range(12):
        changed, values = with_lesions(picture, labels, np.random.default_rng(seed))
        for value in np.unique(values[values >= LESION]):
            host, rest = divmod(int(value) - LESION, 20)
            blob = values == value
            core = ndimage.binary_erosion(blob)
            assert (labels[blob] == HOSTS[host]).all()
            assert (np.median(changed[core]) > 0.55) == (rest >= 10)
            seen.add((host, rest >= 10))
        assert np.array_equal(values < LESION, (values == labels))
    assert len(seen) >= 4
    same, none = with_lesions(picture, np.zeros_like(labels), np.random.default_rng(0))
    assert np.array_equal(same, picture)
    assert not none.any()


@pytest.fixture
def vocabulary() -> Vocabulary:
    """Every sentence with random states; no language model is needed to teach."""
    sentences = every_sentence("train")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((len(sentences), 4, 384)).astype(np.float32)
    return Vocabulary(sentences, States(values, np.ones(values.shape[:2], bool), np.zeros(len(sentences), bool)))


def _batch(size: int = 128) -> Batch:
    labels = np.zeros((2, size, size), dtype=np.int64)
    labels[:, 12 : 12 + SHAPE[0], 20 : 20 + SHAPE[1]] = _labels()
    picture = torch.from_numpy(labels > 0).float()[:, None]
    return Batch(picture, torch.from_numpy(labels))


def test_flans_is_asked_under_symmetries_and_its_masks_move_along(vocabulary: Vocabulary) -> None:
    """Asked by name in a moved picture, the mask is the moved one; by place, it is that of the picture as seen."""
    objective = FlansObjective(vocabulary)
    labels = _labels()
    for seed in range(8):
        for one in objective._referrals(labels, True, 6, np.random.default_rng(seed)):
            expected = next(
                (m for d in referrals(labels, "train").values() for key, _t, m in d if key == one.key), None
            )
            assert expected is not None
            assert np.array_equal(one.mask, apply_element(6, torch.from_numpy(expected)).numpy())
        for one in objective._referrals(labels, False, 6, np.random.default_rng(seed)):
            assert one.family != "anatomy"
            if one.key == "position:left":
                columns = np.flatnonzero(one.mask.any(0))
                moved = apply_element(6, torch.from_numpy(labels)).numpy()
                assert columns[0] == np.flatnonzero(np.isin(moved, list(ORGANS)).any(0))[0]


def test_both_sides_of_a_pair_are_asked_in_one_picture(vocabulary: Vocabulary) -> None:
    fitting = referrals(_labels(), "train")
    orders = set()
    for seed in range(12):
        pair = draw_opposed(fitting, np.random.default_rng(seed))
        assert {one.key for one in pair} == {"name:left kidney", "name:right kidney"}
        assert not (pair[0].mask & pair[1].mask).any()
        orders.add(pair[0].key)
        drawn = draw_referrals(fitting, MIXED, np.random.default_rng(seed), 4, pair)
        assert [*drawn[:2]] == pair
        assert len(drawn) == 4
    assert len(orders) == 2, "either side comes first"
    alone = np.where(_labels() == 2, 0, _labels())
    assert draw_opposed(referrals(alone, "train"), np.random.default_rng(0)) == []
    objective = FlansObjective(vocabulary, opposed=1.0)
    asked = objective._referrals(_labels(), True, 0, np.random.default_rng(3))
    assert {one.key for one in asked[:2]} == {"name:left kidney", "name:right kidney"}


def test_marking_what_another_sentence_means_costs_and_marking_nobodys_pixels_does_not() -> None:
    own, other = torch.zeros(6, 5), torch.zeros(6, 5)
    own[:2], other[4:] = 1, 1
    targets = torch.stack([own, other])[None]
    right = (targets * 2 - 1) * 9
    both = ((own + other) * 2 - 1).expand(1, 2, 6, 5) * 9
    assert rival_loss(right, targets) < 0.01
    assert rival_loss(both, targets) == pytest.approx(9 * 10 / 11, rel=0.01), "ten pixels, one added"
    elsewhere = right.clone()
    elsewhere[:, :, 2:4] = 9
    assert torch.equal(rival_loss(elsewhere, targets), rival_loss(right, targets))
    assert torch.isfinite(rival_loss(both, torch.zeros_like(targets)))


def test_both_objectives_give_finite_losses_and_reach_their_networks(vocabulary: Vocabulary) -> None:
    torch.manual_seed(0)
    flans = Flans(MINI)
    lsms = Lsms(LsmsConfig((8, 12, 16, 20), (1, 1, 1, 1), (2, 2, 2, 2), text=384, squeeze=32, rank=4, embed=8))
    for net, objective, size, names in (
        (flans, FlansObjective(vocabulary), MINI.encoder.size, {"dice", "cross_entropy", "prior"}),
        (
            flans,
            FlansObjective(vocabulary, rivals=1.0),
            MINI.encoder.size,
            {"dice", "cross_entropy", "prior", "rivals"},
        ),
        (lsms, LsmsObjective(vocabulary), 128, {"dice", "cross_entropy", "contrast"}),
    ):
        terms = objective.terms(net, _batch(size), np.random.default_rng(1))  # type: ignore[attr-defined]
        assert set(terms) == names
        torch.stack(list(terms.values())).sum().backward()
        silent = [name for name, value in net.named_parameters() if value.grad is None and "prompt_encoder" not in name]
        assert not [name for name in silent if "mask_decoder" not in name], silent
    plain = LsmsObjective(vocabulary, contrast=0).terms(lsms, _batch(), np.random.default_rng(1))
    assert set(plain) == {"dice", "cross_entropy"}, "weight 0 is plain segmentation"
    with pytest.raises(TypeError, match="trains a Flans, got Lsms"):
        FlansObjective(vocabulary).terms(lsms, _batch(), np.random.default_rng(1))


def test_the_trunk_begins_with_what_a_sat_mini_was_taught_and_sees_pictures_as_it_did() -> None:
    """The maps of a displayed picture are those of the same slice along the patient's axes, turned."""
    torch.manual_seed(0)
    net = Flans(MINI).eval()
    load_trunk(net, "sat-mini-abdomen-2d")
    taught = load_predictor("sat-mini-abdomen-2d", backend="torch")._net  # type: ignore[attr-defined]
    array = torch.rand(1, 1, 160, 160)  # x to the right, y to the front
    picture = array.transpose(2, 3).flip(2, 3).expand(-1, 3, -1, -1)  # rows to the back, columns to the left
    with torch.no_grad():
        tokens, (middle, fine) = net.image_encoder.patch_embed(picture)
        maps = list(taught.decode((array - BODY_MEAN) / BODY_SPREAD))
    for ours, theirs in zip((tokens, middle, fine), maps[-4:-1], strict=True):
        torch.testing.assert_close(ours, theirs.transpose(2, 3).flip(2, 3), atol=1e-3, rtol=1e-3)


def test_a_trunk_is_asked_for_where_there_is_one() -> None:
    with pytest.raises(BadCall, match="no trunk"):
        load_trunk(Lsms(LsmsConfig((8, 12, 16, 20), (1, 1, 1, 1), (2, 2, 2, 2))), "sat-mini-abdomen-2d")
    with pytest.raises(BadCall, match="no U-Net of the trunk's shape"):
        load_trunk(Flans(MINI), "sat-mini-cardiac")
    with pytest.raises(Unavailable, match="'sat-mini-moon'"):
        load_trunk(Flans(MINI), "sat-mini-moon")


def test_forgotten_tokens_are_zero_and_the_rest_is_as_it_was() -> None:
    states = torch.ones(50, 20, 3)
    kept = forgotten(states, 0.3, np.random.default_rng(0)).amax(2)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert 0.65 < kept.mean() < 0.75
    assert forgotten(states, 0.0, np.random.default_rng(0)) is states


def test_synonyms_are_taught_unless_they_are_kept_for_evaluation_or_mean_one_of_two() -> None:
    taught, kept = words("train").names, words("test").names
    assert "hepatic tissue" in taught["liver"], "from the structure table alone"
    for name, phrases in kept.items():
        assert not {phrase.casefold() for phrase in phrases} & {phrase.casefold() for phrase in taught[name]}, name
    assert "kidney" not in taught["kidneys"]


def test_pictures_asked_by_name_are_turned_upright_by_the_truth(vocabulary: Vocabulary) -> None:
    """What the encoder gets of a picture asked by name is upright, whatever was applied; by place it stays as it is."""
    torch.manual_seed(0)
    net, objective = Flans(MINI), FlansObjective(vocabulary, moved=1.0)
    batch, seen = _batch(MINI.encoder.size), []

    def look(module: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        seen.append(given[0][:, :1])

    net.image_encoder.register_forward_pre_hook(look)
    for seed in range(12):
        objective.terms(net, batch, np.random.default_rng(seed))
    upright = [
        bool(torch.equal(one, picture)) for found in seen for one, picture in zip(found, batch.images, strict=True)
    ]
    turned = [
        any(torch.equal(one, apply_element(g, picture)) for g in range(1, 8))
        for found in seen
        for one, picture in zip(found, batch.images, strict=True)
    ]
    assert all(a != b for a, b in zip(upright, turned, strict=True)), "every picture is a turn of its own"
    assert 0.4 < np.mean(upright) < 0.85, "55 % by name, and one of eight of the rest"


def test_the_trunks_weights_stay_in_the_first_steps(vocabulary: Vocabulary) -> None:
    objective, net = FlansObjective(vocabulary, frozen=0.5), Flans(MINI)
    trunk = list(net.image_encoder.patch_embed.parameters())
    for step, learns in ((4, False), (5, True)):
        net.requires_grad_(True).zero_grad()
        state = State(step, 10, np.random.default_rng(0))
        terms = objective.losses("main", {MODEL: net}, {LABELLED: _batch(MINI.encoder.size)}, state)
        torch.stack(list(terms.values())).sum().backward()
        assert all((value.grad is not None) == learns for value in trunk)
        assert net.mask_decoder.mask_tokens.weight.grad is not None


@pytest.mark.parametrize("name", bundled("referring"))
def test_bundled_runs_read_and_name_their_networks(name: str) -> None:
    run = read_run(name)[1]
    assert run.name == f"{name}-mini"
    assert isinstance(run.untrained(), Flans if name == "flans" else Lsms)


def test_wrong_runs_are_refused(tmp_path: Path) -> None:
    good = bundled()["flans"].read_text(encoding="utf-8")
    path = tmp_path / "c.toml"
    for old, new, fact in (
        ("btcv =", "narnia =", "Unknown data sets.*narnia"),
        ('network = "flans"', 'network = "bert"', "Unknown network 'bert'"),
        ("batch = 6", "batch = 6\nmood = 3", "'mood' of 'c' is not known"),
        ("size = 160", "size = 128", "160 pixels, not 128"),
    ):
        path.write_text(good.replace(old, new), encoding="utf-8")
        with pytest.raises(BadCall, match=fact):
            read_run(path)
    with pytest.raises(Unavailable, match="ostensor fit flans"):
        trained(read_run("flans")[1], tmp_path)
