"""A desk with toy models, a scan to open, and a way to call tools as an MCP client does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import nibabel
import numpy as np
import pytest
from mcp import Client

from ostensor.models import catalogue
from ostensor.models.synthesis.card import CARDS as SYNTHESIS_CARDS
from ostensor.server.mcp.server import build_server
from ostensor.server.mcp.wire import whole
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

HERE = Path(__file__).parent
AFFINE = np.array([[-0.8, 0, 0, 20.0], [0, -0.9, 0, 30.0], [0, 0, 3.0, -50.0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Reply:
    """What a client got."""

    is_error: bool
    text: str
    result: dict[str, Any]
    pictures: int


Ask = Callable[..., Reply]


def toy_scan(**values: tuple[slice, slice, slice]) -> np.ndarray:
    """CT-like air with tissue in the middle and the organs as blocks of their grey value."""
    from desk_toy import VALUES

    array = np.full((61, 53, 29), -1000, np.int16)
    array[3:58, 3:50, :] = 40
    for name, where in values.items():
        array[where] = VALUES[name.replace("_", " ")]
    return array


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(HERE))
    from desk_toy import CARDS

    monkeypatch.setattr(catalogue, "ENTRIES", (*CARDS, *SYNTHESIS_CARDS))
    catalogue.forget_cards()
    yield
    monkeypatch.undo()
    catalogue.forget_cards()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    organs = {
        "liver": (slice(8, 25), slice(10, 30), slice(5, 17)),
        "spleen": (slice(40, 50), slice(30, 41), slice(20, 29)),
        "left_kidney": (slice(40, 46), slice(10, 17), slice(3, 9)),
        "right_kidney": (slice(10, 15), slice(35, 42), slice(3, 9)),
    }
    save(folder / "ct.nii.gz", toy_scan(**organs))
    return folder


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return Settings(store=tmp_path / "store", roots=(root,), factory="desk_toy:load")


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    with Desk(settings) as made:
        yield made


@pytest.fixture
def ask(desk: Desk) -> Callable[..., Reply]:
    """Call a tool through an MCP client connected in memory."""

    def call(tool: str, **arguments: Any) -> Reply:
        return anyio.run(call_once, desk, tool, arguments)

    return call


async def call_once(desk: Desk, tool: str, arguments: dict[str, Any], mode: str = "auto") -> Reply:
    async with Client(build_server(desk), mode=mode) as client:
        answer = await client.call_tool(tool, arguments)
    text = " ".join(part.text for part in answer.content if part.type == "text")
    pictures = sum(part.type == "image" for part in answer.content)
    result = answer.structured_content or {}
    if not answer.is_error:
        result = whole(tool, result)  # as programs read them
    return Reply(bool(answer.is_error), text, result, pictures)


@pytest.fixture
def image_id(ask: Callable[..., Reply]) -> str:
    return str(ask("open_image", path="ct.nii.gz").result["image_id"])
