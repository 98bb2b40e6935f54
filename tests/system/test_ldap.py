"""Users whose password a directory knows."""
import socket
import threading

from harness import Server, bare, binary, path, run
from slapd import DN, GROUPS, PEOPLE, Directory, group, person
from test_signin import session_of, sign_in

ENTRIES = (person("ann", "annsecret1"), person("ben", "bensecret1"),
           person("a\\+b", "plussecret1"), group("ops", "ann", "ben"),
           group("elsewhere", "ann"))


def flags(url, *more, dn=DN):
    return ("--access", "--ldap-url", url, "--ldap-dn", dn, *more)


def make_user(s, name, *roles, **more):
    s.put(path("v1", "users", name),
          {"roles": list(roles), "source": "ldap", **more}).must(201)


@bare(timeout=120)
def the_directory_knows_the_password():
    with Directory(*ENTRIES) as d, Server(*flags(d.url)) as s:
        make_user(s, "ann", "reader")
        ann, _ = session_of(s, "ann", "annsecret1")
        ann.get("/v1/ns").must(200)
        said = {sign_in(s, "ann", wrong).problem(401)["detail"]
                for wrong in ("annsecret2", "", " ", "annsecret1\0")}
        said.add(sign_in(s, "nobody", "annsecret1").problem(401)["detail"])
        assert len(said) == 1, said
        # Only who is a user here is let in.
        sign_in(s, "ben", "bensecret1").problem(401)
        make_user(s, "ben", "reader", disabled=True)
        sign_in(s, "ben", "bensecret1").problem(401)
        # Of the directory, but not there.
        make_user(s, "gone", "reader")
        sign_in(s, "gone", "annsecret1").problem(401)
        ann.put("/v1/users/ann/password",
                {"old": "annsecret1", "password": "annsecret9"}).problem(409)


@bare(timeout=120)
def a_local_users_password_is_not_asked_of_the_directory():
    with Directory(*ENTRIES) as d, Server(*flags(d.url)) as s:
        s.put("/v1/users/ann", {"roles": ["reader"],
                                "password": "localsecret1"}).must(201)
        sign_in(s, "ann", "annsecret1").problem(401)
        session_of(s, "ann", "localsecret1")


@bare(timeout=120)
def a_users_name_is_only_a_name_in_the_directory():
    with Directory(*ENTRIES) as d, Server(*flags(d.url)) as s:
        make_user(s, "a+b", "reader")
        session_of(s, "a+b", "plussecret1")
        for name in ("ann,ou=people", "*", "ann)(uid=*", "{user}"):
            sign_in(s, name, "annsecret1").problem(401)


@bare(timeout=120)
def groups_of_the_directory_hold_as_long_as_the_session():
    with Directory(*ENTRIES) as d, Server(
            *flags(d.url, "--ldap-group-base", GROUPS)) as s:
        make_user(s, "ann")
        make_user(s, "a+b")
        s.put("/v1/groups/ops", {"roles": ["reader"]}).must(201)
        ann, _ = session_of(s, "ann", "annsecret1")
        ann.get("/v1/ns").must(200)
        assert ann.get("/v1/whoami").json["groups"] == ["ops"]
        ann.get("/v1/users").must(200)      # himself
        assert len(ann.get("/v1/users").json) == 1
        other, _ = session_of(s, "a+b", "plussecret1")
        other.get("/v1/ns").problem(403)
        token = ann.post("/v1/tokens", {"user": "ann", "name": "t"})
        if token.status == 201:              # it has no groups of a directory
            s.client(token=token.json["token"]).get("/v1/ns").problem(403)
        s.put("/v1/groups/ops", {"roles": []}).must(200)
        ann.get("/v1/ns").problem(403)


@bare(timeout=120)
def it_is_asked_over_tls_and_has_to_prove_who_it_is():
    with Directory(*ENTRIES) as d:
        for url, more in ((d.tls_url, ()), (d.url, ("--ldap-starttls",))):
            with Server(*flags(url, "--ldap-ca", d.ca, *more)) as s:
                make_user(s, "ann", "reader")
                session_of(s, "ann", "annsecret1")
                sign_in(s, "ann", "annsecret2").problem(401)
            # Nobody that is known vouches for it.
            with Server(*flags(url, *more)) as s:
                make_user(s, "ann", "reader")
                sign_in(s, "ann", "annsecret1").problem(503)
                assert any("directory server" in line for line in s.log_lines())
        # Another name than in its certificate.
        named = d.tls_url.replace("127.0.0.1", "localhost.localdomain")
        with Server(*flags(named, "--ldap-ca", d.ca)) as s:
            make_user(s, "ann", "reader")
            sign_in(s, "ann", "annsecret1").problem(503)


class Silent:
    """A server that takes connections and says nothing."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept = []
        threading.Thread(target=self.take, daemon=True).start()
        return self

    def take(self):
        try:
            while True:
                self.kept.append(self.socket.accept()[0])
        except OSError:
            pass

    def __exit__(self, *_):
        self.socket.close()
        for sock in self.kept:
            sock.close()


@bare(timeout=180)
def the_next_server_is_asked_when_one_is_silent():
    with Directory(*ENTRIES) as d, Silent() as silent:
        urls = f"ldap://127.0.0.1:{silent.port},{d.url}"
        with Server(*flags(urls)) as s:
            make_user(s, "ann", "reader")
            s.put("/v1/users/loc", {"roles": ["reader"],
                                    "password": "localsecret1"}).must(201)
            slow = threading.Thread(
                target=lambda: session_of(s, "ann", "annsecret1"))
            slow.start()
            # Whose password is here waits for no directory.
            session_of(s, "loc", "localsecret1")
            assert slow.is_alive(), "the silent one was not waited for"
            slow.join()
            n = len(silent.kept)
            session_of(s, "ann", "annsecret1")
            assert len(silent.kept) == n, "the one that answered goes first"
            sign_in(s, "ann", "annsecret2").problem(401)
            d.stop()
            sign_in(s, "ann", "annsecret1").problem(503)
            session_of(s, "loc", "localsecret1")


@bare(timeout=60)
def silence_in_a_handshake_ends_too():
    with Silent() as silent, Server(
            *flags(f"ldaps://127.0.0.1:{silent.port}")) as s:
        make_user(s, "ann", "reader")
        sign_in(s, "ann", "annsecret1").problem(503)


@bare
def settings_that_would_show_passwords_are_refused():
    for argv, says in (
            (("--ldap-url", "ldap://dir.example.org", "--ldap-dn", DN),
             "--ldap-starttls"),
            (("--ldap-url", "http://x", "--ldap-dn", DN), "--ldap-url"),
            (("--ldap-url", "ldap://127.0.0.1"), "--ldap-dn"),
            (("--ldap-url", "ldap://127.0.0.1", "--ldap-dn", "uid=x"),
             "{user}"),
            (("--ldap-dn", "uid={user}," + PEOPLE), "--ldap-url")):
        code, _, err = run([binary("rosterd"), *argv])
        assert code == 2 and says in err, (argv, code, err)
