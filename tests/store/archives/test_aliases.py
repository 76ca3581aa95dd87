"""Aliases of studies, and folders on their way: kept, shared, private, and gone when they must be."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.imaging.guards.machine import machine
from ostensor.store.archives.aliases import Aliases
from ostensor.store.archives.downloads import MOST_FILES, Meter, private_download
from ostensor.store.archives.found import known_words, series_of, study_of

UIDS = [f"1.2.840.999.{number}" for number in range(50)]


def test_an_alias_means_its_uid_in_every_process_of_a_store(tmp_path: Path) -> None:
    first, second = Aliases(tmp_path), Aliases(tmp_path)
    named = first.name("study", UIDS)
    assert len(set(named)) == len(UIDS)
    assert second.name("study", UIDS) == named == Aliases(tmp_path).name("study", UIDS)
    assert [second.uid("study", alias) for alias in named] == UIDS
    assert len((tmp_path / "names.jsonl").read_text(encoding="utf-8").splitlines()) == len(UIDS)


def test_an_alias_tells_nothing_of_its_uid_and_is_another_one_elsewhere(tmp_path: Path) -> None:
    one, other = Aliases(tmp_path / "a"), Aliases(tmp_path / "b")
    assert one.name("study", UIDS[:1]) != other.name("study", UIDS[:1])
    assert one.name("study", UIDS[:1])[0].partition("_")[2] != one.name("series", UIDS[:1])[0].partition("_")[2]


def test_a_uid_is_taken_as_it_is_and_an_unknown_alias_is_refused(tmp_path: Path) -> None:
    assert Aliases(tmp_path).uid("series", "1.2.3") == "1.2.3"
    with pytest.raises(BadCall, match="No study is known as 'study_0123456789ab'"):
        Aliases(tmp_path).uid("study", "study_0123456789ab")


def test_a_line_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    aliases, (alias,) = Aliases(tmp_path), Aliases(tmp_path / "x").name("study", ["1.2.3"])
    with (tmp_path / "names.jsonl").open("w", encoding="utf-8") as file:
        file.write(f'["{alias}", "1.')
        file.flush()
        with pytest.raises(BadCall):
            aliases.uid("study", alias)
        file.write('2.3"]\n')
    assert aliases.uid("study", alias) == "1.2.3"


def test_a_download_leaves_nothing_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, running, foreign = (
        tmp_path / f"{place}-{pid}-x" for place, pid in ((machine(), gone.pid), (machine(), os.getpid()), ("0" * 12, 1))
    )
    for folder in (left, running, foreign):
        folder.mkdir()
        (folder / "1.dcm").write_bytes(b"x")

    def fail() -> None:
        with private_download(tmp_path) as folder:
            (folder / "2.dcm").write_bytes(b"y")
            assert folder.stat().st_mode & 0o777 == 0o700
            assert sorted(tmp_path.iterdir()) == sorted((running, foreign, folder))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sorted(tmp_path.iterdir()) == sorted((running, foreign))
    os.utime(foreign, (time.time() - 2 * 86_400,) * 2)
    with private_download(tmp_path):
        assert not foreign.exists()


def test_time_ends_a_download() -> None:
    now = [0.0]
    meter = Meter("toy", 100, seconds=10, clock=lambda: now[0])
    meter.add_bytes(50)
    now[0] = 11
    with pytest.raises(Unavailable, match="not done after 10 s"):
        meter.add_bytes(1)


def test_instances_without_end_are_refused() -> None:
    meter = Meter("toy", 10**9)
    for _ in range(MOST_FILES):
        meter.add_file()
    with pytest.raises(BadCall, match=f"more than {MOST_FILES} instances"):
        meter.add_file()


def test_of_a_description_only_words_of_the_list_are_told() -> None:
    assert known_words("CT ABDOMEN, Herr Secret 4711, portal_venous 3D") == "ct abdomen portal venous 3d"
    assert known_words("head of Mr Head", "Head^Peter") == "mr"


def test_odd_answers_of_an_archive_are_passed_over() -> None:
    assert study_of({}) is None
    assert study_of({"0020000D": {"vr": "UI", "Value": ["../../etc"]}}) is None
    assert series_of({"0020000E": {"vr": "UI", "Value": [None]}}) is None
    study = study_of(
        {
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "00080020": {"vr": "DA", "Value": ["born 19560203"]},
            "00080061": {"vr": "CS", "Value": ["CT", "Secret^Name", None]},
            "00201206": {"vr": "IS", "Value": ["many"]},
            "00081030": "no element",
        }
    )
    assert study is not None
    assert (study.modalities, study.year, study.series, study.words) == (("CT",), "", None, "")
