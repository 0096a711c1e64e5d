from __future__ import annotations

import json

import pytest

import penstock.compute.environments.base as environments
from penstock.agent.attempt import MAX_TRIES
from penstock.agent.processes import kill_marked

SHIM = str(environments.SHIM_FOLDER)
COUNTING = """
import sys
import penstock
for step in range(int(sys.argv[1]), int(sys.argv[2])):
    penstock.log_metric("loss", 1 / (step + 1), step=step)
"""


def test_a_command_runs_and_its_log_is_kept(workspace):
    end = workspace.run("echo hello; echo oops >&2")
    assert (end["reason"], end["exit_code"], end["message"]) == ("exited", 0, "")
    assert end["started_at"] <= end["ended_at"]
    assert workspace.door.log == b"hello\noops\n"
    assert workspace.door.artifact("user_logs/std_log.txt") == b"hello\noops\n"


def test_nothing_is_left_in_the_workspace(workspace):
    workspace.run("mkdir -p deep/er; echo x > deep/er/file; ln -s / root")
    assert not workspace.folder.parent.exists()
    assert not workspace.spool.exists()


def test_a_quick_command_needs_one_request(workspace):
    workspace.door.blobs["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"] = b""
    workspace.run("true")
    finish = f"POST /internal/attempts/{workspace.attempt}/finish"
    assert workspace.door.requests.count(finish) == 1
    assert set(workspace.door.requests) <= {finish, f"POST /internal/attempts/{workspace.attempt}/report"}


def test_a_failing_command_keeps_its_exit_code_and_outputs(workspace):
    end = workspace.run("echo partial > outputs/result.txt; echo broken >&2; exit 7")
    assert (end["reason"], end["exit_code"]) == ("exited", 7)
    assert "exit code 7" in end["message"]
    assert workspace.door.artifact("outputs/result.txt") == b"partial\n"


def test_a_command_ended_by_a_signal_says_which(workspace):
    end = workspace.run("kill -SEGV $$")
    assert (end["reason"], end["exit_code"]) == ("signal", 139)
    assert "SIGSEGV" in end["message"]


def test_the_log_streams_in_order_while_the_command_runs(workspace):
    gates = [workspace.gate(f"gate{n}") for n in range(3)]
    agent = workspace.start("; ".join(f"echo line {n}; {gate}" for n, gate in enumerate(gates)) + "; echo end")
    for number, gate in enumerate(gates):
        expected = b"".join(b"line %d\n" % n for n in range(number + 1))
        workspace.door.wait_until(lambda expected=expected: workspace.door.log == expected)
        gate.open()
    assert agent.wait() == 0
    assert workspace.door.log == b"line 0\nline 1\nline 2\nend\n"
    assert [report["state"] for report in workspace.door.reports][-1] in {"running", "finalizing"}


def test_a_progress_bar_streams_before_its_line_ends(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"printf '\\r 10%%|#   |'; {gate}; printf '\\r100%%|####|\\n'")
    workspace.door.wait_until(lambda: workspace.door.log == b"\r 10%|#   |")
    gate.open()
    assert agent.wait() == 0
    assert workspace.door.log == b"\r 10%|#   |\r100%|####|\n"


@pytest.mark.parametrize(
    "content", ["naïve 数字 🎉".encode(), bytes(range(256)), "🎉".encode()[:2], b"\xed\xa0\x80\xff"]
)
def test_any_bytes_pass_through_the_log(workspace, content):
    gate = workspace.gate()
    written = "".join(f"\\x{byte:02x}" for byte in content)
    agent = workspace.start(f"printf '{written}'; {gate}; printf '{written}'")
    workspace.door.wait_until(lambda: content.startswith(workspace.door.log) and workspace.door.reports)
    gate.open()
    assert agent.wait() == 0
    assert workspace.door.log == content * 2
    assert workspace.door.artifact("user_logs/std_log.txt") == content * 2


def test_a_long_log_comes_in_slices(workspace):
    workspace.run("seq 1 200000")
    expected = b"".join(b"%d\n" % n for n in range(1, 200001))
    assert workspace.door.log == expected == workspace.door.artifact("user_logs/std_log.txt")


def steps(workspace) -> list[int]:
    return [event["metric"][2] for event in workspace.door.events]


def test_metrics_arrive_once_and_in_order_though_the_server_was_away(workspace):
    digest = workspace.blob(COUNTING.encode())
    first, second, third = (workspace.gate(name) for name in ("first", "second", "third"))
    agent = workspace.start(
        f"python count.py 0 500; {first}; python count.py 500 900; echo away > {second.path}; {third}; "
        "python count.py 900 1000",
        code=[{"path": "count.py", **digest}],
        shim=SHIM,
    )
    workspace.door.wait_until(lambda: len(workspace.door.lines) == 500)
    workspace.door.stop()
    first.open()
    assert second.path.read_text() == "away\n"
    workspace.door.start()
    third.open()
    assert agent.wait() == 0
    assert steps(workspace) == list(range(1000))


@pytest.mark.parametrize("fault", ["drop", "lose", 500, 503])
def test_metrics_arrive_once_and_in_order_though_answers_get_lost(workspace, fault):
    digest = workspace.blob(COUNTING.encode())
    gates = [workspace.gate(f"gate{n}") for n in range(4)]
    workspace.door.fault = lambda method, path, count: fault if count % 3 else None
    command = "; ".join(f"python count.py {n}0 {n + 1}0; echo {n}; {gate}" for n, gate in enumerate(gates))
    agent = workspace.start(command, code=[{"path": "count.py", **digest}], shim=SHIM)
    for number, gate in enumerate(gates):
        workspace.door.wait_until(lambda number=number: len(workspace.door.lines) == (number + 1) * 10)
        gate.open()
    assert agent.wait() == 0
    assert steps(workspace) == list(range(40))
    assert workspace.door.log == b"0\n1\n2\n3\n"


def test_a_command_goes_on_and_ends_while_the_server_is_away(workspace):
    workspace.door.stop()
    agent = workspace.start("echo done > outputs/a; echo logged")
    workspace.door.start()
    assert agent.wait() == 0
    assert workspace.door.artifact("outputs/a") == b"done\n"
    assert workspace.door.log == b"logged\n"


def test_a_torn_event_line_is_passed_over(workspace):
    workspace.run("""printf '{"t":1,"tag":["a","b"]}\\n{"t":2,"ta' > $PENSTOCK_SPOOL/events.jsonl""")
    assert workspace.door.events == [{"t": 1, "tag": ["a", "b"]}]


def test_an_agent_killed_after_the_exit_was_recorded_is_finished_by_another(workspace):
    def refuse_uploads(method, path, count):
        if method == "PUT":
            workspace.door.finish_asked.set()
            workspace.door.finish_gate.wait()
            return "lose"
        return None

    workspace.door.fault = refuse_uploads
    workspace.door.finish_gate.clear()
    agent = workspace.start("echo kept > outputs/kept.txt; echo said; exit 3", outputs={"n": {"path": "named/n"}})
    assert workspace.door.finish_asked.wait(60)
    agent.kill()
    agent.wait()
    workspace.door.fault = lambda method, path, count: None
    workspace.door.finish_gate.set()
    assert not workspace.door.end
    assert workspace.collect() == 0
    end = workspace.door.end
    assert end["exit_code"] == 3
    assert end["outputs"] == {"n": []}
    assert workspace.door.artifact("outputs/kept.txt") == b"kept\n"
    assert workspace.door.log == b"said\n"
    assert not workspace.spool.exists()


def test_what_a_lost_agent_left_is_delivered_and_the_attempt_is_lost(workspace):
    gate = workspace.gate()
    agent = workspace.start(
        "echo begun; echo half > outputs/half.txt; echo l > logs/l; echo n > ../named/n/n; "
        "mkdir $PENSTOCK_SPOOL/artifacts; echo p > $PENSTOCK_SPOOL/artifacts/p; "
        f"""printf '{{"t":1,"tag":["a","b"]}}\n{{"torn' > $PENSTOCK_SPOOL/events.jsonl; echo all; {gate}""",
        outputs={"n": {"path": "named/n"}},
    )
    workspace.door.wait_until(lambda: workspace.door.log == b"begun\nall\n")
    assert workspace.collect() == 3
    agent.kill()
    agent.wait()
    assert workspace.collect() == 0
    assert kill_marked(workspace.attempt) == 0
    end = workspace.door.end
    assert (end["reason"], end["exit_code"]) == ("lost", None)
    assert end["message"] == "the agent that ran the command was lost"
    assert workspace.door.paths == ["logs/l", "outputs/half.txt", "p", "user_logs/std_log.txt"]
    assert [entry["path"] for entry in end["outputs"]["n"]] == ["n"]
    assert workspace.door.events == [{"t": 1, "tag": ["a", "b"]}]
    assert workspace.door.log == b"begun\nall\n" == workspace.door.artifact("user_logs/std_log.txt")
    assert not workspace.spool.exists()
    assert not workspace.folder.exists()


def test_log_and_events_the_server_lacks_are_delivered_for_a_lost_agent(workspace):
    workspace.door.stop()
    said = workspace.gate("said")
    agent = workspace.start(
        f"""seq 1 200000; printf '{{"t":1,"tag":["a","b"]}}\n' > $PENSTOCK_SPOOL/events.jsonl; echo > {said.path}; """
        f"{workspace.gate()}"
    )
    said.path.read_text()
    agent.kill()
    agent.wait()
    kill_marked(workspace.attempt)
    workspace.door.start()
    assert workspace.collect() == 0
    assert workspace.door.log == b"".join(b"%d\n" % n for n in range(1, 200001))
    assert workspace.door.events == [{"t": 1, "tag": ["a", "b"]}]


def test_an_agent_that_left_no_assignment_leaves_nothing_to_collect(workspace):
    assert workspace.collect() == 2
    workspace.spool.mkdir(parents=True)
    assert workspace.collect() == 2
    (workspace.spool / "assignment.json").write_text("{torn")
    assert workspace.collect() == 2
    assert not (workspace.spool / "assignment.json").exists()


def test_a_spool_that_ends_every_collector_is_ended_without_its_files(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"echo kept > outputs/kept; {gate}")
    workspace.door.wait_until(lambda: workspace.door.reports)
    agent.kill()
    agent.wait()
    kill_marked(workspace.attempt)
    workspace.door.refuses = lambda path, payload: 503
    while json.loads((workspace.spool / "agent.json").read_text())["tries"] < MAX_TRIES:
        collector = workspace.spawn("--collect", str(workspace.spool))
        collector.stdin.close()
        seen = len(workspace.door.requests)
        workspace.door.wait_for_request(seen + 1)
        collector.kill()
        collector.wait()
    workspace.door.refuses = lambda path, payload: None
    assert workspace.collect() == 0
    assert workspace.door.end["artifacts"] == []
    assert "could not be kept" in workspace.door.end["message"]


def test_reports_name_the_agent_and_the_command(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"echo $$; {gate}")
    workspace.door.wait_until(lambda: workspace.door.log)
    report = workspace.door.reports[-1]
    assert report["agent"]["pid"] == agent.pid
    assert (report["state"], report["pid"]) == ("running", int(workspace.door.log))
    gate.open()
    assert agent.wait() == 0


def test_an_idle_agent_ends_with_its_input(workspace):
    agent = workspace.spawn()
    agent.stdin.close()
    assert agent.wait() == 0


def test_what_is_no_assignment_is_refused(workspace):
    agent = workspace.spawn()
    agent.stdin.write(b'{"attempt": "a"}\n')
    agent.stdin.close()
    assert agent.wait() == 2
    assert "lacks the key" in workspace.errors.read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"code": [{"path": "../x", "digest": "0" * 64, "size": 1}]}, "the path '../x' would leave its folder"),
        ({"folder": "relative"}, "the path 'relative' must be absolute"),
        ({"timeout_s": "soon"}, "the assignment is damaged"),
    ],
)
def test_an_assignment_that_is_refused_is_told_to_the_server(workspace, changes, sentence):
    assert workspace.start("true", **changes).wait(60) == 2
    end = workspace.door.end
    assert (end["reason"], end["exit_code"]) == ("prepare_failed", None)
    assert sentence in end["message"]


def test_a_spool_that_cannot_be_made_is_told_to_the_server(workspace):
    (workspace.root / "spool").write_text("in the way")
    assert workspace.start("true").wait(60) == 2
    assert workspace.door.end["reason"] == "prepare_failed"
    assert "Not a directory" in workspace.door.end["message"]


def test_a_command_that_is_no_command_fails_the_attempt(workspace):
    assert workspace.run("true \0 false")["reason"] == "prepare_failed"


@pytest.mark.parametrize("is_final", [False, True])
def test_a_huge_log_is_delivered_in_bounded_memory(workspace, is_final):
    peaks: list[int] = []

    def watch(path, payload):
        if path.endswith("/finish"):
            with open(f"/proc/{agent.pid}/status") as file:
                peaks.append(next(int(line.split()[1]) for line in file if line.startswith("VmHWM")))

    workspace.door.refuses = watch
    if is_final:
        workspace.door.stop()
    gate = workspace.gate()
    agent = workspace.start(f"head -c 100000000 /dev/zero | tr '\\0' 'x'; {gate}")
    if not is_final:
        workspace.door.wait_until(lambda: len(workspace.door.written) == 100_000_000)
    gate.open()
    if is_final:
        workspace.door.start()
    assert agent.wait(60) == 0
    assert len(workspace.door.written) == len(workspace.door.artifact("user_logs/std_log.txt")) == 100_000_000
    assert max(peaks) < 40_000
