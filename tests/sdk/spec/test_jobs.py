from __future__ import annotations

import textwrap

import pytest

from penstock.entities.errors import NotFoundError, Problem, SpecError, UsageError
from penstock.entities.job import CommandJobSpec, InputSpec
from penstock.rules.references import TreeReference, parse_reference
from penstock.sdk.spec.jobs import close_job, load_job


@pytest.fixture
def job(write):
    def write_job(text: str):
        return write("job.yml", textwrap.dedent(text))

    return write_job


def problems(path, uploader, overrides=()):
    with pytest.raises(SpecError) as caught:
        load_job(path, overrides, uploader=uploader)
    assert uploader.trees == {}, "nothing may be uploaded for a specification that is wrong"
    return [
        str(problem).replace(str(path), "job.yml").replace(str(path.parent) + "/", "")
        for problem in caught.value.problems
    ]


def test_code_and_data_are_uploaded_and_everything_else_stays(job, write, uploader):
    write("src/train.py", "print()")
    write("src/__pycache__/train.pyc")
    write("data/a.csv")
    write("one.csv")
    path = job(
        """
        command: python train.py ${{inputs.lr}} ${{inputs.folder}}
        code: src
        environment: azureml:AzureML-sklearn-1.5@latest
        inputs:
          lr: 0.1
          folder: {type: uri_folder, path: ./data/}
          single: {type: uri_file, path: file:one.csv}
          loose: {path: one.csv}
          asset: {path: azureml:digits@latest}
          output: {path: azureml://jobs/j/outputs/o}
          url: {type: uri_file, path: https://example.org/a.csv}
        """
    )
    spec = load_job(path, uploader=uploader).spec
    assert spec.code is not None
    assert uploader.names(spec.code) == ["train.py"]
    paths = {name: given.path for name, given in spec.inputs.items() if isinstance(given, InputSpec)}
    assert uploader.names(paths["folder"]) == ["a.csv"]
    assert uploader.trees[paths["single"]].is_file
    assert paths["loose"] == paths["single"]
    assert {paths[name] for name in ("asset", "output", "url")} == {
        "azureml:digits@latest",
        "azureml://jobs/j/outputs/o",
        "https://example.org/a.csv",
    }
    assert spec.inputs["lr"] == 0.1
    assert spec.environment == "azureml:AzureML-sklearn-1.5@latest"


def test_a_closed_specification_needs_no_files_any_more(job, write, uploader):
    write("src/train.py")
    spec = load_job(job("command: x\ncode: src\n"), uploader=uploader).spec
    assert isinstance(parse_reference(spec.code or ""), TreeReference)
    assert close_job(spec, uploader=uploader) == spec


def test_overrides_come_before_everything(job, write, uploader):
    write("other/train.py")
    path = job("command: x\ncode: src\ninputs: {lr: 0.1, data: azureml:a:1}\n")
    overrides = ["code=other", "inputs.lr=1", "inputs.data.path=other", "display_name=007"]
    spec = load_job(path, overrides, uploader=uploader).spec
    assert spec.inputs["lr"] == 1
    assert spec.display_name == "007"
    data = spec.inputs["data"]
    assert isinstance(data, InputSpec)
    assert data.path == spec.code


def test_environments_are_read_in_from_beside_their_file(job, write, uploader):
    write("envs/conda.yml", "name: x\ndependencies:\n  - python=3.11\n  - pip:\n      - numpy\n")
    write("envs/env.yml", "image: python\nconda_file: conda.yml\nversion: 1.10\n")
    for environment in ("file:envs/env.yml", "{image: python, version: '1.10', conda_file: envs/conda.yml}"):
        spec = load_job(job(f"command: x\nenvironment: {environment}\n"), uploader=uploader).spec
        assert not isinstance(spec.environment, str | None)
        assert spec.environment.conda_file == {"name": "x", "dependencies": ["python=3.11", {"pip": ["numpy"]}]}
        assert spec.environment.version == "1.10"


def test_a_mistake_in_an_included_file_names_that_file(job, write, uploader):
    write("envs/conda.yml", "dependencies: []\n")
    write("envs/env.yml", "image: python\nconda_fil: conda.yml\n")
    path = job("command: x\nenvironment: file:envs/env.yml\n")
    assert problems(path, uploader) == [
        'envs/env.yml:2:1: environment: unknown key "conda_fil"\n  Did you mean "conda_file"?'
    ]
    write("envs/env.yml", "image: python\nconda_file: cnda.yml\n")
    assert problems(path, uploader) == [
        'envs/env.yml:2:13: environment.conda_file: there is no file or folder "cnda.yml"\n'
        '  Did you mean "conda.yml"? Looked for envs/cnda.yml.'
    ]
    write("envs/cnda.yml", "- numpy\n")
    assert problems(path, uploader)[0].startswith("envs/cnda.yml:1:1: environment.conda_file: this is no conda file")


def test_all_mistakes_are_found_before_anything_is_uploaded(job, write, uploader):
    write("src/train.py")
    write("data/a.csv")
    path = job(
        """\
        command: python train.py ${{inputs.lrr}}
        code: scr
        inputs:
          lr: 0.1
          a: {type: uri_folder, path: dat}
          b: {type: uri_file, path: data}
          c: {path: azureml:x:y:z}
          d: {type: integer, value: 1.5}
          e: {path: data}
        """
    )
    assert problems(path, uploader) == [
        "job.yml:1:26: command: ${{inputs.lrr}} names nothing here\n  Did you mean ${{inputs.lr}}?",
        'job.yml:2:7: code: there is no file or folder "scr"\n  Did you mean "src"? Looked for scr.',
        'job.yml:5:31: inputs.a.path: there is no file or folder "dat"\n  Did you mean "data"? Looked for dat.',
        'job.yml:6:29: inputs.b.path: "data" is a folder, not a file\n  Use type: uri_folder.',
        'job.yml:7:13: inputs.c.path: "azureml:x:y:z" is no reference\n'
        "  Write azureml:<name>:<version> or azureml:<name>@latest.",
        "job.yml:8:29: inputs.d.value: 1.5 is no integer",
    ]


def test_a_mistake_on_the_command_line_names_the_option(job, uploader):
    path = job("command: x\n")
    [line] = problems(path, uploader, ["code=nowhere"])
    assert line.startswith('--set code=nowhere: code: there is no file or folder "nowhere"')


def test_a_path_that_leads_nowhere_is_shown_whole_with_what_is_beside_it(job, write, uploader, folder):
    write("train.py")
    write(".hidden")
    missing = folder / "lib"
    for name, hint in {
        "nosrc": f"Looked for {folder}/nosrc; beside it are job.yml, train.py.",
        "./src/../nosrc": f"Looked for {folder}/nosrc; beside it are job.yml, train.py.",
        "lib/src": f"Looked for {missing}/src, but there is no folder {missing}.",
    }.items():
        with pytest.raises(SpecError) as caught:
            load_job(job(f"command: x\ncode: {name}\n"), uploader=uploader)
        assert caught.value.problems[0].hint == hint
    with pytest.raises(SpecError, match="cannot be looked up: File name too long"):
        load_job(job(f"command: x\ncode: {'x' * 300}\n"), uploader=uploader)
    write("../elsewhere/job.yml")
    with pytest.raises(NotFoundError, match=r'"jbo\.yml"\n  Did you mean "job\.yml"\? Looked for .*elsewhere/jbo'):
        load_job("jbo.yml", uploader=uploader)


def test_code_is_not_cloned_from_the_network(job, uploader):
    [line] = problems(job("command: x\ncode: https://github.com/a/b\n"), uploader)
    assert "cannot be fetched" in line


def test_an_input_from_a_step_is_left_to_the_server(job, uploader):
    path = job("command: x\ninputs: {a: {path: '${{parent.inputs.a}}'}}\n")
    given = load_job(path, uploader=uploader).spec.inputs["a"]
    assert isinstance(given, InputSpec)
    assert given.path == "${{parent.inputs.a}}"


def test_a_folder_with_a_number_for_a_name(job, write, uploader):
    write("2024/a.csv")
    given = load_job(job("command: x\ninputs: {a: {path: 2024}}\n"), uploader=uploader).spec.inputs["a"]
    assert isinstance(given, InputSpec)
    assert uploader.names(given.path) == ["a.csv"]


def test_windows_paths_work(job, write, uploader):
    write("data/x/a.csv")
    given = load_job(job("command: x\ninputs: {a: {path: data\\x}}\n"), uploader=uploader).spec.inputs["a"]
    assert isinstance(given, InputSpec)
    assert uploader.names(given.path) == ["a.csv"]


def test_a_server_s_error_gets_the_author_s_line(job, uploader):
    path = job("command: x\ninputs:\n  data: {path: azureml:digit:3}\n")
    loaded = load_job(path, uploader=uploader)
    error = SpecError([Problem('no asset named "digit"', "/inputs/data/path", "Did you mean …?")], ref="r")
    located = loaded.locate(error)
    assert str(located) == f'{path}:3:16: inputs.data.path: no asset named "digit"\n  Did you mean …?'
    assert located.ref == "r"


def test_files_that_are_no_specification(folder, write, uploader):
    with pytest.raises(NotFoundError):
        load_job(folder / "nothing.yml", uploader=uploader)
    with pytest.raises(SpecError, match="the file is empty"):
        load_job(write("empty.yml", "# nothing\n"), uploader=uploader)
    with pytest.raises(UsageError, match="cannot be read"):
        load_job(folder, uploader=uploader)
    (folder / "latin.yml").write_bytes(b"command: x\ndescription: caf\xe9\n")
    with pytest.raises(SpecError, match=r"latin\.yml:2:17: this is no UTF-8 text"):
        load_job(folder / "latin.yml", uploader=uploader)
    (folder / "bom.yml").write_bytes(b"\xef\xbb\xbfcommand: x\n")
    assert load_job(folder / "bom.yml", uploader=uploader).spec.command == "x"


def test_a_job_built_in_python_takes_the_same_way(folder, write, uploader):
    write("src/train.py")
    write("conda.yml", "dependencies: [numpy]\n")
    spec = CommandJobSpec.model_validate(
        {"command": "x", "code": "src", "environment": {"conda_file": "conda.yml"}, "outputs": {"a": None}}
    )
    closed = close_job(spec, uploader=uploader, folder=folder)
    assert uploader.names(closed.code) == ["train.py"]
    assert not isinstance(closed.environment, str | None)
    assert closed.environment.conda_file == {"dependencies": ["numpy"]}
    assert closed.outputs == {"a": None}
    with pytest.raises(SpecError, match=r'there is no file or folder "conda\.yml"'):
        close_job(spec, uploader=uploader)
