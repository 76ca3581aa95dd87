"""One patient's record from a FHIR server: `$everything`, page by page on the same host, as one Bundle.

Source: https://hl7.org/fhir/R4/patient-operation-everything.html and https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from ...imaging.errors import Unavailable
from .downloads import Meter
from .web import Web

_JSON = "application/fhir+json"
PAGE, MOST_PAGES, MOST_BYTES, MOST_SECONDS = 200, 100, 64 * 1024**2, 120.0  # our choice; a record has a few MB


class Fhir:
    """A node that speaks FHIR R4."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self.node = web.node

    def close(self) -> None:
        """Hang up."""
        self._web.close()

    def check(self) -> str:
        """That it says what it is, in a sentence."""
        told = self._web.get_json("metadata", _JSON)
        if not isinstance(told, Mapping) or told.get("resourceType") != "CapabilityStatement":
            raise Unavailable(f"'{self.node.name}' is no FHIR server: it has no CapabilityStatement. Check its url.")
        return f"'{self.node.name}' is a FHIR server."

    def everything(self, patient: str, meter: Meter) -> dict[str, Any]:
        """All resources about a patient, as one Bundle.

        Raises:
            BadCall: there is no such patient, or the record is too large.
            Unavailable: see `Web`; a page is no Bundle, or pages do not end.
        """
        path, params, seen = f"Patient/{patient}/$everything", {"_count": str(PAGE)}, set[str]()
        whole: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": []}
        for number in range(MOST_PAGES):
            meter.check()
            page = self._web.get_json(path, _JSON, params if not number else None, missing="such patient")
            if not isinstance(page, Mapping) or page.get("resourceType") != "Bundle":
                raise Unavailable(
                    f"'{self.node.name}' answered something that is no Bundle. Check that its url is FHIR's base."
                )
            entries = [one for one in page.get("entry") or [] if isinstance(one, Mapping)]
            meter.add_bytes(sum(len(str(one)) for one in entries))
            whole["entry"] += [self._here(one) for one in entries]
            whole.setdefault("timestamp", page.get("timestamp") or (page.get("meta") or {}).get("lastUpdated"))
            after = _next(page)
            if not after:
                return whole
            path = urljoin(self._web.url(path), after)
            if path in seen:
                break
            seen.add(path)
        raise Unavailable(
            f"The pages of '{self.node.name}' do not end after {number + 1}. Ask whoever runs the server."
        )

    def _here(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """An entry whose subject is written as the patient's is elsewhere: relative to the server."""
        resource = entry.get("resource")
        subject = resource.get("subject") if isinstance(resource, Mapping) else None
        base = f"{self.node.url.rstrip('/')}/"
        told = subject.get("reference") if isinstance(subject, Mapping) else None
        if not isinstance(resource, Mapping) or not isinstance(told, str) or not told.startswith(base):
            return entry
        return {**entry, "resource": {**resource, "subject": {"reference": told.removeprefix(base)}}}


def _next(page: Mapping[str, Any]) -> str:
    links = [one for one in page.get("link") or [] if isinstance(one, Mapping)]
    return next((str(one.get("url") or "") for one in links if one.get("relation") == "next"), "")
