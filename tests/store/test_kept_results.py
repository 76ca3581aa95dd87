"""Steps of long work in the store: they outlive it, and the latest counts."""

from pathlib import Path

from ostensor.store.shared import Shared
from ostensor.store.store import Store


def test_a_kept_step_outlives_the_store_and_is_replaced(tmp_path: Path, shared: Shared) -> None:
    key, other = "a" * 64, "b" * 64
    store = Store(tmp_path / "store", shared=shared)
    assert store.kept_result(key) is None
    store.keep_result(key, {"rows": [1, 2.5, None]})
    store.keep_result(other, {"rows": []})
    store.keep_result(key, {"rows": ["x"]})
    again = Store(tmp_path / "store", shared=shared)
    assert again.kept_result(key) == {"rows": ["x"]}
    assert again.kept_result(other) == {"rows": []}


def test_a_store_of_an_earlier_version_gets_the_table(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE results")
    again = Store(tmp_path / "store")
    again.keep_result("c" * 64, {"done": True})
    assert again.kept_result("c" * 64) == {"done": True}
