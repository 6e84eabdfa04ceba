"""Every knob can be turned, from the environment and from the command line, and says what it is."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from app.settings import Settings, WrongSettings, read_settings


def test_every_setting_is_described_with_its_unit() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        for ending, unit in (("_bytes", "bytes"), ("_timeout", "seconds"), ("_seconds", "seconds"), ("size", "pixels")):
            if name.endswith(ending):
                assert unit in field.description, name


def test_the_environment_turns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_MAX_FILE_BYTES", "5")
    monkeypatch.setenv("IMPASTO_CORS_ORIGINS", "https://a.example, https://b.example")
    settings = Settings()
    assert settings.max_file_bytes == 5
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_FILE_BYTES", "0"),
        ("REQUEST_TIMEOUT", "nan"),
        ("ENGINE", "abacus"),
        ("DEVICE", "cuda:x"),
        ("PORT", "70000"),
    ],
)
def test_a_senseless_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"IMPASTO_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize(
    ("written", "meant"), [("/impasto", "/impasto"), ("/impasto/", "/impasto"), ("a/b/", "/a/b"), ("/", "")]
)
def test_a_root_path_is_taken_as_operators_write_it(written: str, meant: str) -> None:
    assert Settings(root_path=written).root_path == meant


@pytest.mark.parametrize("written", ["https://site.example/impasto", "/a?b", "/a b", "/a//b"])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="root_path"):
        Settings(root_path=written)


def test_what_is_given_wins_over_the_environment_and_every_fault_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMPASTO_PORT", "1")
    monkeypatch.setenv("IMPASTO_THREADS", "3")
    settings = read_settings(port="2", host=None)
    assert (settings.port, settings.threads, settings.host) == (2, 3, "127.0.0.1")
    monkeypatch.setenv("IMPASTO_THREADS", "many")
    with pytest.raises(WrongSettings) as caught:
        read_settings(port="70000")
    message = str(caught.value)
    assert "\n" not in message
    assert "port (IMPASTO_PORT): Input should be less than or equal to 65535; found '70000'" in message
    assert "threads (IMPASTO_THREADS): Input should be a valid integer" in message


def test_serve_help_lists_each_with_its_variable_and_default() -> None:
    command = (sys.executable, "-m", "app", "serve", "--help")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = " ".join(text.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in words
        assert f"IMPASTO_{name.upper()}" in words
        if isinstance(field.default, int | float):
            assert f"IMPASTO_{name.upper()}; default: {field.default}" in words
