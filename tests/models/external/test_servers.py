"""Clients of engines' servers against servers of ours that misbehave; what is right is drawn by the slow, obvious way."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bands
import numpy as np
import pytest
from engine_servers import KEY, Clicking, Fault, Reading, drawn, served

from ostensor.imaging.errors import BadCall, Failed, OstensorError, Unavailable
from ostensor.imaging.volume import Volume
from ostensor.models.external import shelf
from ostensor.models.external.card import card_of
from ostensor.models.external.engine import Engine, read_engine, write_engine
from ostensor.models.external.orientation import every_turn
from ostensor.models.external.predictor import load
from ostensor.models.external.servers import http, nninteractive, voxtell
from ostensor.models.interface import Cancelled, Prompt, Running

from .conftest import oblique

POINTS = [Prompt("point", at=(5, 6, 7)), Prompt("point", at=(9, 6, 7)), Prompt("point", False, at=(6, 5, 6))]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)


@pytest.fixture(autouse=True)
def closed(key: None) -> Iterator[None]:
    """Every client of a test is closed after it."""
    yield
    while HELD:
        HELD.pop().close()


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Clicking, Reading]]:
    with served(Clicking()) as clicking, served(Reading()) as reading:
        yield clicking, reading


@pytest.fixture
def clicking(sites: tuple[Clicking, Reading]) -> Clicking:
    sites[0].forget()
    return sites[0]


@pytest.fixture
def reading(sites: tuple[Clicking, Reading]) -> Reading:
    sites[1].forget()
    return sites[1]


def engine_of(site: Any, **options: Any) -> Engine:
    described = (nninteractive if isinstance(site, Clicking) else voxtell).describe(
        None, {"url": site.url, "key_env": "TOY_KEY", **options}
    )
    site.calls.clear()
    return shelf.add_engine(described)


HELD: list[Any] = []


def client_of(engine: Engine) -> Any:
    card = card_of(engine)
    HELD.append(load(card, Path(card.weights_file), Running(threads=1)))
    return HELD[-1]


def scan() -> Volume:
    return Volume(bands.band_scan(), oblique(), "ct")


def click(client: Any, prompts: list[Prompt], key: str = "scan", **changes: Any) -> Any:
    quiet: dict[str, Any] = {"progress": lambda share, message: None, "cancelled": lambda: False, **changes}
    return client.click(scan(), key, prompts, **quiet)


def read(
    client: Any, words: list[str], key: str = "scan", cancelled: Callable[[], bool] = lambda: False, volume: Volume | None = None
) -> dict[str, Any]:  # fmt: skip
    found, _ = client.look([volume or scan()], key, words, progress=lambda share, message: None, cancelled=cancelled)
    return {one.structure: one.array for one in found}


def truth_of(prompts: list[Prompt]) -> Any:
    log = [(one.array if one.array is not None else one.box or one.at, one.positive) for one in prompts]
    return drawn(scan().grid.shape, log) > 0


def test_what_a_server_tells_of_itself_is_taken_down(clicking: Clicking, reading: Reading) -> None:
    engine = engine_of(clicking)
    assert (engine.licence, engine.accepts, engine.purpose) == ("CC BY-NC-SA 4.0", "clicks", "research-only")
    assert engine.options["interactions"]["bbox3d"] is False
    assert engine_of(reading).accepts == "text"
    with pytest.raises(BadCall, match="no server of VoxTell"):
        voxtell.describe(None, {"url": clicking.url, "key_env": "TOY_KEY"})
    with pytest.raises(BadCall, match="no server of nnInteractive"):
        nninteractive.describe(None, {"url": reading.url, "key_env": "TOY_KEY"})


def test_clicks_make_the_mask_and_only_new_ones_are_sent(clicking: Clicking) -> None:
    client = client_of(engine_of(clicking))
    for count in (1, 2, 3):
        assert np.array_equal(click(client, POINTS[:count]), truth_of(POINTS[:count]))
    assert clicking.calls.count("/add_point_interaction") == 3
    assert clicking.calls.count("/set_image") == 1
    assert np.array_equal(clicking.image[0], scan().array)
    assert np.array_equal(click(client, POINTS[:2]), truth_of(POINTS[:2]))
    assert clicking.calls[-1] == "/undo"
    assert np.array_equal(click(client, POINTS[1:]), truth_of(POINTS[1:]))
    assert "/reset_interactions" in clicking.calls
    client.close()
    assert clicking.released == 1


def test_every_kind_of_prompt_arrives(clicking: Clicking) -> None:
    client = client_of(engine_of(clicking))
    array = np.zeros(scan().grid.shape, bool)
    array[3:6, 4, 5] = True
    for prompt in (Prompt("box", box=((2, 9), (3, 8), (4, 5))), Prompt("scribble", array=array), Prompt("lasso", False, array=array)):  # fmt: skip
        first = Prompt("point", at=(4, 4, 5))
        assert np.array_equal(click(client, [first, prompt]), truth_of([first, prompt])), prompt.kind
    with pytest.raises(BadCall, match="bbox3d"):
        click(client, [Prompt("box", box=((2, 9), (3, 8), (4, 6)))])
    with pytest.raises(BadCall, match="takes no text"):
        click(client, [Prompt("text", words="liver")])
    for wrong in (Prompt("point", at=(28, 0, 0)), Prompt("point", at=(1, 2)), Prompt("box", box=((3, 3), (0, 1), (0, 1))),
                  Prompt("scribble", array=array[:-1]), Prompt("lasso", array=np.zeros_like(array))):  # fmt: skip
        with pytest.raises(BadCall):
            click(client, [wrong])


@pytest.mark.parametrize("path", ["/add_point_interaction", "/set_image", "/undo"])
def test_a_session_given_away_is_claimed_anew_and_the_clicks_are_played_again(clicking: Clicking, path: str) -> None:
    client = client_of(engine_of(clicking))
    click(client, POINTS)
    clicking.faults[path] = Fault("410", 1)
    wanted = {"/add_point_interaction": [*POINTS, POINTS[0]], "/set_image": POINTS, "/undo": POINTS[:2]}[path]
    found = click(client, wanted, key="other" if path == "/set_image" else "scan")
    assert np.array_equal(found, truth_of(wanted))
    assert clicking.claims == 2


def test_a_session_that_is_given_away_for_ever_is_told(clicking: Clicking) -> None:
    client = client_of(engine_of(clicking))
    clicking.faults["/add_point_interaction"] = Fault("410")
    with pytest.raises(Unavailable, match="engine_lease_lost"):
        click(client, POINTS)
    assert clicking.claims == 2
    clicking.faults.clear()
    assert np.array_equal(click(client, POINTS), truth_of(POINTS))


@pytest.mark.parametrize("kind", ["truncated", "oversized", "other shape", "garbage", "outside", "negative box", "odd box", "damaged meta", "500"])  # fmt: skip
def test_after_a_bad_answer_to_a_click_the_next_one_is_right_again(clicking: Clicking, kind: str) -> None:
    """The server has the click, we have not its answer: what was sent is not trusted any more."""
    client = client_of(engine_of(clicking))
    click(client, POINTS[:1])
    clicking.faults["/add_point_interaction"] = Fault(kind, 1)
    if kind == "oversized":  # what follows the last piece is not looked at
        assert np.array_equal(click(client, POINTS[:2]), truth_of(POINTS[:2]))
        return
    with pytest.raises(Failed, match=r"engine_geometry_broken|engine_crashed"):
        click(client, POINTS[:2])
    other = Prompt("point", at=(20, 15, 3))
    assert np.array_equal(click(client, [POINTS[0], other]), truth_of([POINTS[0], other]))


def test_a_cancel_between_clicks_loses_none(clicking: Clicking) -> None:
    client = client_of(engine_of(clicking))
    told: list[float] = []
    with pytest.raises(Cancelled):
        click(client, POINTS, progress=lambda share, message: told.append(share), cancelled=lambda: len(told) > 1)
    assert np.array_equal(click(client, POINTS), truth_of(POINTS))


FAULTS = [("401", "engine_unreachable"), ("503", r"17 s.*engine_busy"), ("500", "engine_crashed"), ("422", "engine_unsupported"),
          ("redirect", "engine_unreachable"), ("no json", "engine_crashed"), ("a list", "engine_crashed")]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"), [*FAULTS, ("404", "engine_lease_lost"), ("nothing in it", "engine_unsupported")]
)
def test_faults_when_a_session_is_claimed(clicking: Clicking, kind: str, code: str) -> None:
    client = client_of(engine_of(clicking))
    clicking.faults["/claim"] = Fault(kind)
    with pytest.raises(OstensorError, match=code):
        click(client, POINTS)
    clicking.faults.clear()
    assert np.array_equal(click(client, POINTS), truth_of(POINTS))


@pytest.mark.parametrize(("kind", "code"), [*FAULTS, ("404", "engine_unsupported"), ("410", "engine_"), ("nothing in it", "engine_unsupported")])  # fmt: skip
def test_faults_when_a_server_is_added(clicking: Clicking, reading: Reading, kind: str, code: str) -> None:
    for site in (clicking, reading):
        site.faults["/capabilities"] = Fault(kind)
        with pytest.raises(OstensorError, match=code):
            engine_of(site)


def test_words_become_masks_however_the_scan_is_stored(reading: Reading) -> None:
    client = client_of(engine_of(reading))
    whole = scan()
    truth = bands.band_labels(whole.array)
    for number, turn in enumerate(every_turn()):
        stored = Volume(turn.of(whole.array), turn.grid(whole.grid), "ct")
        found = read(client, ["liver", "spleen"], f"scan{number}", volume=stored)
        assert np.array_equal(turn.back(found["liver"]), truth == 1), turn
        assert np.array_equal(turn.back(found["spleen"]), truth == 2), turn


def test_what_is_known_is_not_asked_again(reading: Reading) -> None:
    client = client_of(engine_of(reading))
    first = read(client, ["liver"])
    again = read(client, ["liver", "spleen"])
    assert np.array_equal(first["liver"], again["liver"])
    assert [job["prompts"] for job in reading.jobs.values()] == [["liver"], ["spleen"]]
    assert reading.calls.count("/images") == 1
    read(client, ["spleen", "liver"])
    assert len(reading.jobs) == 2


def test_a_scan_without_a_key_is_never_taken_for_the_one_before(reading: Reading) -> None:
    """The same scan stored backwards along x: its band lies where the mirrored array has it, not where it lay before."""
    client = client_of(engine_of(reading))
    mirrored = Volume(np.ascontiguousarray(scan().array[::-1]), scan().grid, "ct")
    first = read(client, ["liver"], key="")["liver"]
    second = read(client, ["liver"], key="", volume=mirrored)["liver"]
    assert first.any()
    assert np.array_equal(second, first[::-1])
    assert not np.array_equal(second, first)


@pytest.mark.parametrize("times", [1, -1])
def test_a_scan_the_server_forgot_is_sent_again_once(reading: Reading, times: int) -> None:
    client = client_of(engine_of(reading))
    read(client, ["liver"])
    reading.images.clear()
    if times == 1:
        assert read(client, ["spleen"])["spleen"].any()
        assert reading.calls.count("/images") == 2
        return
    reading.faults["/jobs"] = Fault("404")
    with pytest.raises(Unavailable, match="engine_lease_lost"):
        read(client, ["spleen"])


@pytest.mark.parametrize("path", ["/images", "/jobs", "/events", "/result"])
@pytest.mark.parametrize(("kind", "code"), [*FAULTS, ("410", "engine_"), ("nothing in it", "engine_")])
def test_faults_of_a_server_that_reads_text(reading: Reading, path: str, kind: str, code: str) -> None:
    client = client_of(engine_of(reading))
    reading.faults[path] = Fault(kind, 3)
    if (path, kind) == ("/events", "nothing in it"):  # an event that says nothing
        assert read(client, ["liver"])["liver"].any()
        return
    with pytest.raises(OstensorError, match="engine_") as caught:
        read(client, ["liver"])
    if kind in ("401", "503", "500", "422", "redirect"):
        assert caught.match(code)
    assert "secret" not in str(caught.value)
    reading.faults.clear()
    assert read(client, ["liver"])["liver"].any()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/result", "truncated"), ("/result", "other shape"), ("/result", "garbage"), ("/result", "oversized"), ("/images", "other shape"),
     ("/images", "odd shape"), ("/images", "no name"), ("/events", "no lines")],
)  # fmt: skip
def test_answers_that_are_not_what_was_asked_are_refused(reading: Reading, path: str, kind: str) -> None:
    client = client_of(engine_of(reading))
    reading.faults[path] = Fault(kind)
    with pytest.raises(OstensorError, match=r"engine_geometry_broken|engine_crashed|engine_unsupported"):
        read(client, ["liver"])


@pytest.mark.parametrize("kind", ["blank", "odd numbers"])
def test_odd_lines_of_progress_harm_nothing(reading: Reading, kind: str) -> None:
    client, told = client_of(engine_of(reading)), list[float]()
    reading.faults["/events"] = Fault(kind)
    found, _ = client.look(
        [scan()], "", ["liver"], progress=lambda share, message: told.append(share), cancelled=lambda: False
    )
    assert found[0].array.any()
    assert all(0 <= share <= 1 for share in told)


def test_a_line_without_end_is_left(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(engine_of(reading))
    reading.faults["/events"] = Fault("endless line")
    with pytest.raises(Failed, match="engine_crashed"):
        read(client, ["liver"])


def test_a_stream_that_ends_early_is_taken_up_again(reading: Reading) -> None:
    client = client_of(engine_of(reading))
    reading.faults["/events"] = Fault("ends early", 2)
    assert read(client, ["liver"])["liver"].any()
    assert reading.calls.count("/events") == 3


@pytest.mark.parametrize("kind", ["slow", "silent"])
@pytest.mark.parametrize("refusal", ["", "404", "500"])
def test_a_cancel_ends_a_job_and_reaches_the_server(reading: Reading, kind: str, refusal: str) -> None:
    client = client_of(engine_of(reading))
    reading.faults["/events"] = Fault(kind)
    reading.faults["/cancel"] = Fault(refusal)
    with pytest.raises(Cancelled):
        read(client, ["liver"], cancelled=lambda: "/events" in reading.calls)
    assert reading.called_off.is_set()
    assert reading.calls.count("/images") == 1
    reading.faults.clear()
    assert read(client, ["liver"])["liver"].any()


def test_words_the_server_does_not_know_are_named(reading: Reading) -> None:
    client = client_of(engine_of(reading))
    with pytest.raises(BadCall, match=r"'livr'.*Near: liver") as caught:
        read(client, ["livr"])
    assert "secret" not in str(caught.value)


def test_an_answer_larger_than_it_can_be_is_left_before_it_is_kept(
    clicking: Clicking, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(engine_of(clicking))
    monkeypatch.setattr(http, "MOST_BYTES", 1 << 20)
    clicking.faults["/add_point_interaction"] = Fault("oversized")
    with pytest.raises(Failed, match="engine_geometry_broken"):
        click(client, POINTS)


def test_a_redirect_is_not_followed_and_no_key_goes_elsewhere(clicking: Clicking) -> None:
    client = client_of(engine_of(clicking))
    with served(Reading()) as other:
        clicking.elsewhere = f"{other.url}/capabilities"
        clicking.faults["/claim"] = Fault("redirect")
        with pytest.raises(Unavailable, match="elsewhere"):
            click(client, POINTS)
        assert other.calls == []
        assert other.seen_keys == set()


def test_the_key_comes_from_the_environment_and_is_never_told(
    clicking: Clicking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    engine = engine_of(clicking)
    assert KEY not in write_engine(engine)
    for value in ("wrong-sekret", "", "sek\nret", "schlüssel-sekret"):
        monkeypatch.setenv("TOY_KEY", value)
        with pytest.raises(Unavailable, match=r"TOY_KEY.*engine_unreachable") as caught:
            click(client_of(engine), POINTS)
        assert "sek" not in str(caught.value)
    monkeypatch.delenv("TOY_KEY")
    with pytest.raises(Unavailable, match="TOY_KEY"):
        click(client_of(engine), POINTS)
    out = capfd.readouterr()
    assert not [text for text in (caplog.text, out.out, out.err) if "sekret" in text or "sek\n" in text]


@pytest.mark.parametrize(
    "url",
    ["http://example.org:1527", "http://192.168.1.4:1527", "http://localhost.example.org", "http://127.0.0.1@example.org",
     "http://[::ffff:8.8.8.8]:1", "ftp://127.0.0.1", "127.0.0.1:1527", "", "http://", "http://[::1", "http://127.0.0.1:99999",
     "http://127.0.0.1:port", "file:///etc/passwd", "http://127.0.0.1/?key=1", "http://0.0.0.0:1", "http://127.1:1", "http://2130706433",
     "http://exa mple", "http://127.0.0.1:1\n"],
)  # fmt: skip
def test_addresses_that_are_none_or_send_scans_in_the_open_are_refused(url: str) -> None:
    with pytest.raises(BadCall):
        nninteractive.describe(None, {"url": url})


def test_addresses_of_this_machine_and_of_networks_of_ones_own_are_taken() -> None:
    base = Engine("toy", "voxtell", "toy", where="http")
    for url, options in (("http://127.0.0.1:1", {}), ("http://[::1]:1/", {}), ("http://localhost:1", {}), ("https://example.org", {}),
                         ("http://10.0.0.4:1", {"plain_text": True})):  # fmt: skip
        http.check_url(replace(base, url=url, options=options))


def test_nobody_at_the_address_is_told(clicking: Clicking) -> None:
    engine = engine_of(clicking)
    away = shelf.add_engine(replace(engine, name="away", url="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match=r"Nobody answers.*engine_unreachable"):
        click(client_of(away), POINTS)


def test_a_changed_entry_is_noticed(reading: Reading) -> None:
    engine = engine_of(reading)
    client = client_of(engine)
    assert client.is_current()
    shelf.save_engine(replace(engine, memory_mb=123))
    assert not client.is_current()
    assert read_engine(write_engine(engine)) == engine
