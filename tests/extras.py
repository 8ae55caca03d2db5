"""What not every machine has: packages of the extras, and a PostgreSQL server."""

import contextlib
import glob
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile

import pytest

REQUIRED = os.environ.get("NONGREEDY_REQUIRE_EXTRAS") == "1"  # set by .ci/run


def needs(*packages):
    """Skip what uses them where they are absent; where all extras were installed, that fails."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            reason = f"{package} is not installed: pip install -c constraints.txt -e '.[ci]'"
            if REQUIRED:
                pytest.fail(reason)
            pytest.skip(reason, allow_module_level=True)


def _program(name):
    # Debian keeps those of a server off the path.
    return shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)


@contextlib.contextmanager
def postgresql():
    """URL of an empty database on a server that ends with the block; listens to no network."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    # It refuses to be run by root, and a user that it is given to cannot look into pytest's folders.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, user)

        def run(*command):
            subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        run(initdb, "-D", f"{folder}/data", "-U", "nongreedy", "--auth=trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        log = f"{folder}/log"
        run(control, "-D", f"{folder}/data", "-l", log, "-o", options, "-w", "start")
        try:
            yield f"postgresql://nongreedy@/postgres?host={folder}"
        finally:
            run(control, "-D", f"{folder}/data", "-m", "immediate", "stop")
