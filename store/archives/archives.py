"""The archives a desk may use: addresses of callers to nodes, and aliases to UIDs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ...imaging.errors import BadCall
from .addresses import Address, parse_address
from .aliases import Aliases
from .downloads import Meter
from .found import Found, SeriesFound
from .nodes import ArchiveAccess, Node, read_nodes


class DicomArchive(Protocol):
    """What DICOM nodes of any kind can do."""

    node: Node

    def close(self) -> None:
        """Hang up."""

    def check(self) -> str:
        """That it answers, in a sentence."""

    def studies(self, filters: Mapping[str, str], most: int) -> Found:
        """Studies that fit, newest first."""

    def series(self, study_uid: str) -> tuple[SeriesFound, ...]:
        """The series of a study."""

    def fetch(self, study_uid: str, series_uid: str, folder: Path, meter: Meter) -> int:
        """Files of a series into a folder."""

    def store(self, study_uid: str, files: Sequence[Path], meter: Meter) -> None:
        """Store DICOM files in a study."""


class Archives:
    """The configured nodes and the aliases of one store.

    Args:
        folder: private, of the store; made when the first archive is used.
    """

    def __init__(self, access: ArchiveAccess, folder: Path) -> None:
        self._access, self._folder = access, folder
        self._aliases: Aliases | None = None

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes that may be used, read anew: a person may just have added one."""
        found = read_nodes(self._access.file)
        return {name: node for name, node in found.items() if node.shared or not self._access.shared_only}

    @property
    def aliases(self) -> Aliases:
        """Names of studies and series."""
        if self._aliases is None:
            self._aliases = Aliases(self._folder)
        return self._aliases

    @property
    def downloads(self) -> Path:
        """Where files lie on their way; private."""
        return self._folder / "downloads"

    def find(self, text: str) -> tuple[Address, Node]:
        """The parts of an address, and the node it names.

        Raises:
            BadCall: no address, or its node is not configured.
        """
        address, nodes = parse_address(text), self.nodes
        node = nodes.get(address.name)
        if node is None:
            known = ", ".join(one.address for one in nodes.values())
            raise BadCall(
                f"No archive '{address.name}' is configured. {f'Configured: {known}.' if known else 'None is.'} "
                f"A person adds one: ostensor archives add {address.name} --kind {address.kind} …"
            )
        if node.kind != address.kind:
            raise BadCall(f"'{node.name}' is an archive of kind {node.kind}. Write {node.address}.")
        return address, node

    @contextmanager
    def connected(self, node: Node) -> Iterator[DicomArchive]:
        """A DICOM archive while the block runs.

        Raises:
            BadCall: it is a FHIR server.
            Unavailable: a package is missing, or the variable with its key is not set.
        """
        made: DicomArchive
        if node.kind == "dimse":
            from .dimse import Dimse

            made = Dimse(node)
        elif node.kind == "dicomweb":
            from .dicomweb import DicomWeb
            from .web import Web

            made = DicomWeb(Web(node, self._access.keys))
        else:
            raise BadCall(f"'{node.name}' is a FHIR server: it holds records, no scans. Use it in predict_prognosis.")
        try:
            yield made
        finally:
            made.close()

    def check(self, node: Node) -> str:
        """That a node answers, in a sentence.

        Raises:
            OstensorError: why it does not.
        """
        if node.kind == "fhir":
            from .fhir import Fhir
            from .web import Web

            server = Fhir(Web(node, self._access.keys))
            try:
                return server.check()
            finally:
                server.close()
        with self.connected(node) as archive:
            return archive.check()

    def record(self, text: str, cancelled: threading.Event | None = None) -> dict[str, object]:
        """The Bundle of a patient at `fhir://NAME/Patient/ID`.

        Raises:
            BadCall: not configured, of another kind, or no such patient.
            Unavailable: see `Fhir`.
        """
        from . import fhir
        from .web import Web

        address, node = self.find(text)
        if address.kind != "fhir":
            raise BadCall("A record lies on a FHIR server: fhir://NAME/Patient/ID. This address is of scans.")
        server = fhir.Fhir(Web(node, self._access.keys))
        try:
            meter = Meter(node.name, fhir.MOST_BYTES, what="record", cancelled=cancelled, seconds=fhir.MOST_SECONDS)
            return server.everything(address.patient, meter)
        finally:
            server.close()
