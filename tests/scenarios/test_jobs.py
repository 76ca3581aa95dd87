"""Sixteen everyday jobs through an MCP client: results against truths from elsewhere, calls and tokens within their budget.

The truths are bodies whose sides are known, nibabel, highdicom, and numbers worked out in the stories (`benchmarks/jobs`).
"""

import json
from pathlib import Path

import pytest

from ostensor.benchmarks.jobs.assistant import Check
from ostensor.benchmarks.jobs.jobs import JOBS, Cost, Done, Job, budgets, costs_before, do
from ostensor.benchmarks.jobs.page import table, with_table
from ostensor.imaging.errors import Failed


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_is_done_right_and_costs_no_more_than_its_budget(job: Job) -> None:
    """A budget may only grow in a commit that says why."""
    done = do(job)
    assert [check for check in done.checks if not check.holds] == []
    assert len(done.checks) >= 1
    budget = budgets()[job.name]
    assert done.cost.calls <= budget.calls
    assert done.cost.tokens <= budget.tokens, "see what it reads: the answers have grown"
    assert done.cost.tokens >= 0.85 * budget.tokens, "the answers have become short: lower the budget"


def test_every_job_has_a_budget_and_was_counted_before() -> None:
    names = [job.name for job in JOBS]
    assert len(set(names)) == 16
    assert sorted(budgets()) == sorted(names)
    assert set(costs_before()) < set(names), "some were not possible"


def test_a_wrong_result_is_seen() -> None:
    assert Check("volume, ml", 10.4, 10.0, 0.5).holds
    assert not Check("volume, ml", 10.6, 10.0, 0.5).holds
    assert not Check("volume, ml", None, 10.0, 0.5).holds
    assert not Check("names", ["liver"], ["spleen"]).holds


def test_a_refused_call_ends_a_job_and_is_no_result() -> None:
    with pytest.raises(Failed, match=r"import_mask: .*nothing\.nii\.gz"):
        do(Job("", lambda a: a.check("", a.call("import_mask", path="nothing.nii.gz", image_id="img_000000000000"), 1)))


def test_what_a_model_reads_is_counted_text_and_compact_json() -> None:
    """The list of an empty folder, counted by hand."""
    said: list[str] = []

    def look(a: object) -> None:
        result = a.call("list_files")  # type: ignore[attr-defined]  # a story takes an Assistant
        said.extend([a.told, json.dumps(result, separators=(",", ":"))])  # type: ignore[attr-defined]  # the same

    cost = do(Job("", look)).cost
    assert cost == Cost(1, round(sum(map(len, said)) / 4))


def test_the_table_stands_in_the_documentation_with_the_cost_of_each_job() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for job in JOBS:
        row = next(line for line in text.splitlines() if f"| {job.title} |" in line)
        cells = [cell.strip() for cell in row.split("|")]
        budget, old = budgets()[job.name], costs_before().get(job.name)
        assert int(cells[4]) == budget.calls
        assert int(cells[5]) <= budget.tokens <= 1.2 * int(cells[5])
        assert cells[6:8] == (["not possible", ""] if old is None else [str(old.calls), str(old.tokens)])


def test_only_the_table_of_a_page_is_exchanged() -> None:
    done = [Done(JOBS[0], (Check("", 1, 1), Check("", 1, 2)), Cost(2, 300))]
    page = with_table("before\n<!-- jobs -->\nold\n<!-- end of jobs -->\nafter", table(done))
    assert page.startswith("before\n<!-- jobs -->\n| |")
    assert page.endswith("<!-- end of jobs -->\nafter")
    assert "| 1 of 2 | 2 | 300 | 2 | 305 |" in page
    assert "old" not in page.replace("folder", "")
