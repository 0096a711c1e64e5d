from __future__ import annotations

import pytest

from penstock.agent.collection import artifact_name, files_below
from penstock.rules.artifact_paths import check_path


def test_outputs_logs_and_named_outputs_are_kept(workspace):
    end = workspace.run(
        "mkdir -p outputs/a/b; echo 1 > outputs/a/b/one; echo 2 > logs/two; echo 3 > ../named/n/three; "
        "echo 4 > ../named/f/f; chmod +x outputs/a/b/one; echo 5 > unrelated",
        outputs={"n": {"path": "named/n", "type": "uri_folder"}, "f": {"path": "named/f/f", "type": "uri_file"}},
    )
    assert workspace.door.paths == ["logs/two", "outputs/a/b/one", "user_logs/std_log.txt"]
    assert [entry["executable"] for entry in end["artifacts"]] == [True, False, False]
    assert [entry["path"] for entry in end["outputs"]["n"]] == ["three"]
    assert [entry["path"] for entry in end["outputs"]["f"]] == ["f"]
    assert workspace.door.blobs[end["outputs"]["n"][0]["digest"]] == b"3\n"


def test_what_was_logged_as_an_artifact_is_kept(workspace):
    workspace.run("mkdir -p $PENSTOCK_SPOOL/artifacts/images; echo x > $PENSTOCK_SPOOL/artifacts/images/a.png")
    assert workspace.door.artifact("images/a.png") == b"x\n"


def test_links_never_lead_out_of_the_attempt(workspace):
    secret = workspace.root / "secret"
    secret.mkdir()
    (secret / "token").write_text("hidden")
    workspace.run(
        f"cd outputs; ln -s {secret}/token file; ln -s {secret} folder; ln -s ../../../../../secret/token dots; "
        "echo ours > real; ln -s real inside; mkdir d; echo x > d/x; ln -s d again; ln -s .. up; ln -s nowhere broken; "
        f"mkfifo pipe; ln -s {workspace.spool}/assignment.json assignment"
    )
    assert workspace.door.paths == [
        "outputs/again/x",
        "outputs/d/x",
        "outputs/inside",
        "outputs/real",
        "user_logs/std_log.txt",
    ]
    assert b"hidden" not in b"".join(workspace.door.blobs.values())
    for name in ("file", "folder", "dots", "up", "broken", "pipe", "assignment"):
        assert f"not collected: {name}" in workspace.door.log.decode()


def test_an_outputs_folder_that_became_a_link_is_not_followed(workspace):
    (workspace.root / "elsewhere").mkdir()
    (workspace.root / "elsewhere" / "file").write_text("x")
    workspace.run(f"rmdir outputs; ln -s {workspace.root}/elsewhere outputs")
    assert workspace.door.paths == ["user_logs/std_log.txt"]


def test_odd_names_become_artifact_paths(workspace):
    workspace.run("cd outputs; touch $'a\\\\b' $'caf\\xe9' $'new\\nline' '50%2e' 'plain ü 数'")
    assert workspace.door.paths == [
        "outputs/50=252e",
        "outputs/a=5Cb",
        "outputs/caf=E9",
        "outputs/new=0Aline",
        "outputs/plain ü 数",
        "user_logs/std_log.txt",
    ]


@pytest.mark.parametrize("name", ["a\\b", "\udcff", "x\x00", "%2E%2e", "C:x", "a%25", "tab\t", "ü", "a b", "%41"])
def test_every_name_is_one_the_server_accepts(name):
    assert check_path(artifact_name(name))


def test_a_big_output_is_streamed(workspace):
    workspace.door.finish_gate.clear()
    agent = workspace.start("head -c 67108864 /dev/zero > outputs/big; echo end >> outputs/big")

    def peak() -> int:
        with open(f"/proc/{agent.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    uploads: list[str] = []

    def watch(method, path, count):
        if path.endswith("/finish") and uploads:
            workspace.peak = peak()
        uploads.extend([path] if method == "PUT" else [])

    workspace.door.fault = watch
    workspace.door.finish_gate.set()
    assert agent.wait() == 0
    assert len(workspace.door.artifact("outputs/big")) == 67108868
    assert workspace.peak < 40_000


def test_a_file_is_walked_as_itself(tmp_path):
    (tmp_path / "one").write_text("1")
    assert list(files_below(str(tmp_path / "one"), str(tmp_path), print)) == [("one", str(tmp_path / "one"))]
    assert list(files_below(str(tmp_path / "none"), str(tmp_path), print)) == []


def test_a_deep_tree_is_passed_over_and_the_rest_kept(workspace):
    digger = b"import os\nos.chdir('outputs')\nfor n in range(1500):\n    os.mkdir('deep')\n    os.chdir('deep')\n"
    workspace.run(
        "echo kept > outputs/kept; mkdir -p outputs/a/b; echo b > outputs/a/b/c; python dig.py; exit 3",
        code=[{"path": "dig.py", **workspace.blob(digger)}],
    )
    assert workspace.door.end["exit_code"] == 3
    assert workspace.door.paths == ["outputs/a/b/c", "outputs/kept", "user_logs/std_log.txt"]
    assert workspace.door.log.count(b"not collected: deep/") == 1
    assert not workspace.folder.parent.exists()


def test_names_that_grow_too_long_are_passed_over(workspace):
    workspace.run("cd outputs; touch $(printf '\\\\%.0s' $(seq 100)) kept")
    assert workspace.door.paths == ["outputs/kept", "user_logs/std_log.txt"]
    assert b"not collected" in workspace.door.log


def test_a_chain_of_links_is_no_reason_to_die(workspace):
    chain = b"import os\nos.chdir('outputs')\nfor n in range(3000):\n    os.symlink(f'{n + 1:04}', f'{n:04}')\n"
    workspace.run("python chain.py; echo end > outputs/z", code=[{"path": "chain.py", **workspace.blob(chain)}])
    assert "outputs/z" in workspace.door.paths
    assert workspace.door.log.count(b"\n") < 200
    assert b"more" in workspace.door.log
