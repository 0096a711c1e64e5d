from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.rules.replicas import (
    MAX_LOSSES_WHILE_LOADING,
    Decision,
    ReplicaState,
    Seen,
    Trouble,
    Wanted,
    after_end,
    after_ready,
    after_shortage,
    decide,
)

KEY = ("digits", "blue")
STARTING, READY, FAILED, DRAINING = (
    ReplicaState.STARTING,
    ReplicaState.READY,
    ReplicaState.FAILED,
    ReplicaState.DRAINING,
)


def look(wanted, seen, troubles=None, now=0) -> Decision:
    return decide(wanted, seen, troubles or {}, now=now, start_timeout_ms=1000, drain_timeout_ms=1000)


def replica(replica_id: str, fingerprint: str = "new", state: ReplicaState = READY, **fields) -> Seen:
    return Seen(replica_id, fields.pop("key", KEY), fingerprint, state, fields.pop("since", 0), **fields)


def target(revision: int = 2, fingerprint: str = "new", instances: int = 1) -> Wanted:
    return Wanted(KEY, revision, fingerprint, instances)


def test_a_new_deployment_starts_as_many_as_wanted():
    decision = look([target(instances=2)], [])
    assert len(decision.starts) == 2
    assert decision.routes == {KEY: ()}
    assert decision.verdicts == []


def test_the_first_ready_replica_gets_requests_at_once_but_ready_means_all():
    decision = look([target(instances=2)], [replica("a"), replica("b", state=STARTING)])
    assert decision.routes == {KEY: ("a",)}
    assert decision.verdicts == []
    assert decision.starts == []


def test_an_update_keeps_the_old_until_all_new_ones_are_ready():
    old = [replica("o1", "old"), replica("o2", "old")]
    decision = look([target(instances=2)], [*old, replica("n1"), replica("n2", state=STARTING)])
    assert decision.routes == {KEY: ("o1", "o2")}
    assert decision.drains == []
    decision = look([target(instances=2)], [*old, replica("n1"), replica("n2")])
    assert decision.routes == {KEY: ("n1", "n2")}
    assert decision.drains == ["o1", "o2"]
    assert [verdict.is_ready for verdict in decision.verdicts] == [True]


def test_a_revision_that_cannot_load_leaves_the_old_one_answering():
    trouble = {(KEY, "new"): Trouble(is_fatal=True, message="score.py:3: ImportError: no torch")}
    decision = look([target()], [replica("old", "old")], trouble)
    assert decision.routes == {KEY: ("old",)}
    assert decision.starts == []
    assert decision.drains == []
    assert [(v.is_ready, v.message) for v in decision.verdicts] == [(False, "score.py:3: ImportError: no torch")]


def test_what_is_not_wanted_drains_and_ends_with_its_last_request():
    assert look([], [replica("a", in_flight=1)]).drains == ["a"]
    waiting = look([], [replica("a", state=DRAINING, in_flight=1)], now=500)
    assert waiting.stops == []
    assert waiting.look_again_at == 1000
    assert look([], [replica("a", state=DRAINING)]).stops == ["a"]
    assert look([], [replica("a", state=DRAINING, in_flight=1)], now=1000).stops == ["a"]


def test_a_replica_that_does_not_come_up_is_stopped_in_time():
    assert look([target()], [replica("a", state=STARTING)], now=999).stops == []
    assert look([target()], [replica("a", state=STARTING)], now=1000).stops == ["a"]


def test_fewer_instances_drain_the_newest():
    decision = look([target(instances=1)], [replica("a"), replica("b"), replica("c", state=STARTING)])
    assert decision.drains == ["c", "b"]
    assert decision.routes == {KEY: ("a",)}


def test_a_model_in_the_gateway_takes_the_place_of_its_replica():
    moved = replica("moved", is_inline=True, since=10)
    decision = look([target()], [replica("proof"), moved])
    assert decision.routes == {KEY: ("moved",)}
    assert decision.drains == ["proof"]
    assert decision.starts == []


def test_a_model_in_the_gateway_answers_until_its_successors_are_ready():
    moved = replica("moved", "", is_inline=True)
    decision = look([target(instances=2)], [moved, replica("n1")])
    assert decision.routes == {KEY: ("moved",)}
    decision = look([target(instances=2)], [moved, replica("n1"), replica("n2")])
    assert (decision.routes, decision.drains) == ({KEY: ("n1", "n2")}, ["moved"])


def test_a_start_of_an_older_fingerprint_is_given_up():
    assert look([target()], [replica("a", "older", STARTING)]).drains == ["a"]


def test_a_lost_replica_is_replaced_at_once_then_more_and_more_slowly():
    trouble = after_ready(Trouble())
    waits = []
    for _ in range(8):
        trouble = after_end(trouble, ready_ms=10, said_failed=False, message="gone", now=100)
        waits.append(trouble.not_before - 100)
    assert waits == [0, 500, 1000, 2000, 5000, 10000, 30000, 30000]
    decision = look([target()], [], {(KEY, "new"): replace(trouble, not_before=700)}, now=100)
    assert decision.starts == []
    assert decision.look_again_at == 700
    steady = after_end(trouble, ready_ms=60_000, said_failed=False, message="gone", now=100)
    assert steady.not_before == 100


def test_loading_is_tried_three_times_when_the_process_was_killed_and_once_when_it_said_so():
    said = after_end(Trouble(), ready_ms=None, said_failed=True, message="no", now=0)
    assert said.is_fatal
    trouble = Trouble()
    for number in range(1, MAX_LOSSES_WHILE_LOADING + 1):
        trouble = after_end(trouble, ready_ms=None, said_failed=False, message="killed", now=0)
        assert trouble.is_fatal == (number == MAX_LOSSES_WHILE_LOADING)


def test_a_shortage_is_tried_again_for_ever_and_counts_for_nothing_else():
    trouble = Trouble()
    waits = []
    for _ in range(20):
        trouble = after_shortage(trouble, message="no files", now=0)
        waits.append(trouble.not_before)
    assert waits[0] > 0
    assert waits == sorted(waits)
    assert (trouble.is_fatal, trouble.losses, trouble.message) == (False, 0, "no files")
    assert after_ready(trouble).shortages == 0


def test_what_was_ready_once_is_never_given_up():
    trouble = after_ready(Trouble())
    for _ in range(10):
        trouble = after_end(trouble, ready_ms=None, said_failed=True, message="no", now=0)
    assert not trouble.is_fatal


class Rollouts(RuleBasedStateMachine):
    """Apply decisions to a make-believe world in which replicas load, die and finish in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.count = 0
        self.wanted: Wanted | None = None
        self.seen: dict[str, Seen] = {}
        self.routed: tuple[str, ...] = ()
        self.had_ready = False

    @rule(fingerprint=st.sampled_from(["a", "b", "c"]), instances=st.integers(1, 3))
    def want(self, fingerprint, instances):
        self.wanted = Wanted(KEY, self.now, fingerprint, instances)

    @rule()
    def want_nothing(self):
        self.wanted = None

    @precondition(lambda self: any(r.state is STARTING for r in self.seen.values()))
    @rule(data=st.data())
    def become_ready(self, data):
        name = data.draw(st.sampled_from(sorted(n for n, r in self.seen.items() if r.state is STARTING)))
        self.seen[name] = replace(self.seen[name], state=READY, since=self.now)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def die(self, data):
        name = data.draw(st.sampled_from(sorted(self.seen)))
        del self.seen[name]
        self.routed = tuple(n for n in self.routed if n != name)

    @rule()
    def act(self):
        self.now += 10
        decision = look([self.wanted] if self.wanted else [], list(self.seen.values()), now=self.now)
        before = self.routed
        self.routed = decision.routes.get(KEY, ())
        for name in decision.drains:
            self.seen[name] = replace(self.seen[name], state=DRAINING, since=self.now)
        for name in decision.stops:
            assert name not in self.routed, "a replica with requests was stopped"
            del self.seen[name]
        for started in decision.starts:
            self.count += 1
            name = f"r{self.count}"
            self.seen[name] = Seen(name, KEY, started.fingerprint, STARTING, self.now)
        if self.wanted is not None and before:
            assert self.routed, "an update left nobody to answer"

    @invariant()
    def only_ready_replicas_get_requests(self):
        assert all(self.seen[name].state is READY for name in self.routed)

    def teardown(self):
        if self.wanted is None:
            return
        for _ in range(12):  # left alone, every look starts, readies or drains: it settles
            for name, found in list(self.seen.items()):
                if found.state is STARTING:
                    self.seen[name] = replace(found, state=READY, since=self.now)
            self.act()
        assert len(self.routed) == self.wanted.instances == len(self.seen)
        assert {r.fingerprint for r in self.seen.values()} == {self.wanted.fingerprint}


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
