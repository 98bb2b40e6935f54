"""A cluster that nothing happens to keeps its leader (scripts/soak --what
calm does the same for as long as it is told)."""
from calm import Calm
from cluster import Cluster
from harness import bare, until


def hand_over(cluster):
    """Somebody else leads."""
    was = cluster.agreed_leader()
    cluster.client(was).post("/v1/cluster/transfer", {}).must(200, 202, 204)
    until(lambda: cluster.leader_now() not in (None, was), 20)


def watched(cluster, seed, happens):
    calm = Calm(cluster, seed, registers=2, adders=2, insisters=1, listers=1,
                agents=2)
    wait = calm.nemesis.run

    def run(seconds, kinds):
        happens()
        wait(seconds, kinds)
    calm.nemesis.run = run
    calm.run(3)
    wrong = calm.settle()
    calm.tidy()
    return wrong


@bare(timeout=120)
def a_leader_that_nothing_happens_to_leads_on_and_one_that_was_replaced_is_told():
    with Cluster(3) as cluster:
        wrong = watched(cluster, 1, lambda: None)
        assert not wrong, wrong
        wrong = watched(cluster, 2, lambda: hand_over(cluster))
        assert len(wrong) == 1 and "an election without" in wrong[0], wrong
