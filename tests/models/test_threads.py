"""Waiting threads sleep, and the user's own settings stand."""

import subprocess
import sys

from memshadow.models.threads import wait_passively


def test_settings_reach_the_environment_and_leave_the_users_alone():
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    wait_passively(environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def test_it_says_when_it_comes_too_late():
    code = "import sys; {first}; from memshadow.models.threads import wait_passively; print(wait_passively({{}}))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(first=first)], capture_output=True, text=True, check=True
        ).stdout
        for first in ("pass", "sys.modules['torch'] = None")
    ]
    assert [line.strip() for line in said] == ["True", "False"]
