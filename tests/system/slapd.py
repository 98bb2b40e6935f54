"""A directory for tests: Debian's slapd on loopback, with a configuration, data
and certificates of its own.

    with Directory() as d:
        d.url, d.tls_url, d.ca"""
import os
import shutil
import socket
import subprocess
import tempfile
import time

import certs
from harness import PATIENCE, Skip, free_ports, spawn

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
DN = "uid={user}," + PEOPLE

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/pid
{tls}
database mdb
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw adminsecret
directory {home}/db
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""

TREE = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups
"""


def person(uid, password):
    """uid as it stands in a DN."""
    plain = uid.replace("\\", "")
    return (f"\ndn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\n"
            f"uid: {plain}\ncn: {plain}\nsn: x\nuserPassword: {password}\n")


def group(cn, *members):
    return (f"\ndn: cn={cn},{GROUPS}\nobjectClass: groupOfNames\ncn: {cn}\n" +
            "".join(f"member: uid={m},{PEOPLE}\n" for m in members))


class Directory:
    def __init__(self, *entries):
        self.slapd = shutil.which("slapd", path="/usr/sbin:/usr/bin")
        if not self.slapd or not os.path.isdir("/etc/ldap/schema"):
            raise Skip("slapd is not installed: scripts/deps --test")
        self.home = tempfile.mkdtemp(prefix="roster-slapd-")
        os.mkdir(os.path.join(self.home, "db"))
        self.authority = certs.Authority("directory CA")
        self.ca = self.authority.ca
        self.port, self.tls_port = free_ports(2)
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.tls_url = f"ldaps://127.0.0.1:{self.tls_port}"
        self.process = None
        self.configure(TREE + "".join(entries))
        self.start()

    def configure(self, ldif):
        cert, key = self.authority.node("dir")
        tls = (f"TLSCACertificateFile {self.ca}\nTLSCertificateFile {cert}\n"
               f"TLSCertificateKeyFile {key}\n")
        self.config = os.path.join(self.home, "slapd.conf")
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(home=self.home, tls=tls, suffix=SUFFIX))
        done = subprocess.run(
            [self.slapd, "-T", "add", "-f", self.config], input=ldif.encode(),
            capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def start(self):
        with open(os.path.join(self.home, "log"), "ab") as log:
            self.process = spawn(
                [self.slapd, "-f", self.config, "-d", "0", "-h",
                 f"{self.url} {self.tls_url}"], stderr=log)
        end = time.monotonic() + 10 * PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port)).close()
                return
            except OSError:
                assert self.process.poll() is None, "slapd ended"
                assert time.monotonic() < end, "slapd does not listen"
                time.sleep(0.02)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10 * PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
