"""The same clients as in a storm, and nothing is broken: then nobody may ask
for votes. An election without a reason is a pause for everybody."""
import re

from chaos import Storm


class Calm(Storm):
    def __init__(self, cluster, seed, **options):
        super().__init__(cluster, seed, **options)
        self.nemesis.run = lambda seconds, kinds: self.over.wait(seconds)

    def terms(self):
        """{node: its term}, and who leads."""
        found = {"leader": self.cluster.agreed_leader()}
        for name in self.cluster.names:
            text = self.cluster.client(name).get("/metrics").must(200).body
            found[name] = int(re.search(rb"^roster_raft_term (\d+)", text,
                                        re.M)[1])
        return found

    def run(self, seconds, kinds=None):
        self.before = self.terms()
        super().run(seconds, kinds)

    def settle(self):
        wrong, after = super().settle(), self.terms()
        if after != self.before:
            wrong.append(f"an election without a reason: {self.before}, then "
                         f"{after}")
        return wrong
