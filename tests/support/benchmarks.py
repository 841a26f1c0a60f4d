"""Runs every script in tests/benchmarks, one after another, and says which of them failed.

Each is a file of its own with a `main`, and prints its own table. They measure, so nothing else
should be running; they are not tests, and `make test` leaves them alone.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Run them all; 1 if one failed."""
    scripts = sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
    scripts = [script for script in scripts if not script.name.startswith("_")]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    failed = []
    for number, script in enumerate(scripts, start=1):
        print(f"\n[{number}/{len(scripts)}] {script.relative_to(ROOT)}", flush=True)
        done = subprocess.run([sys.executable, str(script)], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            failed.append(script.name)
    if failed:
        print(f"\nFailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
