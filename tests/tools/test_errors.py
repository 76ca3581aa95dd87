"""Every exception becomes one of the three kinds, with a cause and a next step; null means the default."""

import errno
import logging
import re
from dataclasses import replace
from typing import Any

import pytest

from ostensor.imaging.errors import BadCall, Failed, OstensorError, Unavailable, as_one_of_ours
from ostensor.tools import registry, running
from ostensor.tools.desk.desk import Desk
from ostensor.tools.registry import TOOLS

from ..toys.desks import Ask

SECRET = "/home/jane/Roe^Jane 1950-01-02"
RAISED = [
    ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET), MemoryError(SECRET), OSError(errno.ENOSPC, SECRET),
    OSError(errno.EMFILE, SECRET), PermissionError(errno.EACCES, SECRET), UnicodeDecodeError("utf-8", b"x", 0, 1, SECRET),
    ZeroDivisionError(SECRET), RecursionError(SECRET), TimeoutError(SECRET), AssertionError(SECRET),
]  # fmt: skip


def needed(model: Any) -> dict[str, Any]:
    """Something for every argument that must be given."""
    known: dict[str, Any] = {
        "image_id": "img_000000000000", "mask_id": "mask_000000000000", "mask_ids": ["mask_000000000000"],
        "structures": ["liver"], "path": "ct.nii.gz", "job_id": "job_0", "report": "Normal.", "text": "the liver",
    }  # fmt: skip
    return {name: known.get(name, "liver") for name, field in model.model_fields.items() if field.is_required()}


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", [entry.name for entry in TOOLS])
def test_what_nobody_foresaw_is_one_of_three_kinds(
    name: str, error: Exception, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Injected into every tool; no word of the exception reaches caller or log."""

    def broken(*args: object, **given: object) -> None:
        raise error

    broken.__name__ = name
    entry = replace(registry.tool(name), function=broken)
    with caplog.at_level(logging.DEBUG), pytest.raises(OstensorError) as found:
        running.run_tool(entry, desk, running.Call(), {})
    assert isinstance(found.value, (BadCall, Unavailable, Failed))
    text = str(found.value)
    assert name in text
    assert text.endswith(".")
    assert re.search(r"\b(Call|Ask|Free|Wait|Check|Give|Try)\b", text), "what to do next"
    assert "Roe" not in text + caplog.text
    assert "/home" not in text + caplog.text


def test_our_own_errors_stay_as_they_are() -> None:
    given = BadCall("No such image. Call open_image.")
    assert as_one_of_ours(given, "measure") is given


def test_mcp_clients_get_our_words_without_a_prefix(ask: Ask, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    assert ask("measure", mask_ids=["mask_000000000000"]).text.startswith("Unknown mask")

    def broken(*_args: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(type(desk.store), "image", broken)
    reply = ask("render", image_id="img_000000000000")
    assert reply.is_error
    assert reply.text.startswith("'render' stopped on our side (RuntimeError in ")
    assert "Roe" not in reply.text


@pytest.mark.parametrize("nothing", [None, "", "null", " None "])
@pytest.mark.parametrize("name", [entry.name for entry in TOOLS])
def test_nothing_for_an_optional_argument_is_its_default(name: str, nothing: object) -> None:
    entry = registry.tool(name)
    must = needed(entry.arguments)
    may = {field: nothing for field in entry.arguments.model_fields if field not in must}
    assert entry.given({**must, **may}) == must


def test_nothing_is_the_default_over_mcp_too(ask: Ask, image_id: str) -> None:
    whole = ask("segment", image_id=image_id, structures=["liver"], wait_s=60)
    again = ask("segment", image_id=image_id, structures=["liver"], wait_s=60, model=None)
    empty = ask("segment", image_id=image_id, structures=["liver"], wait_s=60, model="")
    assert not whole.is_error
    assert again.result["masks"] == empty.result["masks"] == whole.result["masks"]


def test_nothing_for_what_must_be_given_is_refused(ask: Ask) -> None:
    reply = ask("open_image", path="")
    assert reply.is_error
    assert "empty" in reply.text
    assert "'path'" in ask("open_image", path=None).text
