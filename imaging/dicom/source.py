"""What written DICOM must say about the scan it belongs to: patient, study and the UIDs of every slice.

Kept in the store beside the voxels, never in a result. A scan that was no DICOM gets a study made
up from its handle, so that the same scan always has the same one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import BadCall
from ..guards.withheld import withhold_header_values
from ..volume import Modality

# Patient and study modules, frame of reference: what a derived object shares with its source (PS3.3 A.51, A.19).
_KEPT = (
    "SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID",
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator", "Modality", "PatientPosition",
)  # fmt: skip
# Elements that tell patients and their studies apart.
_WHO = ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")
_PATIENT = {"PatientID": "00100020", "PatientBirthDate": "00100030", "PatientSex": "00100040"}
_ISSUER = "00100021"
_CLASSES: dict[str, str] = {  # what a made-up source claims to be; SOP classes of PS3.4 B.5
    "ct": "1.2.840.10008.5.1.4.1.1.2",
    "mr": "1.2.840.10008.5.1.4.1.1.4",
    "pet": "1.2.840.10008.5.1.4.1.1.128",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CODES = {"ct": "CT", "mr": "MR", "pet": "PT"}


@dataclass(frozen=True)
class Instance:
    """One slice as stored: its object, and its frame in it (from 1; 0 in a single-frame object)."""

    sop_class: str
    sop_uid: str
    frame: int = 0


@dataclass(frozen=True)
class DicomSource:
    """The source of a volume.

    Attributes:
        study: elements all derived objects share, in DICOM's JSON form.
        instances: one per z of the volume, in its order.
        made_up: True when the scan was no DICOM and these identifiers are ours.
    """

    study: Mapping[str, Any]
    instances: tuple[Instance, ...]
    made_up: bool = False

    @property
    def header(self) -> Any:
        """The shared elements as a data set of pydicom, without those whose values break DICOM's rules."""
        import pydicom  # loads slowly

        withhold_header_values()
        found = pydicom.Dataset()
        for tag, element in self.study.items():
            with contextlib.suppress(ValueError, TypeError, KeyError):  # what scanners and anonymisers write
                found.update(pydicom.Dataset.from_json({tag: element}))
        return found

    @property
    def fingerprint(self) -> str:
        """sha256 hex of all of it: the same files again give the same, another patient's copy another one."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_one_patient(headers: Sequence[Any]) -> None:
    """Refuse slices of several patients or studies: written files would carry whichever came first.

    Raises:
        BadCall: an element that tells patients apart differs; it is named, its values are not.
    """
    differing = [k for k in _WHO if len({str(header.get(k, "") or "").strip() for header in headers}) > 1]
    if differing:
        raise BadCall(
            f"Slices of one series differ in {', '.join(differing)}. A scan belongs to one patient and one study. "
            "Give the folder of one of them; an anonymised copy and its original do not go together."
        )


def differing_patient(one: DicomSource | None, other: DicomSource | None) -> tuple[str, ...] | None:
    """Elements in which two scans name different patients; () when they agree, None when that is not known.

    Compared are patient ID (unless two issuers gave it), birth date, and sex where both say M or F. The values never
    leave this function.
    """
    if one is None or other is None or one.made_up or other.made_up:
        return None
    differing, compared = [], 0
    for keyword, tag in _PATIENT.items():
        values = [_word(source, tag) for source in (one, other)]
        issuers = {_word(source, _ISSUER) for source in (one, other)} - {""}
        if keyword == "PatientID" and len(issuers) > 1:
            continue
        if keyword == "PatientSex" and not set(values) <= {"m", "f"}:
            continue
        if all(values):
            compared += keyword != "PatientSex"
            differing += [keyword] if values[0] != values[1] else []
    return tuple(differing) if differing or compared else None


def _word(source: DicomSource, tag: str) -> str:
    values = source.study.get(tag, {}).get("Value") or [""]
    return str(values[0]).strip().casefold()


def source_of(header: Any, instances: Sequence[Instance]) -> DicomSource:
    """What a scan read from DICOM shares with objects made from it."""
    import pydicom
    from pydicom.uid import generate_uid

    kept = pydicom.Dataset()
    for keyword in _KEPT:
        if keyword in header:
            kept[keyword] = header[keyword]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not kept.get(keyword):
            setattr(kept, keyword, generate_uid(entropy_srcs=[keyword, *(i.sop_uid for i in instances)]))
    return DicomSource(kept.to_json_dict(suppress_invalid_tags=True), tuple(instances))


def made_up_source(name: str, slices: int, modality: Modality) -> DicomSource:
    """A study for a scan that was no DICOM; the same `name` always gets the same UIDs."""
    import pydicom
    from pydicom.uid import generate_uid

    def uid(*words: object) -> str:
        return str(generate_uid(entropy_srcs=["ostensor", name, *(str(word) for word in words)]))

    header = pydicom.Dataset()
    header.PatientName, header.PatientID, header.PatientIdentityRemoved = "Anonymous^", f"ostensor-{name}", "YES"
    header.DeidentificationMethod = "The scan was no DICOM; no identity is known"
    header.Modality = _CODES.get(modality, "OT")
    header.StudyInstanceUID, header.SeriesInstanceUID = uid("study"), uid("series")
    header.FrameOfReferenceUID = uid("frame of reference")
    sop_class = _CLASSES.get(modality, _SECONDARY_CAPTURE)
    instances = tuple(Instance(sop_class, uid("slice", z)) for z in range(slices))
    return DicomSource(header.to_json_dict(), instances, made_up=True)
