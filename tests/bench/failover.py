"""A leader is killed, or stopped: how long until a write is accepted through
another node. outage.c says what exactly is measured."""
import json
import signal

import bodies
import cluster
import ways
from method import Row, comma

PLAIN = {
    "cluster-kill": "first write accepted after kill -9 of the leader, under "
                    "64 writers",
    "cluster-stop": "first write accepted after SIGSTOP of the leader, under "
                    "64 writers",
}
ROWS = ways.rows(PLAIN, *PLAIN, among=(ways.BOTH,))
HOW = {"cluster-kill": (signal.SIGKILL, 0.6),
       "cluster-stop": (signal.SIGSTOP, 1.5)}
WRITERS = 64


def group(bench, wants):
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        yield from outages(bench, way, names)
        bench.down()


def outages(bench, way, names):
    made = {"roster": cluster.roster_writer(bench.up(
        "roster x 3", lambda: bench.make_cluster(way=way)))}
    # Peers are asked plainly: what they need for it is their sessions' matter.
    if bench.have("etcd") and way is ways.PLAIN:
        made["etcd"] = cluster.etcd_writer(bench)
    if bench.have("zookeeper") and way is ways.PLAIN:
        made["zookeeper"] = cluster.zookeeper_writer(bench)
    unknown = dict.fromkeys(made, 0)
    before = {n: w.count() - w.server.acknowledged for n, w in made.items()}
    rows = []
    for name in names:
        row = Row(way.of(name), ROWS[way.of(name)])
        row.take(rounds(bench, made, HOW[name][0], unknown),
                 ("seconds", "silence"))
        rows.append(judge(row, HOW[name][1]))
    for name, writer in made.items():
        rows[-1].notes.append(count(rows, name, writer, before[name],
                                    unknown[name]))
    yield from rows


def rounds(bench, made, how, unknown):
    """Peers take part in the first rounds only: theirs are long."""
    def go(name):
        sample = once(bench, made[name], how)
        unknown[name] += sample.get("unknown", 0) + sample.get("refused", 0)
        return sample
    few = min(bench.options.failovers_peers, bench.options.failovers)
    all_of = {n: (lambda n=n: go(n)) for n in made}
    taken = bench.rounds(all_of, few, warm=False)
    rest = bench.options.failovers - few
    if rest:
        taken += bench.rounds({"roster": all_of["roster"]}, rest, warm=False)
    return taken


def once(bench, writer, how):
    server, place = writer.server, bench.place
    # As long before the signal as after the first write.
    ms = max(300, bench.options.ms // 2)
    leader = server.leader()
    hello = writer.how.get("hello")
    argv = [place.outage, "-a", comma(server.ports()), "-k",
            str(leader.process.pid), "-S", str(int(how)), "-P",
            writer.how.get("protocol", "http"), "-f",
            bench.file(bodies.signed(writer.request, server.headers)), "-c", str(WRITERS), "-w", str(ms),
            "-t", str(ms), "-s", str(server.items),
            *(["-p", bench.file(hello)] if hello else []),
            *(["-C", server.ca] if server.ca else [])]
    code, out, err = bench.client(server, argv)
    bring_back(server, leader, how)
    if code:
        return {"faults": [f"the client: {err.strip()}"]}
    sample = json.loads(out)
    sample.update(command=" ".join(argv), faults=[])
    server.items += sample["sent"]
    server.acknowledged += sample["acknowledged"]
    if sample["seconds"] is None:
        sample["faults"].append("no write was accepted; "
                                f"{sample['first_refused'][:160]}")
    return sample


def bring_back(server, leader, how):
    if how == signal.SIGSTOP:
        leader.process.send_signal(signal.SIGCONT)
    else:
        leader.stop(how)
        leader.launch()
    server.wait_ready()


def count(rows, name, writer, before, unknown):
    """No acknowledged row is missing, and there is none that nobody sent."""
    said, kept = writer.server.acknowledged, writer.count() - before
    if not said <= kept <= said + unknown:
        for row in rows:
            row.refuse(f"{name} acknowledged {said} additions, {unknown} are "
                       f"unknown or refused, and it keeps {kept}")
    return (f"{name}: all rows: {said} acknowledged, {unknown} unknown or "
            f"refused, {kept} kept, the same by each node")


def judge(row, most):
    row.bound(f"in less than {most} s", row.figures["roster"]["seconds"],
              lambda v: v < most)
    for peer in ("etcd", "zookeeper"):
        row.inform("seconds", "roster", peer)
    for name in row.figures:
        samples = [r["samples"][name] for r in row.rounds
                   if name in r["samples"]]
        row.notes.append(f"{name}, each round: " + ", ".join(
            shown(s) for s in samples))
    return row


def shown(sample):
    seconds = sample.get("seconds")
    return "none" if seconds is None else f"{seconds:.3f} s"
