"""What counts as a right verdict, and how the table counts."""

import pytest

from ostensor.benchmarks.accuracy.verdicts import Outcome, is_right, table


@pytest.mark.parametrize(
    ("shown", "verdict", "dice", "right"),
    [
        ("whole", "present", 0.9, True),
        ("whole", "unsure", 0.9, False),
        ("whole", "unsure", 0.2, True),
        ("partly", "absent", None, False),
        ("not", "present", None, False),
        ("not", "unsure", None, False),
        ("not", "absent", None, True),
        ("not", "outside_view", None, True),
        ("sliver", "present", 0.9, None),
        ("whole", "unsupported", None, None),
    ],
)
def test_a_verdict_is_right_or_wrong_as_documented(
    shown: str, verdict: str, dice: float | None, right: bool | None
) -> None:
    assert is_right(shown, verdict, dice) is right


def test_unsure_is_right_of_what_is_not_there_where_nobody_told_the_kind_of_scan() -> None:
    assert is_right("not", "unsure", None, told=False)
    assert not is_right("not", "present", None, told=False)
    assert not is_right("whole", "unsure", 0.9, told=False)


def test_the_table_counts_by_scan_and_by_model() -> None:
    def one(shown: str, verdict: str, right: bool, fault: bool = False) -> Outcome:
        return Outcome("s", "cut", "liver", "torso", shown, verdict, 0.9, None, right, fault)

    made = table([one("whole", "present", True), one("whole", "absent", False), one("not", "present", False, True)])
    assert "| cut | whole | 2 | 50.0 | 1 | 0 | 1 | 0 | 0 | 0 |" in made
    assert "| cut | not | 1 | 0.0 | 1 | 0 | 0 | 0 | 1 | 0 |" in made
    assert "| torso | in view | 2 | 50.0 | 1 | 0 | 1 | 0 | 0 | 0 |" in made
