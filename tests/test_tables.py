"""Every row of every table names something that is there, so that a string cannot rot."""

import inspect

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.formats.table import FORMATS, Format, loaded
from ostensor.models.backbones.table import backbone
from ostensor.models.catalogue import catalogue
from ostensor.models.systems import SYSTEMS, System, system_of
from ostensor.tools.desk.tool import Tool
from ostensor.tools.registry import TOOLS
from ostensor.training.objective import Objective
from ostensor.training.regimes.row import Lesson, ObjectiveRow
from ostensor.training.regimes.table import OBJECTIVES, objective_row
from ostensor.training.runs import RUNS, RunKind


@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: row.name)
def test_a_system_loads_and_what_users_bring_is_converted(row: System) -> None:
    code = row.code()
    assert not row.cards or list(inspect.signature(code.load).parameters) == ["card", "path", "how"]
    assert row.cards or row.parity or row.lacks or row.name == "external", (
        "a row is a model, or what is held against official outputs, or says why it is neither"
    )
    assert not (row.lacks and (row.cards or row.parity))
    assert not row.files or list(inspect.signature(code.convert).parameters) == ["card", "files"]
    assert not row.parity or list(inspect.signature(code.reproduce).parameters) == ["fixture"]
    assert all(system_of(card) is row for card in row.cards)


def test_every_card_belongs_to_one_system() -> None:
    assert {card.name for card in catalogue()} == {card.name for row in SYSTEMS for card in row.cards}


@pytest.mark.parametrize("row", RUNS, ids=lambda row: row.name)
def test_a_kind_of_run_has_its_functions(row: RunKind) -> None:
    code = row.code()
    for name, given in (
        ("read", ["given"]),
        ("fit", ["run", "folders", "how"]),
        ("evaluate", ["run", "folders", "how"]),
        ("export", ["run", "measured", "folders"]),
    ):
        found = list(inspect.signature(getattr(code, name)).parameters)
        assert len(found) == len(given), f"{row.name}.{name}{found}"


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_a_format_names_what_reads_and_writes_it(row: Format) -> None:
    assert all(callable(loaded(place)) for place in (row.read, row.write) if place)
    if row.masks:
        module = loaded(row.masks)
        assert callable(module.write_masks)
        assert callable(module.read_masks)


@pytest.mark.parametrize("row", TOOLS, ids=lambda row: row.name)
def test_a_tool_has_a_function_and_a_summary(row: Tool) -> None:
    assert callable(row.function)
    assert inspect.getdoc(row.function)


@pytest.mark.parametrize("row", OBJECTIVES, ids=lambda row: row.name)
def test_an_objective_is_made_from_a_lesson(row: ObjectiveRow) -> None:
    made = row.objective(Lesson({"liver": (1,), "spleen": (2,)}, ("heart",), {}))
    assert isinstance(made, Objective)
    assert objective_row(row.name) is row


def test_what_is_not_in_a_table_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadCall, match=r"Unknown backbone 'unte'. Closest: 'unet'"):
        backbone("unte")
    with pytest.raises(BadCall, match=r"Unknown objective 'supervise'. Closest: 'supervised'"):
        objective_row("supervise")
    with pytest.raises(BadCall, match=r"Unknown option of 'unet' 'feature'. Closest: 'features'"):
        backbone("unet").build(2, 1, 2, {"feature": (2, 2)})
    with pytest.raises(BadCall, match=r"Unknown preset of 'unet' 'papr'. Closest: 'paper'"):
        backbone("unet").build(2, 1, 2, {"preset": "papr"})
    with pytest.raises(BadCall, match="make no 'unet'"):
        backbone("unet").build(2, 1, 2, {"features": ()})
    with pytest.raises(BadCall, match="takes 2 or 3 dimensions, not 4"):
        backbone("unet").build(4, 1, 2, {"features": (2, 2)})
