"""tests/system/run: how many tests run at the same time."""
import argparse
import importlib.machinery
import importlib.util
import os

import harness
from harness import REPOSITORY, bare, until


def runner():
    """The program as a module."""
    full = os.path.join(REPOSITORY, "tests", "system", "run")
    loader = importlib.machinery.SourceFileLoader("runner", full)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("runner", loader))
    loader.exec_module(module)
    return module


def a_runner(running, idle):
    made = runner().Runner(argparse.Namespace(jobs=2, most=4))
    made.running = dict.fromkeys(range(running))
    made.processors.idle = lambda: idle
    return made


@bare
def more_than_the_usual_run_only_while_processors_are_idle():
    for running, idle, full in ((0, False, False), (1, False, False),
                                (2, False, True), (2, True, False),
                                (3, True, False), (4, True, True)):
        assert a_runner(running, idle).full(False) == full, (running, idle)


@bare
def one_that_runs_alone_waits_for_all_others():
    for running in range(4):
        assert a_runner(running, True).full(True) == (running > 0)


@bare
def processors_are_looked_at_for_a_while_after_each_begin():
    found = runner().Processors()
    spent = iter(((0, 0), (30, 100), (40, 200)))
    found.times = lambda: next(spent)
    found.begin()
    assert not found.idle(), "too early to say"
    found.since -= 1
    assert found.idle(), "30 of 100"
    found.since -= 1
    assert not found.idle(), "10 of 100"


@bare
def the_kernel_says_how_idle_they_are():
    before = runner().Processors.times()
    until(lambda: runner().Processors.times()[1] > before[1])


@bare
def one_that_judges_memory_runs_alone_where_memory_counts():
    run = runner()

    def usual():
        pass

    def weighs():
        return harness.memory_counts()
    for f, wanted in ((usual, True), (weighs, harness.memory_counts())):
        f.roster_test = {"alone": True}
        assert run.runs_alone(f) == wanted
        f.roster_test = {"alone": False}
        assert not run.runs_alone(f)
