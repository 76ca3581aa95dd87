"""What a question asks for: words that single something out are never dropped on the way to a structure's name."""

import pytest

from ostensor.agents.offline.intents import understand


@pytest.mark.parametrize(
    "question",
    [
        "Segment the widest part of the aorta",
        "Show me the largest vessel in front of the spine",
        "Outline the larger of the two kidneys",
        "Find the bone above the liver",
        "Where is the leftmost organ beside the spleen?",
        "Segment the tip of the spleen",
        "Measure the longest bone near the aorta",
        "Segment the roundest part of the liver",
    ],
)
def test_what_singles_out_is_left_to_the_reader_of_descriptions(question: str) -> None:
    task = understand(question)
    assert (task.kind, task.description) == ("describe", question)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Segment the liver and both kidneys", "segment"),
        ("How large is the liver?", "measure"),
        ("Segment the left kidney on the chest CT", "segment"),
        ("Segment the abdominal aorta", "segment"),
        ("Show the anterior hippocampus", "render"),
        ("Which side is the spleen on? Segment it.", "segment"),
        ("Is the portal vein visible?", "segment"),
    ],
)
def test_names_alone_stay_names(question: str, kind: str) -> None:
    assert understand(question).kind == kind
