"""DIMSE through pynetdicom: C-FIND, C-GET and C-STORE (PS3.4 C.4 and B.2); nothing listens, so no C-MOVE."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...imaging.errors import BadCall, OstensorError, Unavailable
from ...imaging.guards.withheld import withhold_header_values
from .downloads import Meter
from .found import SERIES_ELEMENTS, STUDY_ELEMENTS, Found, SeriesFound, StudyFound, newest_first, series_of, study_of
from .nodes import Node
from .reaching import CONNECT_S, READ_S, WAIT_S, missing_extra, tls_context, unreached

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_SERIES = 2000
_MOST_SYNTAXES = 12
_PENDING, _DONE, _NO_ROOM = (0xFF00, 0xFF01), 0x0000, 0xA700
# Storage classes that a series to open or a result may have: PS3.4 B.5.
_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in (
        "1", "1.1", "1.1.1", "1.2", "1.2.1", "2", "2.1", "2.2", "3.1", "4", "4.1", "4.3", "4.4", "6.1", "6.2", "7",
        "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2", "13.1.1", "13.1.3", "13.1.5", "20", "66.4", "128",
        "128.1", "130", "481.1", "481.3",
    )
)  # fmt: skip
_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
)  # fmt: skip


class Dimse:
    """A node that speaks DIMSE.

    Raises:
        Unavailable: pynetdicom is missing.
    """

    def __init__(self, node: Node) -> None:
        try:
            import pynetdicom
        except ImportError:
            raise missing_extra("pynetdicom", node.name) from None
        withhold_header_values()  # it logs data sets
        if hasattr(select, "poll"):
            pynetdicom.transport.select = _Polling
        pynetdicom._config.LOG_REQUEST_IDENTIFIERS = pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False
        self.node = node

    def close(self) -> None:
        """Every call hangs up by itself."""

    def check(self) -> str:
        """That it answers C-ECHO, in a sentence."""
        with self._associated([_verification()]) as link:
            self._settle(link.send_c_echo(), "C-ECHO")
        return f"'{self.node.name}' answers (C-ECHO)."

    def studies(self, filters: Mapping[str, str], most: int) -> Found:
        """Studies that fit, newest first.

        Raises:
            Unavailable: not reached, or it refuses.
        """
        asked = {name: "" for name in STUDY_ELEMENTS}
        asked |= {"PatientID": filters.get("patient", ""), "ModalitiesInStudy": filters.get("modality", "")}
        if filters.get("since") or filters.get("until"):
            asked["StudyDate"] = f"{filters.get('since', '')}-{filters.get('until', '')}"
        found: dict[str, StudyFound] = {}
        complete = True
        for facts in self._found("STUDY", asked, most + 1):
            one = study_of(facts)
            if one is not None:
                found[one.uid] = one
        if len(found) > most:
            complete = False
        return Found(newest_first(list(found.values()))[:most], complete)

    def series(self, study_uid: str) -> tuple[SeriesFound, ...]:
        """The series of a study, in their order.

        Raises:
            BadCall: the study is not there.
            Unavailable: not reached, or it refuses.
        """
        asked = {"StudyInstanceUID": study_uid, **{name: "" for name in SERIES_ELEMENTS}}
        found = [one for one in map(series_of, self._found("SERIES", asked, _MOST_SERIES)) if one is not None]
        if not found:
            raise BadCall(f"'{self.node.name}' has no such study. Call list_files(root='{self.node.address}').")
        return tuple(sorted({one.uid: one for one in found}.values(), key=lambda one: (one.number, one.uid)))

    def fetch(self, study_uid: str, series_uid: str, folder: Path, meter: Meter) -> int:
        """Files of a series into a folder; answers how many.

        Raises:
            BadCall: not there, or too large.
            Unavailable: not reached, cut off, stopped, or it refuses.
        """
        from pynetdicom import build_role, evt
        from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as Get

        stopped: list[OstensorError] = []

        def keep(event: Any) -> int:
            if stopped:
                return _NO_ROOM
            try:
                content = event.encoded_dataset()
                meter.add_bytes(len(content))
                meter.add_file()
            except OstensorError as error:
                stopped.append(error)
                event.assoc.abort()
                event.assoc.dimse.msg_queue.put((None, None))  # else it waits for an answer that will not come
                return _NO_ROOM
            (folder / f"{meter.files:06d}.dcm").write_bytes(content)
            return _DONE

        own = self._class_of(study_uid, series_uid)
        # A context for each syntax of the series' own class: the archive then sends files as they are stored.
        contexts = [_context(Get, _SYNTAXES[:2]), *(_context(own, (syntax,)) for syntax in _SYNTAXES)]
        contexts += [_context(one, _SYNTAXES) for one in _CLASSES if one != own]
        roles = [build_role(one, scp_role=True) for one in dict.fromkeys((own, *_CLASSES))]
        wanted = _dataset("SERIES", {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid})
        with self._associated(contexts, roles=roles, handlers=[(evt.EVT_C_STORE, keep)]) as link:
            for status, _ in link.send_c_get(wanted, Get):
                if stopped:
                    break
                if status and int(status.Status) in _PENDING:
                    continue
                if not stopped:
                    self._settle(status, "C-GET")
        if stopped:
            raise stopped[0]
        return meter.files

    def store(self, study_uid: str, files: Sequence[Path], meter: Meter) -> None:
        """Store DICOM files.

        Raises:
            Unavailable: the archive refused one, or was not reached.
        """
        import pydicom

        del study_uid  # it stands in the files
        heads = [pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]) for path in files]
        kinds = {(str(head.SOPClassUID), str(head.file_meta.TransferSyntaxUID)) for head in heads}
        with self._associated([_context(kind, (syntax,)) for kind, syntax in sorted(kinds)]) as link:
            for path in files:
                meter.check()
                try:
                    status = link.send_c_store(path)
                except (ValueError, RuntimeError):  # it takes no such class, or hung up
                    raise Unavailable(
                        f"'{self.node.name}' takes no objects of this kind. Ask whoever runs it whether it takes "
                        "segmentations and structure sets."
                    ) from None
                self._settle(status, "C-STORE")

    def _class_of(self, study_uid: str, series_uid: str) -> str:
        """SOP class of a series, by its first instance.

        Raises:
            BadCall: there is none.
        """
        asked = {
            "StudyInstanceUID": study_uid,
            "SeriesInstanceUID": series_uid,
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        for facts in self._found("IMAGE", asked, 1):
            values = (facts.get("00080016") or {}).get("Value") or [_CLASSES[0]]
            return str(values[0])
        raise BadCall(f"'{self.node.name}' has no such series. Call list_files(root='{self.node.address}').")

    def _found(self, level: str, asked: Mapping[str, str], most: int) -> list[Mapping[str, Any]]:
        from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

        found: list[Mapping[str, Any]] = []
        with self._associated([_context(Find, _SYNTAXES[:2])]) as link:
            for status, facts in link.send_c_find(_dataset(level, asked), Find):
                if not status or int(status.Status) not in _PENDING:
                    self._settle(status, "C-FIND")
                elif facts is not None:
                    found.append(facts.to_json_dict(suppress_invalid_tags=True))
                    if len(found) >= most:
                        link.abort()
                        break
        return found

    @contextmanager
    def _associated(
        self, contexts: Sequence[Any], *, roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Iterator[Any]:
        """An association while the block runs.

        Raises:
            Unavailable: not reached, or refused.
        """
        from pynetdicom import AE

        self._reach()
        entity = AE(ae_title=self.node.calling)
        entity.connection_timeout, entity.acse_timeout = CONNECT_S, READ_S
        entity.dimse_timeout = entity.network_timeout = WAIT_S
        tls = (tls_context(self.node), self.node.host) if self.node.tls else None
        link = entity.associate(
            self.node.host,
            self.node.port,
            contexts=list(contexts),
            ae_title=self.node.aet,
            ext_neg=list(roles),
            evt_handlers=list(handlers),
            tls_args=tls,
        )
        if not link.is_established:
            why = "refuses our AE title or its own" if link.is_rejected else "ended the association at once"
            raise Unavailable(
                f"'{self.node.name}' {why}. Have '{self.node.calling}' entered there as a known modality, and check aet, "
                f"port{' and tls' if not self.node.tls else ''} of the archive."
            )
        try:
            yield link
        finally:
            if link.is_established:
                link.release()

    def _reach(self) -> None:
        """That somebody listens; pynetdicom does not say why nobody does."""
        try:
            socket.create_connection((self.node.host, self.node.port), timeout=CONNECT_S).close()
        except TimeoutError:
            raise Unavailable(
                f"'{self.node.name}' does not take a connection within {CONNECT_S:.0f} s. Is it up, and can this machine "
                "reach it?"
            ) from None
        except OSError as error:
            raise Unavailable(unreached(self.node.name, error)) from None

    def _settle(self, status: Any, what: str) -> None:
        """Go on after a final status, or say why not."""
        if not status:
            raise Unavailable(
                f"'{self.node.name}' hung up or stopped answering during {what}. Nothing was kept; call it again. If it stays "
                f"so, '{self.node.calling}' may not be entered there as a known modality."
            )
        code = int(status.Status)
        if code == _DONE or (code >> 12 == 0xB and what == "C-STORE"):  # stored, with a remark
            return
        raise Unavailable(
            f"'{self.node.name}' did not complete {what} (DICOM status {code:04X}H). Ask whoever runs it whether "
            f"'{self.node.calling}' may do that."
        )


class _Polling:
    """`select.select` for pynetdicom, whose own refuses file descriptors past 1023: a server of many callers has more."""

    @staticmethod
    def select(
        reading: Sequence[socket.socket], writing: Sequence[Any], odd: Sequence[Any], timeout: float
    ) -> tuple[list[socket.socket], list[Any], list[Any]]:
        """The sockets that may be read, within seconds; the other lists are empty, as pynetdicom's are."""
        del writing, odd
        poll = select.poll()
        for one in reading:
            poll.register(one, select.POLLIN)
        ready = {number for number, _ in poll.poll(timeout * 1000)}
        return [one for one in reading if one.fileno() in ready], [], []


def _verification() -> Any:
    return _context("1.2.840.10008.1.1", _SYNTAXES[:2])


def _context(abstract: str, syntaxes: Sequence[str]) -> Any:
    from pynetdicom import build_context

    return build_context(abstract, list(syntaxes[:_MOST_SYNTAXES]))


def _dataset(level: str, asked: Mapping[str, str]) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in asked.items():
        setattr(made, keyword, value or None)
    return made
