"""An answer is reused where nothing it depends on has changed, and looked for again everywhere else.

Whether a network was asked is told by the worker process: a desk that never needed one has none.
"""

from dataclasses import replace

import pytest

from ostensor.models import catalogue
from ostensor.tools.desk.desk import Answer, Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.reuse import answers, program
from ostensor.tools.running import use
from ostensor.tools.segmenting import segmentation
from ostensor.tools.segmenting.planning import plan


def asked(settings: Settings, **arguments: object) -> tuple[Answer, bool]:
    """The answer of a new desk (as of a new process), and whether it needed a worker for it."""
    with Desk(settings) as desk:
        image_id = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
        given = {"image_id": image_id, "structures": ["liver", "spleen"], **arguments}
        return use(desk, "segment", **given), desk.has_workers


def test_a_new_process_answers_the_same_from_the_store(settings: Settings) -> None:
    first, looked = asked(settings)
    again, looked_again = asked(settings)
    assert (looked, looked_again) == (True, False)
    assert (again.text, again.result) == (first.text, first.result)


def test_the_job_and_the_audit_log_are_as_of_any_call(settings: Settings) -> None:
    asked(settings)
    asked(settings)
    with Desk(settings) as desk:
        jobs = [(job.tool, job.state) for job in desk.store.jobs()]
        lines = (desk.store.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert jobs == [("segment", "done")] * 2
    assert sum('"segment"' in line for line in lines) == 2


@pytest.mark.parametrize(
    "other", [{"structures": ["liver"]}, {"structures": ["spleen", "liver"]}, {"structures": ["hepar", "spleen"]}]
)
def test_another_question_is_looked_at(settings: Settings, other: dict[str, object]) -> None:
    asked(settings)
    assert asked(settings, **other)[1]


def test_who_asks_to_look_again_is_not_answered_from_the_store(settings: Settings) -> None:
    first, _ = asked(settings)
    again, looked = asked(replace(settings, reuse=False))
    assert looked
    assert again.result == first.result


def test_a_desk_for_another_purpose_looks_itself(settings: Settings) -> None:
    asked(settings)
    assert asked(replace(settings, purpose="commercial"))[1]


def test_other_weights_are_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(settings)
    exchanged = [replace(entry, sha256=entry.sha256 and "1" * 64) for entry in catalogue.ENTRIES]
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(exchanged))
    catalogue.forget_cards()
    assert asked(settings)[1]
    # the toy worker goes on to say "000…": what was looked at with weights that nobody meant is not kept
    assert asked(settings)[1]


@pytest.mark.parametrize("unknown", [{"sha256": ""}, {"weights": "engine", "facts": {"is_here": True}}])
def test_a_model_without_a_hash_of_all_it_is_made_of_is_asked_each_time(
    desk: Desk, image_id: str, monkeypatch: pytest.MonkeyPatch, unknown: dict[str, object]
) -> None:
    changed = [replace(entry, **unknown) if entry.name == "toy-ct" else entry for entry in catalogue.ENTRIES]
    known = segmentation._about(desk, plan(desk, image_id, ["liver"], "toy-ct"), "", ())
    assert known is not None
    assert known.weights["toy-ct"] == "0" * 64
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(changed))
    catalogue.forget_cards()
    assert segmentation._about(desk, plan(desk, image_id, ["liver"], "toy-ct"), "", ()) is None


def test_another_program_looks_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(settings)
    monkeypatch.setattr(answers, "program_key", lambda: "another")
    assert asked(settings)[1]


def test_a_mask_that_is_gone_is_made_again(settings: Settings) -> None:
    """Whether its file vanished under a running server, or an earlier start has forgotten it for that."""
    first, _ = asked(settings)
    found = first.result.model_dump()
    gone = found["masks"][0]["mask_id"]
    with Desk(settings) as desk:
        desk.store.arrays.mask_path(desk.store.mask_record(gone).content_hash).unlink()
        again = use(desk, "segment", image_id=found["image_id"], structures=["liver", "spleen"])
        assert desk.has_workers
        assert again.result == first.result
        assert desk.store.mask(gone).array.any()
        desk.store.arrays.mask_path(desk.store.mask_record(gone).content_hash).unlink()
    with Desk(settings) as desk:
        assert any(gone in line for line in desk.store.repairs)
    again, looked = asked(settings)
    assert looked
    assert again.result == first.result


def test_a_damaged_mask_is_made_again(settings: Settings) -> None:
    first, _ = asked(settings)
    damaged = first.result.model_dump()["masks"][0]["mask_id"]
    with Desk(settings) as desk:
        path = desk.store.arrays.mask_path(desk.store.mask_record(damaged).content_hash)
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes(12) + content[-8:])
    again, looked = asked(settings)
    assert looked
    assert again.result == first.result
    with Desk(settings) as desk:
        assert desk.store.mask(damaged).array.any()


def test_what_was_answered_about_an_image_is_forgotten_with_it(settings: Settings) -> None:
    first, _ = asked(settings)
    with Desk(settings) as desk:
        desk.store.remove_image(first.result.model_dump()["image_id"])
        with desk.store.engine.connect() as connection:
            assert connection.exec_driver_sql("select count(*) from results").scalar() == 0
    assert asked(settings)[1]


def test_an_answer_that_cannot_be_read_is_looked_for_again(settings: Settings) -> None:
    first, _ = asked(settings)
    with Desk(settings) as desk, desk.store.writing() as connection:
        connection.exec_driver_sql("""update results set value = '{"masks": 5}'""")
    again, looked = asked(settings)
    assert looked
    assert again.result == first.result


def test_all_models_are_reused_one_by_one(several: Settings) -> None:
    """`model='all'` is put together anew out of what each of them found."""
    first, looked = asked(several, structures=["liver"], model="all")
    again, looked_again = asked(several, structures=["liver"], model="all")
    assert (looked, looked_again) == (True, False)
    assert again.result == first.result


def test_another_processor_is_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    before = program.program_key()
    monkeypatch.setattr(program, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert program.program_key() != before


def test_a_desk_seen_otherwise_has_the_workers_of_the_first(desk: Desk) -> None:
    """Whoever asks first, and neither waits for the other."""
    other = desk.looking_again()
    assert other.workers.devices == desk.workers.devices
    assert desk.seen_with(("core",)).workers._processes is desk.workers._processes
