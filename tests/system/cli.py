"""The program roster as the tests call it."""
import json
import os
import tempfile

from harness import binary, run


def roster(s, *argv, env=None, timeout=60):
    """(exit status, stdout, stderr) of one command against this server."""
    return run([binary("roster"), "--server", f"http://127.0.0.1:{s.port}",
                *argv], env=env, timeout=timeout)


def good(s, *argv, remarks=False, timeout=60):
    code, out, err = roster(s, *argv, timeout=timeout)
    assert code == 0 and (remarks or not err), (argv, code, out[-500:], err)
    return out


def as_json(s, *argv, **more):
    return json.loads(good(s, "--json", *argv, **more))


def refused(s, *argv, says, status=1):
    """It ends with `status` and `says` it on stderr; stdout stays empty."""
    code, out, err = roster(s, *argv)
    assert code == status and says in err and not out, (argv, code, out, err)
    return err


def scratch(s, name):
    """A file's name in a directory that goes with the server."""
    return os.path.join(s.home, name)


def lines_of(*lines):
    """A temporary file with these lines: objects as JSON, texts as they are."""
    fd, name = tempfile.mkstemp(prefix="roster-test-", suffix=".jsonl")
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        for line in lines:
            out.write(line if isinstance(line, str) else json.dumps(line))
            out.write("\n")
    return name


def put(ns, type_, **resource):
    return {"op": "put", "ns": ns, "type": type_, "resource": resource}


def put_ns(ns, kind="leaf", **more):
    return {"op": "ns-put", "ns": ns, "kind": kind, **more}
