"""On another device everything is as on the CPU, and nothing mixes the two."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("pretended_device.py")
ROUNDING = 1e-12


def printed(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_operation_on_two_devices_is_noticed():
    assert printed("--mixed") == [{"noticed": True}]


def test_every_row_is_as_on_the_cpu():
    found = {row["row"]: row for row in printed()}
    assert len(found) > 30
    raised = {name: row["error"] for name, row in found.items() if "error" in row}
    assert not raised
    assert {
        name: row["difference"] for name, row in found.items() if row["difference"] > ROUNDING
    } == {}
