"""The demo's page: a picture and a sentence first, then tables, then every call."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

from .told import Looked, Told

_NOTE = "Research software, not a medical device."


def page(scans: Sequence[Looked], calls: Sequence[Told], seconds: float) -> str:
    """One HTML file with its pictures inside, for light and dark screens of any width."""
    parts = [part for number, looked in enumerate(scans) for part in _scan(looked, first=number == 0)]
    checked = calls[-1]
    parts += ["<h2>A report held against the torso</h2>", _judgements(checked.result)]
    parts.append(f"<h2>Every call</h2><p>{len(calls)} calls through MCP in {seconds:.0f} s. {_NOTE}</p>")
    parts += [_call(call) for call in calls]
    frame = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return Template(frame).substitute(body="\n".join(parts))


def sentence(looked: Looked) -> str:
    """What was found, in one sentence."""
    told = []
    for row in looked.present:
        made = looked.made_ml.get(row["structure"])
        told.append(f"{row['structure']} {row['volume_ml']:.0f} ml" + (f" (made with {made:.0f})" if made else ""))
    if not told:
        return f"Nothing could be said to be present in {looked.name}."
    return f"Found by words in {looked.name}: {', '.join(told)}."


def _scan(looked: Looked, *, first: bool) -> list[str]:
    head = "h1" if first else "h2"
    picture = [_picture(looked.picture, f"What was found in {looked.name}")] if looked.picture else []
    return [
        *picture,
        f"<{head}>{html.escape(sentence(looked))}</{head}>",
        _verdicts(looked),
    ]


def _picture(png: bytes, alt: str) -> str:
    return f"<img alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{base64.b64encode(png).decode('ascii')}'>"


def _table(header: str, rows: list[str]) -> str:
    return "\n".join(["<div class='wide'><table>", header, *rows, "</table></div>"])


def _verdicts(looked: Looked) -> str:
    rows = []
    for row in looked.rows:
        shown = row["verdict"] == "present" and row["volume_ml"] is not None
        cut = " (cut by the edge)" if row["volume_is"] == "cut by the edge" else ""
        volume = f"{row['volume_ml']:.1f}{cut}" if shown else ""
        why = html.escape(" ".join([row["reason"], *row["warnings"]]).strip())
        verdict = row["verdict"].replace("_", " ")
        rows.append(
            f"<tr><td>{html.escape(row['structure'])}<td class='{row['verdict']}'>{verdict}<td class='num'>{volume}<td>{why}"
        )
    return _table("<tr><th>structure<th>verdict<th class='num'>volume, ml<th>why, and what to watch", rows)


def _judgements(result: dict[str, Any]) -> str:
    rows = []
    for row in result["findings"]:
        judged, why = row["judgement"], html.escape(" ".join(row["reasons"]))
        rows.append(
            f"<tr><td>{html.escape(row['sentence'])}<td class='{judged.split('_')[0]}'>{judged.replace('_', ' ')}<td>{why}"
        )
    link = "<p><a href='report_check/report.html'>The report with its slices and in 3-D</a></p>"
    return _table("<tr><th>sentence<th>judgement<th>why", rows) + link


def _call(call: Told) -> str:
    shown = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items() if name not in ("path", "folder"))
    pictures = "".join(_picture(png, call.tool) for png in call.pictures)
    asked = html.escape(f"{call.tool}({shown})")
    return f"<details><summary><code>{asked}</code> {call.seconds:.1f} s</summary><p>{html.escape(call.text)}</p>{pictures}</details>"
