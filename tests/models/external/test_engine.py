"""engine.toml: what is written is read again, what a hand spoils is named, and nothing of it brings the catalogue down."""

import itertools
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall, OstensorError, Unavailable
from ostensor.models import catalogue
from ostensor.models.external import shelf
from ostensor.models.external.card import card_of, cards, measured_of
from ostensor.models.external.engine import Class, Engine, read_engine, write_engine
from ostensor.models.external.hosted import host

ODD = 'a "quoted" \\ back\tslash\nline \x7f \x01 \u2028 é 肝臓 🫁 \'\'\' """ # [table] = {x}'
FULL = Engine(
    "toy.full", "command", ODD, where="venv", python="/opt/py thon/bin/python", folder="/data/ü", url="http://127.0.0.1:1",
    key_env="KEY", files={"a b/ü.pth": "0" * 64, 'odd".pt': "1" * 64},
    classes=(Class(ODD, (1,), "liver"), Class("both lungs", (2, 3)), Class("spleen", (300,), "spleen")),
    modalities=("ct", "mr"), dimensions=(2, 3), channels=("T1", ODD), orientation="PIR", orientation_from="checked",
    device="cuda:1", memory_mb=123, licence=ODD, licence_source=ODD, purpose="any", trust_code=True, network=True,
    prefer=("liver", "*"),
    options={"template": ODD, "folds": ["0", "1"], "nested": {"a": [1, 2.5, True], ODD: {"b": "c"}}, "much": 1e300, "endless": float("inf")},
)  # fmt: skip


@pytest.mark.parametrize("engine", [Engine("a", "command", ""), FULL])
def test_what_is_written_is_read_again(engine: Engine) -> None:
    text = write_engine(engine)
    assert read_engine(text) == engine
    raw = tomllib.loads(text)  # the standard library's reader is the oracle of the writing
    assert raw["title"] == engine.title
    assert raw["options"] == dict(engine.options)
    assert [row["label"] for row in raw.get("classes", [])] == [one.label for one in engine.classes]


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("where = 'cloud'", "where = 'cloud'"), ("accepts = 'mind'", "accepts"), ("purpose = 'commercial'", "purpose"),
        ("modalities = ['ct', 'x-ray']", "x-ray"), ("modalities = []", "modalities"), ("modalities = 'ct'", "modalities"),
        ("dimensions = [4]", "dimensions has 4"), ("dimensions = []", "dimensions"), ("channels = []", "channels"),
        ("orientation = 'RAR'", "'RAR'"), ("orientation = 'RASL'", "orientation"), ("orientation = 'ras'", "orientation"),
        ("orientation = ''", "orientation"), ("orientation = 3", "orientation"), ("orientation_from = 'hope'", "orientation_from"),
        ("memory_mb = 'much'", "memory_mb"), ("memory_mb = -5", "memory_mb"), ("memory_mb = true", "memory_mb"),
        ("trust_code = 'no'", "trust_code"), ("network = 1", "network"), ("folder = 3", "folder"), ("title = []", "title"),
        ("options = 'x'", "options"), ("files = ['a']", "files"), ("prefer = 'liver'", "prefer"), ("colour = 'red'", "colour"),
        ("channels = [1]", "channels"), ("classes = 'x'", ""), ("classes = [{label = 'x'}]", "values"),
        ("classes = [{label = 'x', values = 3}]", ""), ("classes = [{label = 'x', values = ['1']}]", "x"),
        ("classes = [{label = 'x', values = [-1]}]", "x"), ("classes = [{label = 'x', values = []}]", "x"),
        ("classes = [{label = 7, values = [1]}]", "7"), ("classes = [{label = 'x', values = [1], structure = 4}]", "x"),
        ("files = {'../../other' = ''}", "../../other"), ("files = {'/etc/passwd' = ''}", "/etc/passwd"),
        ("files = {'a' = 3}", "files"), ("title = ", "no TOML"), (f"title = {'[' * 9000}", "TOML"),
        ("name = 'twice'", "no TOML"), ("options = {spacing_mm = [1, 2]}", "spacing_mm"), ("options = {spacing_mm = 'x'}", "spacing_mm"),
        ("memory_mb = nan", "memory_mb"),
    ],
)  # fmt: skip
def test_what_a_hand_spoils_is_named(line: str, fact: str) -> None:
    with pytest.raises(BadCall) as caught:
        read_engine(f"name = 'toy'\nadapter = 'command'\ntitle2 = ''\n{line}".replace("title2 = ''", "") if "title" in line
                    else f"name = 'toy'\nadapter = 'command'\ntitle = 't'\n{line}")  # fmt: skip
    assert fact in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_missing_key_is_named() -> None:
    with pytest.raises(BadCall, match="adapter"):
        read_engine("name = 'toy'\ntitle = 't'")


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "ASL", "ILP", "as-stored"])
def test_orientations_of_three_axes_are_taken(codes: str) -> None:
    assert Engine("a", "command", "", orientation=codes).orientation == codes


def test_values_of_canonical_names_and_own_labels() -> None:
    engine = replace(
        FULL, classes=(Class("Leber", (1,), "liver"), Class("liver tumour", (2, 4)), Class("Leber 2", (7,), "liver"))
    )
    assert engine.values_of("liver") == (1, 7)
    assert engine.values_of("Leber") == (1,)
    assert engine.values_of("liver tumour") == (2, 4)
    assert engine.values_of("spleen") == ()
    assert (engine.structures, engine.unresolved) == (("liver",), ("liver tumour",))


def test_the_shelf_adds_lists_and_removes(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "w.pth").write_bytes(b"abc")
    engine = shelf.add_engine(Engine("toy", "command", "t", folder=str(folder), files={"w.pth": ""}))
    assert (
        engine.files["w.pth"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )  # FIPS 180-2, "abc"
    assert shelf.engines() == (engine,)
    assert shelf.engine_of("toy") == engine
    shelf.check_files(engine)
    for name, code in (("toy", "Unknown"), ("nobody", "nobody")):
        if name == "nobody":
            with pytest.raises(BadCall, match=code):
                shelf.engine_of(name)
    (folder / "w.pth").write_bytes(b"abd")
    with pytest.raises(Unavailable, match=r"w\.pth.*engine_weights_changed"):
        shelf.check_files(engine)
    (folder / "w.pth").unlink()
    with pytest.raises(Unavailable, match=r"w\.pth.*engine_weights_missing"):
        shelf.check_files(engine)
    shelf.remove_engine("toy")
    assert shelf.engines() == ()
    assert folder.is_dir()
    with pytest.raises(BadCall, match="no engine"):
        shelf.remove_engine("toy")


@pytest.mark.parametrize(
    "name", ["", "..", "../up", "a/b", "/abs", "Big", "white space", ".hidden", "x" * 61, "é", "a\nb", "-x"]
)
def test_names_that_are_no_names_are_refused(name: str, home: Path) -> None:
    before = sorted(home.rglob("*"))
    with pytest.raises(BadCall):
        shelf.add_engine(Engine(name, "command", ""))
    with pytest.raises(BadCall):
        shelf.engine_of(name)
    with pytest.raises(BadCall):
        shelf.remove_engine(name)
    assert sorted(home.rglob("*")) == before


def test_a_name_of_a_model_of_ours_is_refused() -> None:
    ours = {card.name for card in catalogue.catalogue()}
    with pytest.raises(BadCall, match="already"):
        shelf.add_engine(Engine(sorted(ours)[0], "command", ""), ours.__contains__)


def test_an_entry_that_calls_itself_otherwise_is_no_entry(home: Path) -> None:
    """Else removing it would delete the folder of that other name."""
    precious = home / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for name in ("../../../precious", "other", "toy/../other"):
        folder = shelf.engines_folder() / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "engine.toml").write_text(write_engine(replace(Engine("x", "command", ""), name=name)))
        assert shelf.engines() == ()
        with pytest.raises(BadCall, match="toy"):
            shelf.engine_of("toy")
    shelf.remove_engine("toy")  # what cannot be read can still be removed
    assert not folder.exists()
    assert (precious / "thesis.txt").is_file()


def test_damaged_entries_bring_nothing_down(home: Path) -> None:
    shelf.save_engine(Engine("good", "command", "", classes=(Class("liver", (1,), "liver"),)))
    spoilt = {"a": b"\xff\xfe", "b": b"= 3", "c": b"name = 'c'", "d": b"x = " + b"[" * 100_000, "e": b"",
              "f": b"name='f'\nadapter='command'\ntitle=''\noptions={spacing_mm=[1]}"}  # fmt: skip
    for name, content in spoilt.items():
        (shelf.engines_folder() / name).mkdir()
        (shelf.engines_folder() / name / "engine.toml").write_bytes(content)
    (shelf.engines_folder() / "folder.toml" / "engine.toml").mkdir(parents=True)
    (shelf.engines_folder() / "link").mkdir()
    (shelf.engines_folder() / "link" / "engine.toml").symlink_to("/nowhere/at/all")
    assert [engine.name for engine in shelf.engines()] == ["good"]
    assert shelf.state()
    for name in spoilt:
        with pytest.raises(BadCall):
            shelf.engine_of(name)
    for content in (
        "{",
        "[]",
        "3",
        '{"a": 3}',
        '{"a": {"liver": "x"}}',
        '{"a": {"liver": NaN}}',
        '{"a": {"liver": 7}}',
        "[" * 9000,
    ):
        (shelf.engines_folder() / "good" / "measured.json").write_text(content)
        catalogue.forget_cards()
        assert catalogue.card("good").measured == {}, content
    shelf.keep_measured("good", "case", {"liver": 0.5})
    assert json.loads((shelf.engines_folder() / "good" / "measured.json").read_text()) == {"case": {"liver": 0.5}}


def test_what_cannot_be_written_down_is_refused(home: Path) -> None:
    for odd in ("\udcff", None):
        with pytest.raises(OstensorError):
            shelf.add_engine(Engine("toy", "command", "t", options={"x": odd}))
        assert shelf.engines() == ()


def test_measured_is_the_mean_with_students_interval() -> None:
    """Three Dices 0.80, 0.86, 0.89: mean 0.85, deviation sqrt(0.0042/2), t(2) 4.303: 0.85 -+ 4.303*0.045826/sqrt(3)."""
    found = measured_of({"a": {"liver": 0.80}, "b": {"liver": 0.86, "spleen": 0.7}, "c": {"liver": 0.89}})
    assert found["liver"].dice == pytest.approx(0.85)
    assert found["liver"].low == pytest.approx(0.85 - 0.113848, abs=1e-5)
    assert found["liver"].high == pytest.approx(0.85 + 0.113848, abs=1e-5)
    assert found["liver"].cases == 3
    assert (found["spleen"].low, found["spleen"].high, found["spleen"].cases) == (0.0, 1.0, 1)


def test_the_card_tells_what_is_known(home: Path) -> None:
    card = card_of(replace(FULL, folder="/nowhere/at/all"), {"case": {"liver": 0.7}})
    assert (card.fidelity, card.weights, card.licence, card.channels) == ("external", "engine", ODD, ("T1", ODD))
    assert not card.is_ready  # its folder is not there
    assert card.measured["liver"].dice == 0.7
    assert card.is_preferred("anything at all")
    assert "both lungs" in card.claimed
    assert "nothing it claims was measured" in card.notes
    assert "assumed" in card_of(replace(FULL, orientation_from="assumed")).notes
    assert card_of(Engine("a", "voxtell", "", accepts="text")).open_text
    assert card_of(Engine("a", "nninteractive", "", accepts="clicks")).task == "refine"
    shelf.save_engine(Engine("one", "command", ""))
    assert [one.name for one in cards()] == ["one"]


def test_preferences_and_measures_change_the_state(home: Path) -> None:
    states = [shelf.state()]
    shelf.save_engine(Engine("one", "command", ""))
    states.append(shelf.state())
    shelf.save_engine(Engine("one", "command", "", prefer=("liver",)))
    states.append(shelf.state())
    shelf.keep_measured("one", "case", {"liver": 0.5})
    states.append(shelf.state())
    shelf.remove_engine("one")
    states.append(shelf.state())
    assert all(a != b for a, b in itertools.pairwise(states))


def test_an_entry_laid_out_by_hand_says_the_same(home: Path) -> None:
    shelf.save_engine(FULL)
    file = shelf.engines_folder() / FULL.name / "engine.toml"
    lines = file.read_text().split("\n")
    file.write_text("\n".join(["# mine", *(line.replace(" = ", "   =   ", 1) for line in lines), "", ""]))
    assert shelf.is_current(FULL, file)
    assert not shelf.is_current(replace(FULL, prefer=()), file)
    file.write_text("x")
    assert not shelf.is_current(FULL, file)
    shelf.remove_engine(FULL.name)
    assert not shelf.is_current(FULL, file)


def test_the_words_with_which_an_engine_leaves_are_not_told() -> None:
    """`sys.exit("Cannot read /scans/DOE^JANE")` names a patient; a number names nobody."""
    assert host.told(SystemExit("Cannot read /scans/DOE^JANE"))["text"] == "The engine wanted to end."
    assert host.told(SystemExit(3))["text"] == "The engine wanted to end with status 3."
