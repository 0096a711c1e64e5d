"""Our reading of ignore files against git's own, pattern by pattern."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.sdk.spec.ignore import ALWAYS_IGNORED, IgnoreRules
from penstock.sdk.spec.snapshot import list_files


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        ([], "a.py", False),
        ([], "__pycache__", True),
        ([], "x/.git", True),
        ([], ".penstock", True),
        ([], "a.pyc", True),
        (["*.log"], "a.log", True),
        (["*.log"], "x/y/a.log", True),
        (["/a.log"], "x/a.log", False),
        (["/a.log"], "a.log", True),
        (["x/*.log"], "x/a.log", True),
        (["x/*.log"], "x/y/a.log", False),
        (["x/**/a"], "x/a", True),
        (["x/**/a"], "x/y/z/a", True),
        (["**/a"], "x/y/a", True),
        (["x/**"], "x", False),
        (["x/**"], "x/y/z", True),
        (["*.log", "!keep.log"], "keep.log", False),
        (["!__pycache__/"], "__pycache__", False),
        (["# comment", "", "   "], "# comment", False),
        ([r"\#a"], "#a", True),
        ([r"\!a"], "!a", True),
        (["a  "], "a", True),
        ([r"a\ "], "a ", True),
        (["[ab].txt"], "b.txt", True),
        (["[!ab].txt"], "b.txt", False),
        (["[a-c]"], "b", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[unclosed"], "[unclosed", True),
        (["*"], "anything", True),
        (["foo*bar"], "foo/bar", False),
    ],
)
def test_a_pattern_means_what_it_means_to_git(lines, path, ignored):
    assert IgnoreRules(lines).ignores(path, is_folder=path in ("__pycache__", "x/.git", ".penstock", "x")) is ignored


def test_a_pattern_for_folders_spares_files():
    rules = IgnoreRules(["build/"])
    assert rules.ignores("build", is_folder=True)
    assert rules.ignores("x/build", is_folder=True)
    assert not rules.ignores("build", is_folder=False)


LAYOUT = [f"{outer}{inner}" for outer in ("", "x/", "x/y/", "b.d/") for inner in ("a", "b", "ab", "a.log", "[a]")]
PIECES = st.sampled_from(["a", "b", "x", "y", "*", "?", ".log", "[ab]", "[!a]", "b.d", "\\a", r"\[", "[a-b]"])
SEGMENTS = st.lists(PIECES, min_size=1, max_size=3).map("".join).filter(lambda text: "**" not in text)
# "x**" beside other letters means one thing in git's manual and another in some of its versions.
PATHS = st.lists(SEGMENTS | st.just("**"), min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(
    st.tuples(st.sampled_from(["", "", "!", "/", "!/", "#", " "]), PATHS, st.sampled_from(["", "/", "  "])).map(
        "".join
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A folder with some files, and git's answer to what an ignore file leaves of it."""
    git = shutil.which("git")
    if git is None:
        pytest.fail("the tests need git, as the repository itself does")
    folder = tmp_path_factory.mktemp("repository")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([git, "init", "-q", str(folder)], check=True, env=environment)
    for name in LAYOUT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    def kept(lines: list[str]) -> list[str]:
        (folder / ".gitignore").write_text("\n".join([*ALWAYS_IGNORED, *lines]) + "\n")
        command = [git, "ls-files", "--others", "--exclude-standard", "-z"]
        result = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=environment)
        return sorted(set(result.stdout.split("\0")) - {"", ".gitignore"})

    return folder, kept


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATTERNS)
@example(["x/**", "!x/y/"])
@example(["**", "!*.log"])
@example(["/*", "!/x"])
@example(["**", "!/**"])
def test_the_same_files_stay_as_git_keeps(repository, lines):
    folder, kept = repository
    ours = [path for path in list_files(folder, ignore=IgnoreRules(lines)) if path != ".gitignore"]
    assert ours == kept(lines)
