"""`segment` with DuPLUS in a real worker process: an imported checkpoint, its own text tower, free sentences."""

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ostensor.imaging.errors import BadCall
from ostensor.models import catalogue
from ostensor.models.importing import import_weights
from ostensor.models.language.duplus.network import TINY, Duplus
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real catalogue, and a random DuPLUS imported where this process and its worker both look."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "data" / "ostensor" / "weights"
    monkeypatch.setattr(catalogue, "USER_FOLDER", folder)
    write_tower(folder / "clipmd")
    torch.manual_seed(3)
    net = Duplus(TINY)
    with torch.no_grad():  # so that a new network's answer differs from voxel to voxel
        net.precls_conv[2].weight.mul_(30)
        net.controller.weight.mul_(3)
    file = tmp_path / "mine.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file)
    import_weights("duplus", [file], accept_licence=True, folder=folder)
    yield
    monkeypatch.undo()
    catalogue.forget_cards()


def write_tower(folder: Path) -> None:
    """A CLIP text tower of 64 numbers whose tokens are single letters."""
    from transformers import CLIPTextConfig, CLIPTextModel

    folder.mkdir(parents=True)
    letters = [chr(n) for n in range(33, 127)]
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    torch.manual_seed(5)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1}
    CLIPTextModel(CLIPTextConfig(vocab_size=len(pieces), **sizes, **ends)).save_pretrained(folder)


@pytest.mark.slow
def test_context_and_targets_in_free_words_reach_the_network(tmp_path: Path) -> None:
    """T1 and T2 of the paper through the tool: another context, or another target, is another mask."""
    folder = tmp_path / "scans"
    folder.mkdir()
    array = np.random.default_rng(1).normal(40, 90, (61, 53, 29)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.9, 3.0, 1])), folder / "ct.nii.gz")
    with Desk(Settings(store=tmp_path / "store", roots=(folder,), threads=1)) as desk:
        image_id = use(desk, "open_image", path="ct.nii.gz", modality="ct").result.model_dump()["image_id"]

        def volumes(context: str) -> dict[str, float | None]:
            words = ["liver", "dark core of the tumour in the right lobe"]
            answer = use(
                desk, "segment", image_id=image_id, structures=words, model="duplus", context=context, wait_s=300
            )
            rows = answer.result.model_dump()["masks"]
            assert {row["provenance"]["model"] for row in rows} == {"duplus"}
            return {row["structure"]: row["volume_ml"] for row in rows}

        first, again, neck = (volumes(text) for text in ("", "", "A PET scan of the neck"))
        assert list(first) == ["liver", "dark core of the tumour in the right lobe"]
        assert first == again
        assert len(set(first.values())) == 2
        assert first != neck
        with pytest.raises(BadCall, match="takes no context"):
            use(desk, "segment", image_id=image_id, structures=["liver"], context="A CT scan of the abdomen")
