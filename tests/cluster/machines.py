"""Machines that are namespaces of one host: each with its own address, name, processes, home, /tmp and /dev/shm.

The rule here: nothing is left, and nothing outside is touched. All of it runs in one bubble of namespaces (processes,
network, mounts) whose first process is the program itself; when that ends, however it ends, the kernel ends every
process in it, and network, mounts and files in memory go with them. A machine can write to its own directories only:
everything else is read-only, and the checkout is not there at all but on the user's machine.
"""

import asyncio
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(pwd.getpwuid(0).pw_dir)
PACKAGES = Path(sys.prefix).resolve()
NEEDED = {
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
    "unshare": "util-linux",
}
INSIDE = "RAYCONTEUR_BUBBLE"
"""Set for the program once it is in its bubble."""
GATEWAY = "192.0.2.254"
"""The bubble itself, as machines see it. Addresses for documentation (RFC 5737): no network has them."""
_PLACE = Path("/run/machines")
_BRIDGE = "machines"
_START_S = 20.0
_RAY = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
# What a machine has of its own, by the name of the directory that backs it.
_OWN = {"home": HOME, "shm": Path("/dev/shm"), "tmp": Path("/tmp"), "run": Path("/run")}
_SSHD = """\
ListenAddress {address}
HostKey {home}/.ssh/host_key
AuthorizedKeysFile {home}/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
Subsystem sftp internal-sftp
PidFile none
"""


class CannotRunHere(Exception):
    """This host cannot do it; the text says what is needed."""


def in_bubble(arguments: Sequence[str]) -> int:
    """Run the program again in namespaces of its own: its exit code. Raises CannotRunHere if that cannot be.

    SIGTERM ends all of it at once, and so does the death of this process; Ctrl-C is left to the program inside.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotRunHere("Namespaces and sshd need Linux and root: run it as root (sudo make check-cluster).")
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    if missing := sorted(package for command, package in NEEDED.items() if shutil.which(command) is None):
        raise CannotRunHere(f"Some programs are missing. On Debian: apt-get install {' '.join(missing)}")
    namespaces = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    tried = subprocess.run([*namespaces, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise CannotRunHere(
            f"This host does not let root make namespaces ({tried.stderr.strip()}). A container needs CAP_SYS_ADMIN and"
            " CAP_NET_ADMIN: run it on the host, or in a virtual machine."
        )
    inside = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *namespaces, sys.executable, *arguments], env={**os.environ, INSIDE: "1"}
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The first process of the namespaces, and so every other, ends with the one that made them.
    signal.signal(signal.SIGTERM, lambda *_: inside.kill())
    code = inside.wait()
    return code if code >= 0 else 128 - code


@dataclass(slots=True)
class Machine:
    """One machine. `place` holds its own directories, seen from outside."""

    name: str
    address: str
    place: Path
    process: asyncio.subprocess.Process | None = None
    pid: int = 0

    @property
    def home(self) -> Path:
        """Its home directory, as this process reaches it."""
        return self.place / "home"

    def command(self, words: Sequence[str] | str, directory: str | Path = HOME) -> list[str]:
        """What runs the words there, as root at a keyboard would."""
        line = words if isinstance(words, str) else shlex.join(words)
        script = f"cd {shlex.quote(str(directory))} && {line}"
        path = f"{PACKAGES}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = {"HOME": str(HOME), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8", "USER": "root", **_RAY}
        environment = [f"{name}={value}" for name, value in clean.items()]
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--uts", "--ipc", "--pid"]
        return [*enter, "env", "--ignore-environment", *environment, "bash", "-c", script]

    async def plug(self, state: str) -> None:
        """Set its link `up` or `down`: nothing of it is ended, and nobody is told."""
        await _run("ip", "link", "set", f"to-{self.name}", state)


class Machines:
    """All machines, on one bridge. To be entered inside the bubble. The first of `names` is the user's own."""

    def __init__(self, names: Sequence[str]) -> None:
        numbered = enumerate(names, start=9)
        self.all = {name: Machine(name, f"192.0.2.{number}", _PLACE / name) for number, name in numbered}
        self.desk = self.all[names[0]]

    async def start(self) -> None:
        """Make the network and every machine; returns when each one's sshd listens."""
        await _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        await _run("ip", "link", "set", "lo", "up")
        await _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        await _run("ip", "address", "add", f"{GATEWAY}/24", "dev", _BRIDGE)
        await _run("ip", "link", "set", _BRIDGE, "up")
        key = _PLACE / "key"
        key.parent.mkdir()
        await _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        hosts = "127.0.0.1 localhost\n" + "".join(f"{each.address} {each.name}\n" for each in self.all.values())
        for machine in self.all.values():
            await self._prepare(machine, hosts, key)
            await self._boot(machine)
        for name in ("key", "key.pub"):
            shutil.copy(_PLACE / name, self.desk.home / ".ssh" / name.replace("key", "rayconteur"))

    async def _prepare(self, machine: Machine, hosts: str, key: Path) -> None:
        for name in _OWN:
            (machine.place / name).mkdir(parents=True)
        (machine.place / "tmp").chmod(0o1777)
        (machine.place / "run" / "sshd").mkdir(mode=0o755)
        ssh = machine.home / ".ssh"
        ssh.mkdir(mode=0o700)
        await _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "host_key"))
        shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
        (ssh / "sshd_config").write_text(_SSHD.format(address=machine.address, home=HOME))
        (machine.home / ".bashrc").touch()
        (machine.place / "hosts").write_text(hosts)
        # Without PAM, sshd turns away a user whose password is locked, keys or not.
        (machine.place / "shadow").write_text("root:*:20000:0:99999:7:::\nsshd:*:20000:0:99999:7:::\n")
        (machine.place / "shadow").chmod(0o600)

    async def _boot(self, machine: Machine) -> None:
        sshd = shutil.which("sshd") or "sshd"
        script = f"{self.mounts(machine)}\necho ready; read -r go\nexec {sshd} -D -e -f {HOME}/.ssh/sshd_config"
        with (machine.place / "sshd.log").open("wb") as log:
            machine.process = await asyncio.create_subprocess_exec(
                *("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("bash", "-c", script),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        if machine.process.stdin is None or machine.process.stdout is None:
            raise RuntimeError("A machine was started without pipes.")
        if await machine.process.stdout.readline() != b"ready\n":
            raise CannotRunHere(f"A machine cannot be made here: {(machine.place / 'sshd.log').read_text().strip()}")
        children = Path(f"/proc/{machine.process.pid}/task/{machine.process.pid}/children").read_text()
        machine.pid = int(children.split()[0])
        link, inside = f"to-{machine.name}", ["nsenter", f"--target={machine.pid}", "--net", "ip"]
        await _run(*f"ip link add {link} type veth peer name eth0 netns {machine.pid}".split())
        await _run("ip", "link", "set", link, "master", _BRIDGE, "up")
        await _run(*inside, "link", "set", "lo", "up")
        await _run(*inside, "link", "set", "eth0", "up")
        await _run(*inside, "address", "add", f"{machine.address}/24", "dev", "eth0")
        # It leads nowhere; Ray takes the address of the way out for the machine's own.
        await _run(*inside, "route", "add", "default", "via", GATEWAY)
        machine.process.stdin.write(b"go\n")
        await machine.process.stdin.drain()
        await _listens(machine.address, 22)

    def mounts(self, machine: Machine) -> str:
        """The commands that give a machine its own directories and nothing but reading of the rest."""
        place = machine.place
        kept = {PACKAGES, Path(sys.base_prefix).resolve(), *([ROOT] if machine is self.desk else [])}
        hidden = [*_OWN.values(), *([] if machine is self.desk else [ROOT])]
        lines = ["set -e", f"hostname {machine.name}", f"mkdir -p {place}/kept", "cd /"]
        again = [(n, path) for n, path in enumerate(sorted(kept)) if any(path.is_relative_to(each) for each in hidden)]
        for number, path in again:
            lines += [f"mkdir {place}/kept/{number}", f"mount --bind {path} {place}/kept/{number}"]
        lines += ["mount -o remount,bind,ro /", f"mount --bind {place}/hosts /etc/hosts"]
        lines += [f"mount --bind {place}/shadow /etc/shadow"]
        if machine is not self.desk:
            lines += [f"mount -t tmpfs tmpfs {ROOT}"]
        # What backs them lies below /run, so that one comes last and what is kept before it.
        lines += [f"mount --bind {place}/{name} {_OWN[name]}" for name in _OWN if name != "run"]
        lines += [f"mkdir -p {path}; mount --bind {place}/kept/{number} {path}" for number, path in again]
        lines += [f"mount -o remount,bind,ro {path}" for _, path in again]
        return "\n".join([*lines, f"mount --bind {place}/run /run"])


async def _listens(address: str, port: int) -> None:
    """Wait until something answers there. Raises TimeoutError."""
    async with asyncio.timeout(_START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _run(*words: str) -> None:
    """Run a command. Raises CannotRunHere with what it said if it fails."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise CannotRunHere(f"`{shlex.join(words)}` failed: {said.decode(errors='replace').strip()}")
