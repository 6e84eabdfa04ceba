"""The file of keys: what is written can be read, what is not sound stops the start, and a change is heard."""

import hashlib
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.access.addresses import network, network_of
from app.access.clients import Client
from app.access.keys import Keys, KeysError
from app.cli import main

DIGEST = hashlib.sha256(b"a secret").hexdigest()


def added(file: Path, *words: str) -> str:
    """What `impasto keys add` prints."""
    run = CliRunner().invoke(main, ("keys", "add", *words), env={"IMPASTO_API_KEYS_FILE": str(file)})
    assert run.exit_code == 0, run.output
    return run.output.strip()


def test_a_key_is_shown_once_and_kept_as_its_hash_with_its_limits(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    gallery, shop = added(file, "gallery"), added(file, "shop", "--requests", "600", "--megapixels", "0")
    assert gallery not in file.read_text()
    assert len(gallery) > 40 < len(shop)
    keys = Keys(file, requests=60, megapixels=100)
    assert keys.client(gallery) == Client("gallery", True, 60, 100)
    assert keys.client(shop) == Client("shop", True, 600, None)
    assert keys.client(gallery + "x") is None
    assert keys.client("ключ\udc80") is None


def test_a_name_is_given_once_and_has_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    added(file, "gallery")
    before = file.read_text()
    for name, text in (("gallery", "already"), ("a b", "no name"), ("../x", "no name")):
        run = CliRunner().invoke(main, ("keys", "add", name, "--file", str(file)))
        assert run.exit_code == 1
        assert text in run.output
    assert file.read_text() == before


@pytest.mark.parametrize(
    "line",
    [
        "gallery",
        "gallery short",
        f"gal/lery {DIGEST}",
        f"gallery {DIGEST} requests",
        f"gallery {DIGEST} requests=1.5",
        f"gallery {DIGEST} megapixels=inf",
        f"gallery {DIGEST} bytes=1",
        f"first {DIGEST}",
    ],
)
def test_a_line_that_is_not_sound_is_told_without_what_it_holds(tmp_path: Path, line: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# keys\n\nfirst {DIGEST}\n{line}\n")
    with pytest.raises(KeysError, match="line 4") as told:
        Keys(file, None, None)
    assert DIGEST not in str(told.value)


def test_a_change_is_heard_and_one_that_is_not_sound_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    first = added(file, "first")
    keys = Keys(file, None, None)
    second = added(file, "second")
    assert keys.client(second) == Client("second", True)
    sound = file.read_text()
    for broken in ("first\n", None):
        caplog.clear()
        file.write_text(broken) if broken else file.unlink()
        assert keys.client(first)
        assert keys.client(second)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
    file.write_text("".join(line for line in sound.splitlines(keepends=True) if not line.startswith("first")))
    assert keys.client(first) is None
    assert keys.client(second)


def test_addresses_of_one_household_are_one() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("unknown") == "unknown"
    assert network("10.1.2.3/8") == "10.0.0.0/8"
    with pytest.raises(ValueError, match="expected an address or a network"):
        network("proxy.example")
