"""Options of `serve` that say how a server is watched."""

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.commands.options import wants_traces
from ostensor.imaging.errors import BadCall


def test_figures_need_an_address(tmp_path: object) -> None:
    done = CliRunner().invoke(app, ["serve", "--metrics", "--store", str(tmp_path), "--root", str(tmp_path)])
    assert isinstance(done.exception, BadCall)
    assert "ostensor top" in str(done.exception)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "ostensor"}, False),
    ],
)
def test_spans_are_sent_where_the_standard_variables_name_a_place(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert wants_traces() is wanted
