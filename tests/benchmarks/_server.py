"""Starts the app for a measurement, and ends it again."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60
"""Seconds until an app that does not answer counts as one that does not start."""


@contextmanager
def running(command: Sequence[str]) -> Iterator[str]:
    """The address at which a command serves the app, as soon as it answers.

    Args:
        command: in which {port} stands for the port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [word.format(port=port) for word in command],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://localhost:{port}"
        deadline = time.perf_counter() + PATIENCE
        while not _answers(address):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"The app did not answer at {address}.")
            time.sleep(0.05)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
