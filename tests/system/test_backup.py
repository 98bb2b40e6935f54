"""roster backup, verify, restore: a file under the name is always a whole one."""
import json
import os
import signal
import socket
import subprocess
import threading

from cli import as_json, good, refused, roster, scratch
from harness import (PATIENCE, Server, Skip, bare, binary, environment,
                     make_ns, path, shared, spawn, test, until)


def some_data(s, n=200):
    if s.options("/v1/admin/backup").status == 404:
        raise Skip("this server makes no backups")
    ns = make_ns(s)
    s.post(path("v1", "ns", ns, "thing"), [
        {"name": f"t{i}", "x": "y" * 1000} for i in range(n)]).must(201)
    return ns


@bare
def what_is_backed_up_can_be_verified_and_comes_back():
    with Server() as s, Server() as other:
        ns = some_data(s)
        file = scratch(s, "b.roster")
        said = as_json(s, "backup", file)
        assert said["resources"] == 200 and said["revision"] == s.revision(), said
        assert os.stat(file).st_mode & 0o777 == 0o600
        digest = as_json(s, "digest")["digest"]
        assert said["digest"] == digest and os.path.getsize(file) == said["bytes"]
        assert as_json(s, "verify", file) == as_json(
            s, "backup", "verify", file) == said
        good(s, "add", ns, "thing", "name=later")
        done = as_json(s, "restore", file)  # nobody is there to be asked
        assert done["revision"] >= 2**32 and done["resources"] == 200, done
        assert s.get(path("v1", "ns", ns, "thing", "later")).status == 404
        assert as_json(other, "restore", file, "--yes")["resources"] == 200
        assert other.rows(path("v1", "ns", ns, "thing")) == s.rows(
            path("v1", "ns", ns, "thing"))


@shared
def a_backup_goes_to_stdout_as_it_is(s):
    some_data(s)
    file = scratch(s, "piped")
    p = subprocess.run(f"{binary('roster')} --server http://127.0.0.1:{s.port} "
                       f"backup - > {file}", shell=True, capture_output=True,
                       text=True, timeout=30 * PATIENCE, env=environment(),
                       check=False)
    assert p.returncode == 0 and "verified" in p.stderr, p
    assert "resources" in good(s, "verify", file)


@shared
def damage_is_found_without_a_server(s):
    some_data(s)
    file = scratch(s, "d.roster")
    good(s, "backup", file)
    with open(file, "rb") as whole:
        bytes_ = whole.read()
    cases = {"half": bytes_[:len(bytes_) // 2], "longer": bytes_ + b"x",
             "nothing": b"", "head": b"x" + bytes_[1:],
             "body": bytes_[:len(bytes_) - 5000] + b"!" + bytes_[-4999:]}
    for name, content in cases.items():
        damaged = scratch(s, name)
        with open(damaged, "wb") as out:
            out.write(content)
        for verb in (("verify",), ("backup", "verify"), ("restore", "--yes")):
            refused(s, *verb, damaged, says=name)
    assert "no such file" in refused(s, "verify", "/no/such", says="/no/such")
    good(s, "verify", file)


@shared
def a_file_that_cannot_be_written_is_told_and_not_left(s):
    some_data(s)
    folder = scratch(s, "w")
    os.mkdir(folder)
    device = os.path.join(folder, "device")
    os.symlink("/dev/null", device)
    refused(s, "backup", device, says="stdout")
    assert os.path.islink(device)
    refused(s, "backup", os.path.join(folder, "no", "x"), says="no/x")
    p = subprocess.run(f"{binary('roster')} --server http://127.0.0.1:{s.port} "
                       "backup - > /dev/full", shell=True, capture_output=True,
                       text=True, timeout=30 * PATIENCE, env=environment(),
                       check=False)
    assert p.returncode == 1 and "No space" in p.stderr, p


@test(alone=True)
def a_full_disk_leaves_no_backup(s):
    some_data(s, 1000)
    folder = scratch(s, "small")
    os.mkdir(folder)
    # A size limit of the process is as good as a full disk: writes fail.
    p = subprocess.run(["bash", "-c", "trap '' XFSZ; ulimit -f 300; exec "
                        f"{binary('roster')} --server http://127.0.0.1:{s.port} "
                        f"backup {folder}/b"], capture_output=True, text=True,
                       timeout=30 * PATIENCE, env=environment(), check=False)
    assert p.returncode == 1 and "cannot write" in p.stderr, p
    assert os.listdir(folder) == []


class HalfServer:
    """Answers every request with a beginning, then waits or hangs up."""

    def __init__(self, announced, sent, hang_up):
        self.announced, self.sent, self.hang_up = announced, sent, hang_up
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.home = None
        self.open = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + self.announced +
                         b"R" * self.sent)
            if self.hang_up:
                peer.close()
            else:
                self.open.append(peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@shared
def a_download_that_ends_early_is_no_backup(s):
    folder = scratch(s, "cut")
    os.mkdir(folder)
    for announced in (b"Content-Length: 100000\r\n\r\n",
                      b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n", b"\r\n"):
        with HalfServer(announced, 5000, True) as half:
            refused(half, "backup", os.path.join(folder, "b"), says="roster: ")
            assert os.listdir(folder) == []


@shared
def an_interrupted_backup_leaves_nothing(s):
    folder = scratch(s, "int")
    os.mkdir(folder)
    name = os.path.join(folder, "b")
    with open(name, "wb") as old:
        old.write(b"the one of yesterday")
    for number in (signal.SIGINT, signal.SIGTERM):
        with HalfServer(b"Content-Length: 100000\r\n\r\n", 5000, False) as half:
            p = spawn([binary("roster"), "--server",
                       f"http://127.0.0.1:{half.port}", "backup", name],
                      stderr=subprocess.DEVNULL, env=environment())
            until(lambda: len(os.listdir(folder)) == 2)
            p.send_signal(number)
            assert p.wait(10) == -number
        assert os.listdir(folder) == ["b"], "a part was left"
        with open(name, "rb") as old:
            assert old.read() == b"the one of yesterday"


@shared
def a_signal_that_is_ignored_stays_so(s):
    folder = scratch(s, "nohup")
    os.mkdir(folder)
    name = os.path.join(folder, "b")
    with HalfServer(b"Content-Length: 5001\r\n\r\n", 5000, False) as half:
        p = spawn(["nohup", binary("roster"), "--server",
                   f"http://127.0.0.1:{half.port}", "backup", name],
                  stderr=subprocess.PIPE, env=environment())
        until(lambda: os.listdir(folder))
        p.send_signal(signal.SIGHUP)
        until(lambda: half.open)
        half.open[0].sendall(b"R")
        # To its end: what came is no backup.
        assert b"roster: " in p.communicate(timeout=10 * PATIENCE)[1]
        assert p.returncode == 1 and os.listdir(folder) == []


@shared
def snapshots_are_taken_and_listed(s):
    some_data(s)
    taken = as_json(s, "snapshot")
    listed = as_json(s, "snapshots")
    assert taken["file"] in [x["file"] for x in listed], (taken, listed)
    assert taken["file"] in good(s, "snapshots")
    assert json.loads(json.dumps(as_json(s, "digest")))["index"] >= taken["index"]


@bare
def a_survivor_goes_on_alone():
    with Server() as s:
        ns = make_ns(s)
        good(s, "add", ns, "thing", "name=x")
        where = ("--data-dir", s.data_dir)
        refused(s, "recover", *where, says="stop that first")
        refused(s, "recover", "--yes", says="--data-dir", status=2)
        refused(s, "recover", "--data-dir", "/no/such", "--yes", says="/no/such")
        s.kill()
        assert as_json(s, "recover", *where, "--yes", "--quiet")["node"] == "n1"
        s.start()
        assert as_json(s, "get", ns, "thing", "x")["name"] == "x"
        assert s.revision() >= 2**32
