"""roster login, logout, whoami, token, session, role, user, group."""
import contextlib
import json
import os
import pty
import re
import shutil
import socket
import stat
import tempfile
import threading
import time

from harness import PATIENCE, binary, environment, fresh_name, run, shared
from test_signin import PASSWORD, TOKEN, make_user

ACCESS = ("--access",)


class Home:
    """A person's folder, where the token of his session lies."""

    def __init__(self, s, token=None):
        self.s, self.dir = s, tempfile.mkdtemp(prefix="roster-home-")
        self.env = environment(HOME=self.dir)
        self.env.pop("XDG_CONFIG_HOME", None)
        self.file = os.path.join(self.dir, ".config", "roster", "token")
        if token:
            os.makedirs(os.path.dirname(self.file))
            with open(os.open(self.file, os.O_CREAT | os.O_WRONLY, 0o600), "w",
                      encoding="ascii") as out:
                out.write(token + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def argv(self, *argv):
        return [binary("roster"), "--server", f"http://127.0.0.1:{self.s.port}",
                *argv]

    def run(self, *argv):
        return run(self.argv(*argv), env=self.env)

    def good(self, *argv):
        code, out, err = self.run(*argv)
        assert code == 0, (argv, code, out, err)
        return out

    def bad(self, *argv, says, status=1):
        code, out, err = self.run(*argv)
        assert code == status and says in err, (argv, code, out, err)

    def secret(self, *lines):
        name = os.path.join(self.dir, fresh_name("password"))
        with open(name, "w", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in lines))
        return name


def admin(s):
    return Home(s, s.admin_token())


def at_terminal(home, answers, *argv):
    """What it showed, and how it ended. An answer is typed when the prompt that
    ends in ": " is there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(binary("roster"), home.argv(*argv), home.env)
    shown, left = b"", list(answers)
    with contextlib.suppress(OSError):
        while data := os.read(fd, 4096):
            shown += data
            if left and shown.endswith(b": "):
                os.write(fd, left.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode()


@shared(flags=ACCESS)
def a_session_is_kept_for_the_person_alone(s):
    make_user(s, "ann", "reader")
    with Home(s) as home:
        home.bad("tree", says="roster login")
        out = home.good("login", "ann", "--password-file", home.secret(PASSWORD))
        assert "signed in as ann until 2" in out and "rst_" not in out, out
        assert stat.S_IMODE(os.stat(home.file).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(home.file)).st_mode) == 0o700
        with open(home.file, encoding="ascii") as f:
            token = f.read().strip()
        assert TOKEN.match(token)
        home.good("tree")
        out = home.good("whoami")
        assert re.search(r"^user +ann$", out, re.M), out
        assert "reader" in out and token not in out, out
        home.good("logout")
        assert not os.path.exists(home.file)
        s.client(token=token).get("/v1/ns").problem(401)
        assert "nobody was signed in" in home.good("logout")


@shared(flags=ACCESS)
def a_wrong_password_leaves_nothing(s):
    make_user(s, "ben", "reader")
    with Home(s) as home:
        home.bad("login", "ben", "--password-file", home.secret("wrong one"),
                 says="nobody is let in")
        home.bad("login", "ben", "--password-file", home.secret("wrong one"),
                 says="write both again")
        assert not os.path.exists(home.file)
        home.bad("login", "ben", "--password-file", home.secret(""),
                 says="nothing in its first line")
        home.bad("login", "ben", "--password-file", "/nonexistent",
                 says="/nonexistent")
        code, _, err = run(["setsid", "-w", *home.argv("login", "ben")],
                           env=home.env) # without a terminal to ask at
        assert code == 2 and "--password-file" in err, (code, err)


@shared(flags=ACCESS)
def a_password_is_asked_for_and_not_shown(s):
    make_user(s, "cat", "reader")
    with Home(s) as home:
        code, shown = at_terminal(home, [PASSWORD], "login", "cat")
        assert code == 0 and "Password of cat: " in shown, shown
        assert PASSWORD not in shown, shown
        code, shown = at_terminal(
            home, [PASSWORD, "another horse", "other horse"],
            "user", "password", "cat")
        assert code == 1 and "not the same" in shown, shown
        code, shown = at_terminal(
            home, [PASSWORD, "another horse", "another horse"],
            "user", "password", "cat")
        assert code == 0 and "horse" not in shown, shown
        home.bad("tree", says="roster login")
        code, _ = at_terminal(home, ["another horse"], "login", "cat")
        assert code == 0


@shared(flags=ACCESS)
def a_token_that_others_can_read_is_not_used(s):
    with admin(s) as home:
        home.good("whoami")
        os.chmod(home.file, 0o640)
        home.bad("user", "list", says="can be read by others")


@shared(flags=ACCESS)
def tokens_are_made_shown_and_deleted(s):
    with admin(s) as home:
        code, out, err = home.run("token", "create", "name=ci",
                                  "roles=reader,operator@shop.roster", "ttl=1h")
        assert code == 0 and TOKEN.match(out.strip()), (out, err)
        assert "never again" in err and "rst_" not in err, err
        id_ = out.split("_")[1]
        shown = home.good("token", "show", id_)
        assert "reader, operator@shop.roster" in shown, shown
        assert id_ in home.good("token", "list")
        assert "Z" in re.search(r"^expires +(.*)$", shown, re.M)[1], shown
        home.good("token", "delete", id_)
        home.bad("token", "show", id_, says="no token")
        home.bad("token", "create", "colour=red", says="roles=", status=2)
        home.bad("token", "create", "roles=nobody-made-it", says="no role")


@shared(flags=ACCESS)
def what_put_does_not_name_stays(s):
    with admin(s) as home:
        secret = home.secret(PASSWORD)
        home.good("user", "put", "dan", "roles=reader", "comment=a person",
                  "--password-file", secret)
        home.good("user", "put", "dan", "disabled=true")
        user = s.get("/v1/users/dan").must(200).json
        assert user["disabled"] and user["roles"] == ["reader"], user
        assert user["comment"] == "a person", user
        home.good("user", "put", "dan", "disabled=false")
        home.good("login", "dan", "--password-file", secret)
        home.bad("user", "put", "dan", "disabled=maybe", says="true or false",
                 status=2)


@shared(flags=ACCESS)
def roles_and_groups_give_what_they_say(s):
    with admin(s) as home:
        home.good("role", "put", "viewer",
                  "rule=read:service,@ns:shop.roster", "rule=read:machine",
                  "comment=looks")
        assert s.get("/v1/roles/viewer").json["rules"] == [
            {"allow": ["read"], "types": ["service", "@ns"],
             "ns": "shop.roster"},
            {"allow": ["read"], "types": ["machine"]}]
        assert ("read on service, @ns in shop.roster; read on machine" in
                home.good("role", "show", "viewer"))
        home.bad("role", "put", "viewer", "rule=read", says="ALLOW:TYPES",
                 status=2)
        for name in ("eve", "fox"):
            home.good("user", "put", name)
        home.good("group", "put", "team", "roles=viewer", "members=eve")
        home.good("group", "add", "team", "fox")
        group = s.get("/v1/groups/team").must(200).json
        assert sorted(group["members"]) == ["eve", "fox"], group
        home.good("group", "remove", "team", "eve")
        assert "fox" in home.good("group", "list")
        home.good("group", "delete", "team")
        home.good("role", "delete", "viewer")
        home.good("user", "delete", "eve", "fox")
        home.bad("user", "show", "eve", says="no user eve")


@shared(flags=ACCESS)
def sessions_are_ended(s):
    make_user(s, "gil", "reader")
    with Home(s) as home, admin(s) as keeper:
        home.good("login", "gil", "--ttl", "5m", "--password-file",
                  home.secret(PASSWORD))
        id_ = s.get("/v1/sessions").must(200).json[-1]["id"]
        assert id_ in keeper.good("session", "list")
        keeper.good("session", "end", id_)
        home.bad("tree", says="roster login")
        home.good("logout")


@shared(flags=ACCESS)
def an_interrupted_question_leaves_the_terminal_as_it_was(s):
    with Home(s) as home:
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(binary("roster"), home.argv("login", "ann"), home.env)
        shown = b""
        while b": " not in shown:
            shown += os.read(fd, 100)
        os.write(fd, b"\x03")
        end = time.monotonic() + 10 * PATIENCE
        while (status := os.waitpid(pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < end, "still asks"
            time.sleep(0.02)
        assert os.WIFSIGNALED(status[1]), status
        os.close(fd)


@shared(flags=ACCESS)
def a_status_says_why_it_is_less_than_there_is(s):
    with Home(s) as home, admin(s) as keeper:
        code, out, err = home.run("status")
        assert code == 1 and "roster login" in err and "ready" in out, (
            code, out, err)
        twice = f"http://127.0.0.1:{s.port},http://localhost:{s.port}"
        code, out, err = run([binary("roster"), "--server", twice, "status"],
                             env=home.env)
        assert code == 1 and "roster login" in err, (code, out, err)
        assert "warning" not in out and "none" not in out, out
        code, out, err = run([binary("roster"), "--server",
                              f"https://127.0.0.1:{s.port}", "tree"],
                             env=home.env)
        assert code == 3 and "write http://" in err, (code, out, err)
        assert "leader" in keeper.good("status")


@shared(flags=ACCESS)
def who_ends_a_handshake_without_a_word_may_speak_no_tls(s):
    with socket.create_server(("127.0.0.1", 0)) as listener, Home(s) as home:
        def close_each():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.recv(16384)
        thread = threading.Thread(target=close_each)
        thread.start()
        code, out, err = run([binary("roster"), "--server",
                              "https://127.0.0.1:%d" %
                              listener.getsockname()[1], "tree"],
                             env=home.env)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        assert code == 3 and "write http://" in err, (code, out, err)


@shared(flags=ACCESS)
def who_made_a_token_is_told_from_a_user_of_that_name(s):
    with admin(s) as keeper:
        name = fresh_name("made")
        keeper.good("token", "create", f"name={name}", "roles=reader")
        node = s.get("/leader").must(200).json["id"]
        [by] = [token["created_by"] for token in s.get("/v1/tokens").json
                if token["name"] == name]
        assert by == "node " + node, by


@shared(flags=ACCESS)
def a_token_of_ones_own_needs_a_name(s):
    make_user(s, "hal", "reader")
    with Home(s) as home:
        home.good("login", "hal", "--password-file", home.secret(PASSWORD))
        home.bad("token", "create", "name=x", "roles=reader",
                 says="needs user hal")
        home.good("token", "create", "name=x", "user=hal", "roles=reader")


@shared(flags=ACCESS)
def a_node_needs_an_address_in_its_certificate(s):
    with Home(s) as home:
        home.bad("certs", os.path.join(home.dir, "certs"), "--node", "n1=",
                 says="--node n1=127.0.0.1", status=2)


@shared(flags=ACCESS)
def certificates_that_are_there_need_no_key_of_the_ca(s):
    with Home(s) as home:
        where = os.path.join(home.dir, "certs")
        made = json.loads(home.good("certs", where, "--node", "n1=127.0.0.1",
                                    "--client", "ann", "--json"))
        assert [os.path.basename(each["file"]) for each in made] == [
            "ca.pem", "n1.pem", "ann.pem"], made
        assert all(each["made"] for each in made), made
        os.unlink(os.path.join(where, "ca-key.pem"))
        out = home.good("certs", where, "--node", "n1=127.0.0.1")
        assert out.count("is there already") == 2, out
        home.bad("certs", where, "--node", "n2=127.0.0.1",
                 says="only the key of that CA")
