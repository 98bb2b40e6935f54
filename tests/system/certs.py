"""Certificates for tests, made with openssl(1): a CA in a directory of its own.

    ca = Authority()
    cert, key = ca.node("n1")           # of a server
    cert, key = ca.client("ann")        # CN=ann
    context = ca.context(cert, key)     # of a client that trusts this CA"""
import os
import ssl
import subprocess
import tempfile

CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {name}
[v3]
basicConstraints = critical,CA:{ca}
subjectKeyIdentifier = hash
{more}
"""


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class Authority:
    def __init__(self, name="test CA"):
        self.kept = tempfile.TemporaryDirectory(prefix="roster-certs-")
        self.dir = self.kept.name
        self.ca, self.ca_key = self._make(
            "ca", name, True, "keyUsage = critical,keyCertSign,cRLSign", 30)

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _make(self, stem, name, is_ca, more, days):
        cert, key = self._path(f"{stem}.pem"), self._path(f"{stem}-key.pem")
        config = self._path(f"{stem}.cnf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(name=name, ca=str(is_ca).upper(), more=more))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                key)
        os.chmod(key, 0o600)
        if is_ca:
            openssl("req", "-new", "-x509", "-key", key, "-config", config,
                    "-extensions", "v3", "-days", str(days), "-out", cert)
            return cert, key
        request = self._path(f"{stem}.csr")
        openssl("req", "-new", "-key", key, "-config", config, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                self.ca_key, "-CAcreateserial", "-days", str(days), "-extfile",
                config, "-extensions", "v3", "-out", cert)
        return cert, key

    def node(self, node="n1", stem=None, days=30):
        return self._make(
            stem or node, node, False,
            "extendedKeyUsage = serverAuth,clientAuth\n"
            f"subjectAltName = URI:roster://node/{node},DNS:localhost,"
            "IP:127.0.0.1,IP:::1", days)

    def client(self, name, stem=None, days=30, **more):
        return self._make(stem or f"client-{name}", name, False,
                          more.get("more", "extendedKeyUsage = clientAuth"),
                          days)

    def context(self, cert=None, key=None):
        context = ssl.create_default_context(cafile=self.ca)
        if cert:
            context.load_cert_chain(cert, key)
        return context


_common = None


def common():
    """One that all servers of a process share."""
    global _common
    _common = _common or Authority()
    return _common
