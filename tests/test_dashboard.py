"""Optuna's own dashboard shows a study of ours."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from .extras import needs
from .study_runs import search

needs("optuna_dashboard")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _fetched(url, patience=30.0):
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_the_dashboard_shows_the_study(tmp_path):
    result, port = search(tmp_path / "s.db"), _free_port()
    program = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    storage = f"sqlite:///{tmp_path}/s.db"
    server = subprocess.Popen([sys.executable, "-c", program, storage, "--port", str(port)])
    try:
        page = _fetched(f"http://127.0.0.1:{port}/dashboard")
        assert "<title>Optuna Dashboard</title>" in page
        listed = json.loads(_fetched(f"http://127.0.0.1:{port}/api/studies"))
        summaries = listed.get("study_summaries", listed)
        assert [study["study_name"] for study in summaries] == ["nongreedy"]
        number = summaries[0]["study_id"]
        detail = json.loads(_fetched(f"http://127.0.0.1:{port}/api/studies/{number}"))
        values = [trial.get("values") for trial in detail["trials"]]
        assert len(values) == len(result.history) + 1
        assert float(values[-1][0]) == result.validation_loss
    finally:
        server.terminate()
        server.wait()
