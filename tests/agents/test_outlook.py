"""What is the outlook: masks are measured, the record goes by name, and every number cites its call."""

import json

from ostensor.tools.desk.desk import Desk

from ..tools.prognosis.test_predicting import KIDNEY, placed
from .conftest import Question
from .test_ask import tools_of


def test_the_outlook_measures_the_named_masks_and_predicts_from_them(question: Question, desk: Desk) -> None:
    image_id, tumour, kidney = placed(desk)
    answered = question(f"What is the outlook with {tumour} and {kidney}?", images=[image_id], ehr=json.dumps(KIDNEY))
    assert tools_of(answered) == ["measure", "predict_prognosis"]
    asked = answered.calls[-1]["arguments"]
    assert asked == {"ehr": "@ehr", "image_id": image_id, "mask_ids": [tumour, kidney]}
    assert answered.reply is not None
    assert answered.reply.kind == "answer"
    assert f"{504 * 0.7 / 1000:.2f}" in answered.text, "the tumour's volume by hand"
    assert "C-index" in answered.text
    assert answered.removed == ()
    cited = {cite.call_id for statement in answered.reply.statements for cite in statement.cites}
    assert cited == {call["call_id"] for call in answered.calls}


def test_the_outlook_segments_what_the_question_names_first(question: Question) -> None:
    """The toy knows a liver and no liver tumour; a liver is no tumour, so the tool says what is missing."""
    answered = question("What is the outlook with this liver?", ehr=json.dumps(KIDNEY))
    assert tools_of(answered)[:2] == ["segment", "measure"]
    assert tools_of(answered)[-1] == "predict_prognosis"
    assert answered.reply is not None
    assert answered.reply.kind == "refusal"


def test_a_record_alone_is_enough_and_none_is_asked_for(question: Question) -> None:
    answered = question("What is the prognosis?", images=[], ehr=json.dumps(KIDNEY))
    assert tools_of(answered) == ["predict_prognosis"]
    assert "C-index" in answered.text
    asked_back = question("What is the prognosis?", images=[])
    assert asked_back.reply is not None
    assert asked_back.reply.kind == "question"
    assert "--ehr" in asked_back.text
