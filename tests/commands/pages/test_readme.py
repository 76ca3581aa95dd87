"""The README's tables are those of the code."""

from pathlib import Path

import pytest

from ostensor.commands.pages import backbones
from ostensor.commands.pages.readme import tool_table, updated
from ostensor.commands.pages.tools import tool_docs
from ostensor.tools.registry import TOOLS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def toys() -> None:
    """The real catalogue here, not the toys."""


def test_the_readme_is_current() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert updated(text) == text, "run `make docs`"
    assert tool_table() in text


def test_the_tool_pages_are_current() -> None:
    assert (ROOT / "docs" / "tools.md").read_text(encoding="utf-8") == tool_docs(), "run `make docs`"


def test_the_page_of_backbones_is_current() -> None:
    text = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert backbones.updated(text) == text, "run `make docs`"


def test_every_argument_of_every_tool_is_on_its_page() -> None:
    pages = tool_docs().split("\n## ")
    for entry in TOOLS:
        (page,) = (text for text in pages if text.startswith(f"`{entry.name}`"))
        for argument in entry.arguments.model_fields:
            assert f"| `{argument}` |" in page, f"{entry.name}.{argument}"
        for field in entry.result.model_fields:
            assert f"`{field}`" in page, f"{entry.name}: {field}"


def test_links_in_the_documents_lead_somewhere() -> None:
    import re

    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")):
        prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
