"""The ledger: what a citation bears out, and what it does not. Results are written by hand."""

import pytest

from ostensor.agents.ledger import check, without
from ostensor.agents.reply import Cite, Reply, Statement

RESULTS = {
    "c1": {
        "masks": [
            {
                "structure": "left kidney",
                "mask_id": "msk_a1",
                "verdict": "present",
                "volume_ml": 12.345,
                "side": "left",
            },
            {"structure": "liver", "mask_id": "msk_b2", "verdict": "absent", "volume_ml": 1500.0, "confidence": 0.93},
        ]
    },
    "c2": {"intensity": {"unit": "HU", "mean": 55.2}, "answer": "3 findings: 1 supported."},
    "c3": {
        "values": [
            {"quantity": "difference", "value": -43.2, "unit": "ml", "low_90": -79.0, "high_90": -4.5},
            {"quantity": "asymmetry", "value": 33.7, "unit": "%"},
            {"quantity": "mean", "value": -100.0, "unit": "HU"},
        ]
    },
}


def problems(text: str, *cites: tuple[str, str], kind: str = "answer") -> list[str]:
    statement = Statement(text=text, cites=[Cite(call_id=c, handle=h) for c, h in cites])
    return [problem.reason for problem in check(Reply(kind=kind, statements=[statement]), RESULTS)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "cites"),
    [
        ("The left kidney is present, 12.3 ml.", [("c1", "msk_a1")]),
        ("It has 12.345 ml.", [("c1", "")]),
        ("Confidence 93 %.", [("c1", "msk_b2")]),
        ("Mean 55 HU.", [("c2", "")]),
        ("Of 3 findings, 1 is supported.", [("c2", "")]),
        ("Two structures were looked for.", [("c1", "")]),
        ("2 structures were found.", [("c1", "msk_a1"), ("c1", "msk_b2")]),
        ("It is larger by 43.2 ml (90 % interval 4.5 to 79 ml).", [("c3", "")]),
        ("That is 33.7 %.", [("c3", "")]),
        ("See msk_12345.", []),
        ("T1 images were used.", []),
    ],
)
def test_claims_that_the_results_bear_out(text: str, cites: list[tuple[str, str]]) -> None:
    assert problems(text, *cites) == []


@pytest.mark.parametrize(
    ("text", "cites", "reason"),
    [
        ("It has 12.4 ml.", [("c1", "msk_a1")], "altered"),
        ("It has 12.3 mm.", [("c1", "msk_a1")], "altered"),
        ("It has 1500 ml.", [("c1", "msk_a1")], "altered"),
        ("The right kidney.", [("c1", "msk_a1")], "altered"),
        ("It is unsure.", [("c1", "msk_a1")], "altered"),
        ("It has 100 HU.", [("c3", "")], "altered"),
        ("Its grade is 2.", [("c1", "msk_a1"), ("c1", "msk_b2")], "altered"),
        ("A 90 % interval.", [("c1", "")], "altered"),
        ("Seven structures were looked for.", [("c1", "")], "altered"),
        ("It has 12.3 ml.", [], "uncited"),
        ("The liver is absent.", [], "uncited"),
        ("It has 12.3 ml.", [("c9", "")], "unknown call"),
        ("It has 12.3 ml.", [("c1", "msk_zz")], "unknown handle"),
    ],
)
def test_claims_that_they_do_not(text: str, cites: list[tuple[str, str]], reason: str) -> None:
    assert reason in problems(text, *cites)


def test_a_question_back_claims_no_side_but_its_numbers_count() -> None:
    assert problems("Do you mean the left or the right kidney?", kind="question") == []
    assert problems("Is it 12 ml?", kind="question") == ["uncited"]


def test_what_is_not_borne_out_is_taken_out_and_said() -> None:
    good, bad = Statement(text="Hello."), Statement(text="It has 5 ml.")
    reply = Reply(kind="answer", statements=[good, bad])
    left = without(reply, check(reply, RESULTS))
    assert left.text == "Hello. One statement was left out, because no tool result bears it out."


def test_words_of_the_question_may_be_quoted_and_no_others() -> None:
    """What a person wrote is no claim of ours as long as it stands in quotation marks, word by word."""
    said = Statement(text="“EF 35%” was written.", cites=[Cite(call_id="c1")])
    reply = Reply(kind="answer", statements=[said])
    assert check(reply, RESULTS, "Is EF 35% right?") == []
    assert [problem.claim for problem in check(reply, RESULTS, "Is EF 45% right?")] == ["35"]
    assert check(
        reply.model_copy(update={"statements": [said.model_copy(update={"text": "It is 35 %."})]}), RESULTS, "EF 35%?"
    )
