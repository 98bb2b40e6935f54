"""What a measurement stands on: a temporary directory, programs that end with
it, and facts about the machine."""
import ctypes
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
# Debian keeps some servers where only root looks.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Fault(Exception):
    """The measurement cannot go on; the text says what to do."""


class Missing(Fault):
    """A peer is not installed: its rows do without it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def find(program):
    full = shutil.which(program, path=PATH)
    if not full:
        raise Missing(f"{program} is not installed")
    return full


def output(*argv):
    """What a program says, whatever its exit status; "" when it is not there."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20,
                              env={**os.environ, "PATH": PATH})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def die_with_parent():
    """For programs between fork and exec: no server outlives the bench, however
    that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Place:
    """A run: its directory, its processors, everything it has started."""

    def __init__(self, directory=None, pin="auto"):
        self.server_cpu, self.load_cpu = self._processors(pin)
        self.running = []
        self.held = []    # ports
        self.home = tempfile.mkdtemp(prefix="roster-bench-", dir=directory)
        try:
            (self.bare, self.barewatch, self.load, self.outage,
             self.watch) = self._compile()
        except Fault:
            self.close()
            raise

    @staticmethod
    def _processors(pin):
        if pin == "none" or (pin == "auto" and (os.cpu_count() or 1) < 2):
            return None, None
        server, _, load = ("0,1" if pin == "auto" else pin).partition(",")
        if not (server.isdigit() and load.isdigit()):
            raise Fault(f"--pin {pin}: auto, none, or two processors as 0,1")
        return server, load

    def _compile(self):
        """The bare responder and the clients, the same for every build of
        roster that is measured."""
        made, common = [], "settings.c wire.c tally.c spread.c template.c"
        for name, sources in (
                ("bare", "bare.c stream.c"),
                ("barewatch", "barewatch.c stream.c"),
                ("load", "load.c stream.c " + common),
                ("outage", "outage.c stream.c " + common),
                ("watch", "watch.c stream.c spread.c template.c")):
            made.append(os.path.join(self.home, name))
            done = subprocess.run(
                [find("cc"), "-O2", "-D_GNU_SOURCE", "-o", made[-1],
                 *sources.split(), "-lgnutls"], cwd=HERE, capture_output=True, text=True)
            if done.returncode:
                raise Fault(f"cannot compile {name}:\n{done.stderr}")
        return made

    def directory(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.home)

    def file(self, name, data):
        full = os.path.join(self.home, name)
        with open(full, "wb") as f:
            f.write(data)
        return full

    def port(self):
        """A port that is free, for a server that reuses addresses: the kernel
        gives it to nobody else, also while the server is down."""
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.held.append(held)
        return held.getsockname()[1]

    def pinned(self, argv, cpu):
        return ["taskset", "-c", cpu, *argv] if cpu is not None else list(argv)

    def start(self, argv, cwd, log, cpu):
        """A server on its processor (taskset becomes it: the pid is its own)."""
        # What configures our programs and the peers is on their command lines.
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("ROSTER_", "ETCD_"))}
        with open(log, "ab") as log_file:
            process = subprocess.Popen(
                self.pinned(argv, cpu), cwd=cwd, env=env,
                stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
                start_new_session=True, preexec_fn=die_with_parent)
        self.running.append(process)
        return process

    def end(self, process, how=signal.SIGKILL, wait_s=60):
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def close(self):
        for process in list(self.running):
            self.end(process)
        shutil.rmtree(self.home, ignore_errors=True)


def put(full, text):
    """Writes a file, and the directory that it is in."""
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="ascii") as f:
        f.write(text)


# ---- the process table ----

def cpu_us(pid):
    """Processor time of all threads, also of those that have ended, by the
    scheduler's clock: clock_getcpuclockid(3) of another process."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) / 1000
    except OSError:
        return 0


def memory(pid):
    """Bytes: of its own (RssAnon), and with mapped files (VmRSS)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        found = dict(re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB", f.read(), re.M))
    return {"rss_anon": int(found["RssAnon"]) * 1024,
            "rss": int(found["VmRSS"]) * 1024}


def size_on_disk(directory):
    """Bytes that the files take, holes not counted."""
    total = 0
    for root, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except OSError:
                pass
    return total


# ---- the machine ----

def _file(path, pattern):
    try:
        with open(path, encoding="utf-8") as f:
            return "".join(re.findall(pattern, f.read(), re.M)[:1])
    except OSError:
        return ""


def machine(place):
    disk = output("findmnt", "-nro", "SOURCE,FSTYPE", "-T", place.home)
    return {
        "kernel": platform.release(),
        "system": _file("/etc/os-release", r'^PRETTY_NAME="(.*)"$'),
        "processor": _file("/proc/cpuinfo", r"^model name\s*: (.*)$"),
        "processors": os.cpu_count(),
        "memory_kb": int(_file("/proc/meminfo", r"^MemTotal:\s+(\d+)") or 0),
        "disk": disk, "directory": os.path.dirname(place.home),
        "load_average": os.getloadavg(),
        "server_processor": place.server_cpu, "load_processor": place.load_cpu,
        "compiler": output("cc", "--version").split("\n")[0],
        "flushes_per_s": _flushes(place),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _flushes(place):
    """How often a block of a file can be forced to the disk in a second."""
    full = place.file("flush", bytes(1 << 20))
    f = os.open(full, os.O_WRONLY)
    n, end = 0, time.monotonic() + 0.3
    os.fsync(f)
    while time.monotonic() < end:
        os.pwrite(f, bytes(4096), n % 256 * 4096)
        os.fdatasync(f)
        n += 1
    os.close(f)
    os.unlink(full)
    return round(n / 0.3)
