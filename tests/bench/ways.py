"""How clients come in: as on loopback, or as to servers that others can reach:
with access control, within TLS, with both."""
import functools
import os
import sys
import typing

import parts

sys.path.append(os.path.join(parts.REPOSITORY, "tests", "system"))
import certs    # noqa: E402  pylint: disable=wrong-import-position

PASSWORD = "a-password-of-the-bench"


class Way(typing.NamedTuple):
    name: str = ""
    tls: bool = False
    access: bool = False

    def of(self, name):
        """The name of a row, or of a server, that is asked so."""
        return f"{name}.{self.name}" if self.name else name

    def said(self):
        return f", {TITLES[self.name]}" if self.name else ""


PLAIN = Way()
TLS = Way("tls", tls=True)
BOTH = Way("both", tls=True, access=True)
GUARDED = (Way("access", access=True), TLS, BOTH)
TITLES = {"access": "with access control", "tls": "within TLS",
          "both": "within TLS and with access control"}


def rows(plain, *names, among=GUARDED):
    """The rows that are measured plainly, and these of them in other ways."""
    return {**plain, **{w.of(n): plain[n] + w.said()
                        for w in among for n in names}}


def wanted(bench, all_rows, wants, plain):
    """Yields each way, and the plain names of the rows that are wanted in it.
    They are shorter but for the plain ones."""
    for way in (PLAIN, *GUARDED):
        names = [n for n in plain if way.of(n) in all_rows and
                 wants(way.of(n))]
        if names:
            with bench.shorter(way is not PLAIN):
                yield way, names


def ca():
    return certs.common().ca


@functools.lru_cache
def certificate(node):
    """(certificate, key) of a server, made once."""
    return certs.common().node(node)


@functools.lru_cache
def certificate_and_key(node):
    """Both in one file, as Java wants them."""
    cert, key = certificate(node)
    full = key.replace("-key.pem", "-both.pem")
    text = parts.output("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key)
    with open(cert, encoding="ascii") as f:
        text = f"{text}\n{f.read()}"
    with open(full, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(full, 0o600)
    return full


@functools.lru_cache
def context():
    return certs.common().context()
