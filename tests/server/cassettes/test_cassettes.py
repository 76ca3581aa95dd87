"""Our own recorded runs, on the toy scan: each replays without a model, and agrees with a live run.

`OSTENSOR_UPDATE=1` records them again, e.g. after a tool's schema changed on purpose.
"""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from ostensor.agents.ask import Answered, ask
from ostensor.server.cassettes.cassette import Cassette, path_key, recording
from ostensor.server.cassettes.replay import Live, Player
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk

from ...toys.desks import desk, root, settings, toys

__all__ = ["desk", "root", "settings", "toys"]
pytest_plugins = ["ostensor.server.cassettes.pytest_plugin"]
HERE = Path(__file__).parent
REPORT = "FINDINGS: The liver is normal. The left kidney is surgically absent. A 12 mm cyst in the spleen."
RUNS = {
    "measure": ("How large is the liver?", "", "measures 8.813 ml"),
    "verdicts": ("Segment both kidneys, the urinary bladder and the pancreas", "", "right kidney is unsure"),
    "compare": (
        "Is the liver larger than the left kidney?",
        "",
        "the liver is larger than the left kidney, by 8.268 ml",
    ),
    "report": ("Check this report", REPORT, "1 supported, 1 contradicted"),
}


def question(server: object, words: str, report: str) -> Answered:
    async def run() -> Answered:
        return await ask(words, server, images=["ct.nii.gz"], report=report)

    return anyio.run(run)


def test_every_recording_agrees_with_a_live_run(desk: Desk) -> None:
    for name, (words, report, said) in RUNS.items():
        path = HERE / f"{name}.cassette"
        if os.environ.get("OSTENSOR_UPDATE"):
            session = {
                "kind": "ask",
                "question": words,
                "model": "offline",
                "report": report,
                "images": [path_key("ct.nii.gz")],
            }
            with recording(desk, path, session):
                assert said in question(build_server(desk), words, report).text
        assert [row for row in Live(Cassette.load(path), desk).run() if row.matters] == [], name


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_agent_answers_the_same_from_the_cassette(cassette: Callable[[str], Player], name: str) -> None:
    words, report, said = RUNS[name]
    player = cassette(f"{name}.cassette")
    assert said in question(player.server, words, report).text
    assert player.unused == []
