"""The fuzzers start, and tell how; what they find in an hour is no part of the suite."""

import subprocess
import sys

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, "-m", *arguments), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["tools.fuzz.parsers", "tools.fuzz.api"])
def test_help_tells_what_is_fuzzed_and_for_how_long(command: str) -> None:
    told = run(command, "--help")
    assert told.returncode == 0
    for word in ("--minutes", "--folder", "--seed", "extra `fuzz`", "Exit status 1"):
        assert word in told.stdout
