"""Recorded runs: they replay without a model, fail loudly on a miss, and are held against live runs."""

import json
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from mcp import Client

from ostensor.imaging.errors import BadCall
from ostensor.server.cassettes.cassette import Cassette, canonical, crossed_out, packed, recording, unpacked
from ostensor.server.cassettes.replay import Live, Player, replay_server
from ostensor.tools import registry
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

REPORT = "Patient: Jane Roe, MRN 8812345\nFINDINGS: The liver is normal. Seen by Roe on 2026-01-02."


@pytest.fixture
def tape(desk: Desk, tmp_path: Path) -> Path:
    """One open, one segmentation, one refusal, one report."""
    path = tmp_path / "run.cassette"
    with recording(desk, path):
        image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
        use(desk, "segment", image_id=image, structures=["liver"])
        with pytest.raises(BadCall):
            use(desk, "measure", mask_ids=["msk_none"])
        use(desk, "check_report", image_id=image, report=REPORT)
    return path


def test_a_recording_replays_live_and_dead_and_holds_no_path_time_or_patient(
    tape: Path, desk: Desk, root: Path, settings: Settings
) -> None:
    text = tape.read_text(encoding="utf-8")
    for private in ("Jane", "Roe", "8812345", "2026-01-02", "ct.nii", str(root), str(settings.store), "created"):
        assert private not in text, private
    cassette = Cassette.load(tape)
    assert set(cassette.weights) == {"toy-ct"}
    image = cassette.calls[0].result["image_id"]
    assert len(cassette.volumes[image]) == 64

    player = Player(cassette)
    said, result, failed = player.answer("segment", {"image_id": image, "structures": ["liver"], "wait_s": 7})
    assert (result["masks"][0]["verdict"], failed) == ("present", False)
    assert "liver" in said
    assert player.answer("open_image", {"path": "elsewhere/ct.nii.gz"})[1]["image_id"] == image
    assert (
        player.answer("check_report", {"image_id": image, "report": REPORT})[1]["findings"][0]["judgement"]
        == "supported"
    )
    assert player.answer("measure", {"mask_ids": ["msk_none"]})[2] is True
    assert (player.missed, player.unused) == ([], [])
    with pytest.raises(BadCall, match=r"Not in the cassette: segment\(.*spleen"):
        player.answer("segment", {"image_id": image, "structures": ["spleen"]})
    assert player.missed == ["segment"]

    assert [row for row in Live(cassette, desk).run() if row.matters] == []


def test_a_changed_mask_number_or_schema_is_a_difference(
    tape: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cassette = Cassette.load(tape)
    row = cassette.calls[1].result["masks"][0]
    old, bits = row["mask_id"], unpacked(cassette.masks[row["mask_id"]])
    bits[0:30] = False
    row["mask_id"] = "msk_aaaaaaaaaaaa"
    cassette.masks["msk_aaaaaaaaaaaa"] = packed(bits)
    row["volume_ml"] *= 1.01
    found = {diff.where: diff for diff in Live(cassette, desk).run() if diff.matters}
    assert "Dice" in found["masks[0].mask_id"].live
    assert old in found["masks[0].mask_id"].live
    assert "masks[0].volume_ml" in found

    cassette.fingerprints["segment"] = "0" * 64
    with pytest.raises(BadCall, match="schema or description of segment changed"):
        Player(cassette)
    assert any(diff.where == "schema" for diff in Live(cassette, desk).differences)
    monkeypatch.setattr(registry, "TOOLS", registry.TOOLS[1:])
    with pytest.raises(BadCall, match="open_image is gone"):
        Player(Cassette.load(tape))


def test_masks_that_nearly_agree_are_within_tolerance(tape: Path, desk: Desk) -> None:
    cassette = Cassette.load(tape)
    row = cassette.calls[1].result["masks"][0]
    bits = unpacked(cassette.masks[row["mask_id"]])
    bits[tuple(np.argwhere(bits)[0])] = False  # one voxel of 4080: Dice 0.99988
    cassette.masks["msk_aaaaaaaaaaaa"] = packed(bits)
    row["mask_id"] = "msk_aaaaaaaaaaaa"
    mine = [diff for diff in Live(cassette, desk).run() if diff.where == "masks[0].mask_id"]
    assert [diff.matters for diff in mine] == [False]
    assert "Dice 0.9998" in mine[0].live


def test_a_server_answers_from_the_cassette(tape: Path) -> None:
    player = Player(Cassette.load(tape))
    image = player.cassette.calls[0].result["image_id"]

    async def run() -> None:
        async with Client(replay_server(player)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {e.name for e in registry.TOOLS}
            seen = await client.call_tool("segment", {"image_id": image, "structures": ["liver"]})
            assert (seen.structured_content or {})["masks"][0]["structure"] == "liver"
            missed = await client.call_tool("render", {"image_id": image})
            assert missed.is_error

    anyio.run(run)
    assert player.missed == ["render"]


def test_a_finished_recording_records_no_more(desk: Desk, tape: Path) -> None:
    before = tape.read_text(encoding="utf-8")
    use(desk, "list_models")
    assert tape.read_text(encoding="utf-8") == before
    assert desk.recorder is None


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "does not exist"),
        ("no json", "not JSON"),
        ("{}", "magic"),
        ('{"magic": "ostensor-cassette", "version": 9}', "version 9"),
    ],
)
def test_files_that_are_no_cassettes(tmp_path: Path, content: str | None, fact: str) -> None:
    path = tmp_path / "x.cassette"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(BadCall, match=fact):
        Cassette.load(path)


def test_bits_survive_packing() -> None:
    mask = np.random.default_rng(3).random((5, 7, 11)) > 0.5
    assert np.array_equal(unpacked(json.loads(json.dumps(packed(mask)))), mask)


def test_arguments_are_canonical() -> None:
    assert canonical({"b": 1, "a": None, "wait_s": 3}) == {"b": 1.0}
    assert canonical({"path": "/x/y/ct.nii"}) == canonical({"path": "ct.nii"})
    assert "ct" not in str(canonical({"path": "ct.nii"}))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Patient: John Smith", "Patient: XXXX XXXXX"),
        ("Seen 2026-01-02 and 3/4/2021.", "Seen XXXX-XX-XX and X/X/XXXX."),
        ("MRN: A12345", "MRN: XXXXXX"),
        ("Name: Roe. The liver of Roe is normal, 12 mm.", "Name: XXX. The liver of XXX is normal, 12 mm."),
        ("A 2.3 x 1.8 cm cyst.", "A 2.3 x 1.8 cm cyst."),
        ("img_012345678901 msk_012345678901", "img_012345678901 msk_012345678901"),
    ],
)
def test_people_are_crossed_out_and_findings_are_not(text: str, kept: str) -> None:
    assert crossed_out(text) == kept
    assert crossed_out(kept) == kept


def test_a_recorded_batch_holds_no_name_of_a_file_and_is_run_again(
    desk: Desk, root: Path, tmp_path: Path, settings: Settings
) -> None:
    (root / "ct.nii.gz").rename(root / "Roe_Jane.nii.gz")
    path = tmp_path / "batch.cassette"
    with recording(desk, path):
        use(desk, "run_batch", paths=["Roe_Jane.nii.gz"], structures=["liver"], formats=["csv"], wait_s=120)
    assert "Roe" not in path.read_text(encoding="utf-8")
    with Desk(replace(settings, store=tmp_path / "other")) as other:
        assert [found for found in Live(Cassette.load(path), other).run() if found.matters] == []
