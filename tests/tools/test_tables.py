"""The README's tables are those of the code."""

from pathlib import Path

import pytest

from ostensor.tools.tables import tool_table, updated

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def toys() -> None:
    """The real catalogue here, not the toys."""


def test_the_readme_is_current() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert updated(text) == text, "run `make docs`"
    assert tool_table() in text


def test_links_in_the_documents_lead_somewhere() -> None:
    import re

    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
