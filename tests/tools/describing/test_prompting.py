"""write_prompts over MCP with toy masks; what may be said of each organ is counted here by hand, on arrays."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.retrieval.descriptions.prompts import leaked_names
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.paraphrasing import lines
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask, save, toy_scan
from .test_described import ORGANS


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The language tools are not shown by default."""
    return dataclasses.replace(settings, toolsets=("core", "language"))


@pytest.fixture
def scan(ask: Ask, root: Path) -> str:
    save(root / "prompts.nii.gz", toy_scan(**ORGANS))
    return str(ask("open_image", path="prompts.nii.gz").result["image_id"])


def prompts(ask: Ask, **arguments: Any) -> dict[str, Any]:
    reply = ask("write_prompts", wait_s=60, **arguments)
    assert not reply.is_error, reply.text
    return reply.result


def sizes() -> dict[str, int]:
    return {name.replace("_", " "): int(np.prod([s.stop - s.start for s in where])) for name, where in ORGANS.items()}


def test_prompts_come_back_to_their_mask_and_to_no_other(ask: Ask, desk: Desk, scan: str) -> None:
    """Round trip through segment_described, all families; the first candidate is the mask itself."""
    made = prompts(ask, image_id=scan, structure="spleen", n=9, audience="lay")
    assert {row["kind"] for row in made["prompts"]} == {"anatomy", "position", "size"}
    for row in made["prompts"]:
        assert row["checked"] is True
        assert f"mask:{made['mask_id']}" in row["sources"]
        found = ask("segment_described", image_id=scan, description=row["text"], wait_s=60).result
        assert found["candidates"][0]["mask_id"] == made["mask_id"], row["text"]
        assert found["ambiguous"] is False, row["text"]


def test_size_prompts_say_true_ranks(ask: Ask, scan: str) -> None:
    """The rank in the words against voxel counts of the blocks."""
    counts = sizes()
    for structure in ("liver", "left kidney"):
        for row in prompts(ask, image_id=scan, structure=structure, kinds=["size"], n=6)["prompts"]:
            text = row["text"].lower()
            smallest = re.search("smallest|tiniest", text)
            rank = 2 if "second" in text else 3 if "third" in text else 1
            order = sorted(counts.values(), reverse=not smallest)
            if (
                "part of the scan" not in text
                and "near the" not in text
                and "side" not in text
                and "patient's" not in text
            ):
                assert order[rank - 1] == counts[structure], text


def test_agnostic_prompts_name_no_structure(ask: Ask, desk: Desk, scan: str) -> None:
    made = prompts(ask, image_id=scan, structure="liver", kinds=["position", "size"], n=12)
    assert made["prompts"]
    for row in made["prompts"]:
        assert leaked_names(row["text"], desk.table, ("organ", "bone")) == (), row["text"]


def test_the_same_seed_writes_the_same(ask: Ask, scan: str) -> None:
    one, again, other = (
        [row["text"] for row in prompts(ask, image_id=scan, structure="spleen", n=6, seed=seed)["prompts"]]
        for seed in (3, 3, 4)
    )
    assert one == again != other


def test_a_chat_models_words_are_checked_like_any_others(ask: Ask, desk: Desk, scan: str) -> None:
    """A scripted model: one good paraphrase, one that swaps the side, one that adds a finding."""

    def scripted(text: str, count: int) -> list[str]:
        del text, count
        return ["Kindly outline the kidney on the patient's left.", "the right kidney", "the left kidney with a cyst"]

    desk.__dict__["paraphraser"] = scripted
    made = prompts(ask, image_id=scan, structure="left kidney", kinds=["anatomy"], n=6)
    texts = [row["text"] for row in made["prompts"]]
    assert "the right kidney" not in texts
    assert "the left kidney with a cyst" not in texts
    assert made["rejected"]["says something else"] >= 1


def test_lines_of_a_chat_model_lose_bullets_and_numbers() -> None:
    assert lines('1. The liver.\n- "The hepar."\n\n* Liver', 2) == ["The liver.", "The hepar."]
    assert lines("3.5 cm mass in the liver\n12) A mass", 2) == ["3.5 cm mass in the liver", "A mass"]


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({}, "Give either mask_id"),
        ({"mask_id": "msk_ffffffffffff"}, "Unknown mask"),
        ({"structure": "spleen"}, "Give either mask_id"),
        ({"image_id": True, "structure": "urinary bladder"}, "has no mask"),
        ({"image_id": True, "structure": "flux capacitor"}, "Unknown structure"),
        ({"image_id": True, "structure": "spleen", "n": 0}, "'n'"),
        ({"image_id": True, "structure": "spleen", "kinds": ["poem"]}, "'kinds"),
    ],
)
def test_calls_that_make_no_sense(ask: Ask, scan: str, arguments: dict[str, Any], fact: str) -> None:
    reply = ask("write_prompts", wait_s=60, **{k: scan if v is True else v for k, v in arguments.items()})
    assert reply.is_error
    assert fact in reply.text
