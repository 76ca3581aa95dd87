"""Callers of an HTTP server see the archives that are shared, and the operator all of them."""

from dataclasses import replace
from typing import Any, cast

from ostensor.server.http.callers import Callers
from ostensor.server.http.settings import HttpSettings
from ostensor.store.archives.nodes import ArchiveAccess, Node, write_nodes
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings


def test_a_caller_sees_shared_archives_only(settings: Settings) -> None:
    file = settings.store.parent / "archives.toml"
    nodes = [Node(name, "fhir", "https://ehr/fhir", shared=name == "open") for name in ("open", "closed")]
    write_nodes(file, {node.name: node for node in nodes})
    with Desk(replace(settings, archives=ArchiveAccess(file))) as desk:
        callers = Callers(desk, HttpSettings(), cast(Any, None))
        other = callers._desk_of("ada", ("core",))
        assert list(other.archives.nodes) == ["open"]
        assert list(other.seen_with(("all",)).archives.nodes) == ["open"]
        assert list(callers._desk_of("local", settings.toolsets).archives.nodes) == ["open", "closed"]
        other.close()
