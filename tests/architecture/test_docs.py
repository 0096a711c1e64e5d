"""The documentation is true: every link leads somewhere, every command and option is described."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path

from onnx import TensorProto, helper

DOCS = Path(__file__).parents[2] / "docs"


def test_every_link_leads_somewhere():
    build = runpy.run_path(str(DOCS / "build.py"))
    pages = list(build["find_pages"]())
    assert len(pages) > 5
    assert [problem for page in pages for problem in build["check_links"](page)] == []


def test_every_command_and_option_is_described():
    reference = runpy.run_path(str(DOCS / "cli_reference.py"))
    assert reference["PAGE"].read_text("utf-8") == reference["render"](), "run: python docs/cli_reference.py"


def test_the_scoring_script_that_the_guide_shows_scores(tmp_path, monkeypatch):
    guide = (DOCS / "how-to" / "serve.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(# score\.py\n.*?)```", guide, re.DOTALL)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "score.py").write_text(script)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    spec = importlib.util.spec_from_file_location("score_of_the_guide", tmp_path / "score.py")
    assert spec is not None
    assert spec.loader is not None
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    score.init()
    assert score.run('{"data": [[1, 2.5]]}') == {"scores": [[2.0, 5.0]]}
