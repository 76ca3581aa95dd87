"""What a question asks for: words that single something out are never dropped on the way to a structure's name."""

import pytest

from ostensor.agents.offline.asking.intents import understand


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
    ("question", "aspect"),
    [
        ("Segment the liver and both kidneys", "segment"),
        ("How large is the liver?", "size"),
        ("Segment the left kidney on the chest CT", "segment"),
        ("Segment the abdominal aorta", "segment"),
        ("Show the anterior hippocampus", "render"),
        ("Which side is the spleen on? Segment it.", "segment"),
        ("Is the portal vein visible?", "presence"),
        ("which kidney is larger?", "compare"),
        ("max diameter of the aorta", "diameter"),
        ("splenomegaly?", "enlarged"),
        ("nii of the liver", "export"),
    ],
)
def test_names_alone_stay_names(question: str, aspect: str) -> None:
    task = understand(question)
    assert task.kind == "work"
    assert task.asks(aspect)


@pytest.mark.parametrize(
    ("question", "structures"),
    [
        ("Which kidney is larger?", ("left kidney", "right kidney")),
        ("Is the right kidney smaller than the left?", ("right kidney", "left kidney")),
        ("L/R adrenal volume", ("left adrenal gland", "right adrenal gland")),
        ("spleeen voluem", ("spleen",)),
        ("kidny rite one how long", ("right kidney",)),
        ("Wie groß sind die Nieren?", ("left kidney", "right kidney")),
        ("volume du foie et de la rate svp", ("liver", "spleen")),
        ("¿Cuánto mide el riñón derecho?", ("right kidney",)),
        ("What is the heart rate of the liver patient?", ("heart", "liver")),
    ],
)
def test_pairs_slips_and_other_languages(question: str, structures: tuple[str, ...]) -> None:
    """A comparison has two sides; "rate" is the spleen in French and in no other language."""
    assert understand(question).structures == structures


def test_several_questions_keep_their_own_structures() -> None:
    wants = understand("liver volume, spleen length, left kidney HU and then export all three as nifti").wants
    assert [(want.structures, want.aspects) for want in wants] == [
        (("liver",), ("volume",)),
        (("spleen",), ("length",)),
        (("left kidney",), ("density",)),
        (("liver", "spleen", "left kidney"), ("export",)),
    ]


@pytest.mark.parametrize(
    ("earlier", "question", "structures", "aspect"),
    [
        ("show me the spleen", "and its volume?", ("spleen",), "volume"),
        ("attenuation of the left kidney?", "what about the other one?", ("right kidney",), "density"),
        ("show me the left kidney", "show the other kidney", ("right kidney",), "render"),
        ("What is the volume of the liver?", "and the spleen?", ("spleen",), "volume"),
        ("compare the left and right kidney", "Now both as one STL", ("left kidney", "right kidney"), "export"),
    ],
)
def test_pronouns_mean_what_was_asked_before(
    earlier: str, question: str, structures: tuple[str, ...], aspect: str
) -> None:
    task = understand(question, earlier=[earlier])
    assert task.structures == structures
    assert task.asks(aspect)


def test_small_talk_is_no_task_and_a_task_with_thanks_is_no_small_talk() -> None:
    assert understand("thanks!").kind == "talk"
    assert understand("thanks, now measure the liver").kind == "work"
