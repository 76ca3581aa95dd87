"""The program is known by its files."""

from pathlib import Path

import pytest

from ostensor.models.inference import code


def test_a_changed_an_added_and_a_renamed_file_each_give_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code.resources, "files", lambda name: tmp_path)
    (tmp_path / "models" / "deep").mkdir(parents=True)
    file = tmp_path / "models" / "deep" / "sat.py"

    def key(*libraries: str) -> str:
        return code.code_key.__wrapped__(("models",), libraries)

    keys = [key()]
    file.write_text("a = 1", encoding="utf-8")
    keys.append(key())
    file.write_text("a = 2", encoding="utf-8")
    keys.append(key())
    file = file.rename(file.with_name("sax.py"))
    keys += [key(), key("numpy"), key("no-such-library")]
    assert len(set(keys)) == 6
    (tmp_path / "models" / "sat.pyc").write_bytes(b"1")
    (tmp_path / "models" / "sat.safetensors").write_bytes(b"1")
    (tmp_path / "elsewhere.py").write_text("a = 3", encoding="utf-8")
    assert key() == keys[3]
