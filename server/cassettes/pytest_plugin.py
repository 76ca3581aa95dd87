"""A pytest plugin: replay tests in three lines (docs/cassettes.md). It comes with the package; nothing to switch on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .replay import Player


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Player]]:
    """Opens a cassette beside the test file; when the test ends, no call may have been missed."""
    from .cassette import Cassette
    from .replay import Player

    players: list[Player] = []

    def load(name: str) -> Player:
        players.append(Player(Cassette.load(Path(request.path).parent / name)))
        return players[-1]

    yield load
    for player in players:
        if player.missed:
            pytest.fail(f"{len(player.missed)} calls are not in the cassette: {', '.join(player.missed)}")
