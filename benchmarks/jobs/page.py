"""The table of the jobs, and its place in the documentation."""

from __future__ import annotations

import re

from ..machine import described
from .jobs import JOBS, Cost, Done, costs_before, do

_START, _END = "<!-- jobs -->", "<!-- end of jobs -->"


def run() -> str:
    """Do the jobs and answer the table."""
    return table([do(job) for job in JOBS])


def table(done: list[Done]) -> str:
    """Markdown: each job now and before."""
    before = costs_before()
    lines = [
        "| | job | right | calls | tokens | before: calls | tokens | lacked |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n, one in enumerate(done, start=1):
        right = f"{sum(check.holds for check in one.checks)} of {len(one.checks)}"
        cells = [
            str(n),
            one.job.title,
            right,
            str(one.cost.calls),
            str(one.cost.tokens),
            *_old(before.get(one.job.name)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    both = [one for one in done if one.job.name in before and not before[one.job.name].lacks]
    calls, tokens = sum(one.cost.calls for one in done), sum(one.cost.tokens for one in done)
    lines.append(f"| | all sixteen | {sum(one.is_right for one in done)} of {len(done)} | {calls} | {tokens} | | | |")
    shared = [(one.cost.tokens, before[one.job.name].tokens) for one in both]
    now, then = sum(a for a, _ in shared), sum(b for _, b in shared)
    lines += [
        "",
        f"The {len(both)} jobs that could be done wholly before: {then} tokens then, {now} now. {described()}.",
    ]
    return "\n".join(lines)


def _old(cost: Cost | None) -> list[str]:
    return ["not possible", "", ""] if cost is None else [str(cost.calls), str(cost.tokens), cost.lacks]


def with_table(text: str, made: str) -> str:
    """A page with the table between its marks exchanged."""
    return re.sub(f"{_START}.*?{_END}", lambda _: f"{_START}\n{made}\n{_END}", text, flags=re.DOTALL)
