"""A program of `tests/test_check_cluster.py`: machines without Ray, and what they see of each other and of this host.

The rule here: it prints one line of JSON, from what was tried to what came of it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.cluster.machines import HOME, INSIDE, PACKAGES, ROOT, CannotRunHere, Machine, Machines, in_bubble

_SSH = "ssh -i ~/.ssh/rayconteur -o StrictHostKeyChecking=no -o ConnectTimeout=2 -o LogLevel=ERROR"


async def looked() -> dict[str, str]:
    """What was seen, by what was looked at."""
    machines = Machines(("desk", "one", "two"))
    await machines.start()
    desk, one, two = machines.all.values()
    at_one = f"{_SSH} root@{one.address}"
    seen = {
        "hostnames": " ".join([await _said(machine, "hostname") for machine in (desk, one, two)]),
        "over ssh": await _said(desk, f"{at_one} hostname"),
        "processes of one": await _said(one, "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l"),
        "checkout at the desk": await _said(desk, f"ls {ROOT}/Makefile"),
        "checkout on one": await _said(one, f"ls -A {ROOT}"),
        "a file of one, on two": await _said(one, "touch ~/mine /tmp/mine && ls ~/mine"),
        "the same, looked for there": await _said(two, "ls ~/mine /tmp/mine | wc -l"),
        "a file beside the home": await _said(one, f"touch {HOME.parent}/x /usr/x 2>/dev/null; echo $?"),
        "packages": await _said(one, f"{PACKAGES}/bin/python -c 'import ray; print(ray.__version__)'"),
    }
    await one.plug("down")
    seen["over ssh, link down"] = await _said(desk, f"{at_one} hostname")
    await one.plug("up")
    seen["over ssh, link up"] = await _said(desk, f"{at_one} hostname")
    return seen


async def _said(machine: Machine, line: str) -> str:
    """What a command printed there; its exit code if it failed."""
    process = await asyncio.create_subprocess_exec(
        *machine.command(line),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    return f"failed with {process.returncode}" if process.returncode else said.decode().strip()


def main() -> int:
    """Look, and print. Returns the exit code: 2 where this host cannot do it."""
    try:
        if INSIDE not in os.environ:
            return in_bubble(["-m", "tests.cluster.isolation"])
        print(json.dumps(asyncio.run(looked()) | {"first process": Path("/proc/1/comm").read_text().strip()}))
    except CannotRunHere as error:
        print(f"cannot run here. {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
