"""The catalogue: a contract every entry keeps, and what is offered for a structure."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ostensor.imaging.errors import BadCall, Failed
from ostensor.models import catalogue as module
from ostensor.models.card import Card
from ostensor.models.catalogue import ENTRIES, WEIGHTS_FOLDER, card, catalogue, models_for, unique

BUNDLED = [entry.name for entry in ENTRIES if entry.system == "ostensor"]


def _weights(folder: Path, name: str, **facts: Any) -> Path:
    """The two files of a bundled network, as `ostensor fit --export` leaves them."""
    (folder / f"{name}.safetensors").write_bytes(b"weights of " + name.encode())
    values = {"vocabulary": ["liver", "spleen"], "claimed": ["liver"], "sha256": "ab", "spacing_mm": [3.0, 3.0, 3.0]}
    (folder / f"{name}.json").write_text(json.dumps(values | facts), encoding="utf-8")
    return folder


def _result(dice: float) -> dict[str, Any]:
    return {"liver": {"dice": dice, "low": dice - 0.1, "high": dice + 0.1, "atlas": 0.3, "cases": 5}}


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_every_entry_keeps_the_contract(entry: Card) -> None:
    """DESIGN §5: a licence, a reference, a size in memory; bundled files match their stated hash."""
    assert entry.title
    assert entry.paper
    assert entry.licence
    assert entry.region
    assert entry.text_encoder
    assert entry.task in ("segment", "refer", "refine", "synthesize", "translate")
    assert entry.name == entry.name.lower().replace(" ", "-")
    assert entry.open_text or entry.weights == "none" or entry.vocabulary or entry.task in ("refine", "translate")
    assert set(entry.measured) <= set(entry.vocabulary)
    if entry.weights == "bundled":
        stored = (WEIGHTS_FOLDER / entry.weights_file).read_bytes()
        assert hashlib.sha256(stored).hexdigest() == entry.sha256
        assert len(stored) == entry.size_bytes
        for name in entry.claimed if entry.task == "segment" else ():
            assert entry.measured[name].dice > entry.measured[name].atlas, f"{name} does not beat the atlas"
    if entry.system != "ostensor":
        assert not entry.measured, "a published score is never shown as ours"
        assert entry.deviations
    assert (entry.fidelity == "own") == (entry.system == "ostensor"), "what nobody published is said to be ours"


def test_the_issue_s_models_are_all_there() -> None:
    """Five bundled networks, both published SAT sizes, and those that take sentences."""
    parts = ("hippocampus", "cardiac", "abdomen-2d", "torso", "brain")
    others = {"sat-nano", "sat-pro", "meshnet", "obelisk", "duplus", "flans", "flans-mini", "lsms-mini"}
    assert {entry.name for entry in catalogue()} >= {*(f"sat-mini-{part}" for part in parts), *others}
    assert catalogue() == module.CATALOGUE


def test_networks_trained_on_restricted_data_are_for_research_only() -> None:
    """The data folder's README: ACDC is non-commercial, BTCV's terms are unverified."""
    assert card("sat-mini-cardiac").purpose == "research-only"
    assert card("sat-mini-abdomen-2d").purpose == "research-only"


def test_an_unknown_name_offers_three_nearest() -> None:
    """The fact, the way out, and exactly three names."""
    with pytest.raises(BadCall, match=r"Unknown model 'sat-mini-torsoo'.*closest: 'sat-mini-torso'") as caught:
        card("sat-mini-torsoo")
    assert str(caught.value).count("sat-") == 4


def test_two_entries_of_one_name_are_refused() -> None:
    """Registries are literal and duplicates an error (STYLE §6)."""
    with pytest.raises(Failed, match="'sat-nano' twice"):
        unique((*ENTRIES, card("sat-nano")))


def test_a_missing_file_is_reported_and_not_offered(tmp_path: Path) -> None:
    """Half an export (facts without weights) is as good as none."""
    _weights(tmp_path, "sat-mini-torso")
    (tmp_path / "sat-mini-torso.safetensors").unlink()
    assert card("sat-mini-torso", folder=tmp_path).weights == "none"
    assert models_for("liver", folder=tmp_path) == ()


def test_facts_beside_the_weights_complete_the_card(tmp_path: Path) -> None:
    """What was written comes back; the size is the file's own."""
    _weights(tmp_path, "sat-mini-torso", metrics=_result(0.8), plausible_ml={"liver": [700, 3000]})
    found = card("sat-mini-torso", folder=tmp_path)
    assert found.weights == "bundled"
    assert found.spacing_mm == (3.0, 3.0, 3.0)
    assert found.measured["liver"].atlas == 0.3
    assert found.plausible_ml["liver"] == (700, 3000)
    assert found.size_bytes == len(b"weights of sat-mini-torso")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """The message names the file, not where it lies."""
    _weights(tmp_path, "sat-mini-brain")
    (tmp_path / "sat-mini-brain.json").write_text("{", encoding="utf-8")
    with pytest.raises(Failed, match=r"^The file sat-mini-brain\.json beside"):
        catalogue(tmp_path)


def test_a_structure_that_was_taught_but_lost_to_the_atlas_is_not_offered(tmp_path: Path) -> None:
    """'spleen' is in the vocabulary but not claimed."""
    _weights(tmp_path, "sat-mini-torso")
    assert [entry.name for entry in models_for("liver", folder=tmp_path)] == ["sat-mini-torso"]
    assert models_for("spleen", folder=tmp_path) == ()


def test_the_better_measured_model_comes_first(tmp_path: Path) -> None:
    """The torso stands before the abdomen in the list, so order alone would be wrong."""
    _weights(tmp_path, "sat-mini-torso", metrics=_result(0.6))
    _weights(tmp_path, "sat-mini-abdomen-2d", metrics=_result(0.7))
    assert [e.name for e in models_for("liver", folder=tmp_path)] == ["sat-mini-abdomen-2d", "sat-mini-torso"]


@pytest.mark.parametrize(
    ("modality", "dims", "purpose", "expected"),
    [
        ("ct", 3, "research-only", ["sat-mini-abdomen-2d", "sat-mini-torso"]),
        ("unknown", None, "research-only", ["sat-mini-abdomen-2d", "sat-mini-torso"]),
        (None, 2, "research-only", ["sat-mini-abdomen-2d"]),
        ("ct", 3, "any", ["sat-mini-torso"]),
        ("mr", 3, "research-only", []),
    ],
)
def test_modality_dimensions_and_purpose_narrow_the_choice(
    tmp_path: Path, modality: str | None, dims: int | None, purpose: Any, expected: list[str]
) -> None:
    """The abdomen model is 2-D and for research only; both are CT."""
    _weights(tmp_path, "sat-mini-torso", metrics=_result(0.6))
    _weights(tmp_path, "sat-mini-abdomen-2d", metrics=_result(0.7))
    assert [e.name for e in models_for("liver", modality, dims, purpose=purpose, folder=tmp_path)] == expected


def test_no_torch_is_loaded() -> None:
    """The server process reads the catalogue (DESIGN §1)."""
    code = (
        "import sys; from ostensor.models.catalogue import catalogue; catalogue(); "
        "sys.exit(bool({'torch', 'monai', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
