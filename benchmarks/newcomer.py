"""Walk the newcomer's path, from a clean clone to the demo's results and the first page to look at, and time each step.

    python benchmarks/newcomer.py FOLDER

FOLDER must not exist; the repository that this file lies in is cloned there, as it was last committed. Setting up
fetches packages, so its time is that of the network and of the installer's cache, which the table cannot tell.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

STEPS = (
    "make setup",
    "make demo",
    ".venv/bin/crossfade train recipes/demo.toml",
    ".venv/bin/crossfade noise runs/demo --rows 1",
    "echo 'my account is locked' | .venv/bin/crossfade predict runs/demo -",
)


def main() -> int:
    """Clone, run the steps and print a table; the exit status is that of the first step that failed."""
    parser = argparse.ArgumentParser(description="Time the newcomer's path.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    source = Path(__file__).resolve().parent.parent
    rows = []
    for command in (f"git clone --quiet {source} {folder}", *STEPS):
        started = time.monotonic()
        place = None if command.startswith("git clone") else folder
        done = subprocess.run(command, shell=True, cwd=place, check=False)
        rows.append((command.replace(f"{source} {folder}", "REPOSITORY"), time.monotonic() - started))
        if done.returncode:
            sys.stderr.write(f"failed: {command}\n")
            return done.returncode
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} processors\n")
    print("| command | seconds |\n| --- | --- |")
    for command, seconds in rows:
        print(f"| `{command}` | {seconds:.0f} |")
    print(f"| all | {sum(seconds for _, seconds in rows):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
