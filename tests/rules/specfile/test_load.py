from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.asset import DataSpec, EnvironmentSpec, ModelSpec
from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.errors import SpecError
from penstock.entities.job import CommandJobSpec
from penstock.rules.specfile import apply_overrides, load_entity, parse_document
from penstock.rules.validation import validate_entity


def complaints(text, model=CommandJobSpec, overrides=()):
    with pytest.raises(SpecError) as caught:
        load_entity(apply_overrides(parse_document(text, "f.yml"), overrides), model)
    return [str(problem) for problem in caught.value.problems]


def test_the_form_of_a_message():
    text = "command: x\ninputs:\n  lr:\n    type: number\n    vlaue: 1\n"
    assert complaints(text) == ['f.yml:5:5: inputs.lr: unknown key "vlaue"\n  Did you mean "value"?']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("comand: x\n", ['f.yml:1:1: unknown key "comand"\n  Did you mean "command"?']),
        ("code: x\n", ['f.yml:1:1: "command" is missing\n  Say what to run, for example: command: python train.py']),
        ("command:\n", ['f.yml:1:9: command: has no value']),
        ("command: ''\n",
         ['f.yml:1:10: command: must not be empty\n  Say what to run, for example: command: python train.py']),
        ("command: [a]\n", ["f.yml:1:10: command: must be text, not a list"]),
        ("command: x\ninputs: [a]\n", ["f.yml:2:9: inputs: must be a mapping, not a list"]),
        ("command: x\ninputs:\n  a:\n", ["f.yml:3:5: inputs.a: has no value"]),
        ("command: x\ninputs:\n  a: [1]\n",
         ["f.yml:3:6: inputs.a: must be a mapping, text, true or false or a number, not a list"]),
        ("command: x\ninputs:\n  a: {value: [1]}\n",
         ["f.yml:3:14: inputs.a.value: must be text, true or false or a number, not a list"]),
        ("command: x\ninputs:\n  a/b: 1\n",
         ['f.yml:3:3: inputs.a/b: "a/b" is no valid name for an input or output\n'
          "  Begin with a letter or '_', go on with letters, digits, '_' and '-'."]),
        ("command: x\ninputs: {a: {type: uri_fil, path: x}}\n",
         ['f.yml:2:20: inputs.a.type: "uri_fil" is not possible here\n  Did you mean "uri_file"?']),
        ("command: x\noutputs: {a: {mode: zzz}}\n",
         ['f.yml:2:21: outputs.a.mode: "zzz" is not possible here\n  Possible: rw_mount, mount, upload, direct.']),
        ("command: x\noutputs: {a: text}\n", ['f.yml:2:14: outputs.a: must be a mapping, not "text"']),
        ("command: x\nlimits: {timeout: 0}\n", ["f.yml:2:19: limits.timeout: must be more than 0, not 0"]),
        ("command: x\nlimits: {timeout: 1h}\n", ['f.yml:2:19: limits.timeout: must be a whole number, not "1h"']),
        ("command: x\nlimits: {timeout: 1.5}\n", ["f.yml:2:19: limits.timeout: must be a whole number, not 1.5"]),
        ("command: x\nlimits: {timout: 5}\n", ['f.yml:2:10: limits: unknown key "timout"\n  Did you mean "timeout"?']),
        ("command: x\nresources: {instance_count: 0}\n",
         ["f.yml:2:29: resources.instance_count: must be at least 1, not 0"]),
        ("type: sweep\ntrial: {command: x}\nobjective: {}\n",
         ['f.yml:1:7: type: "sweep" is not possible here\n  Possible: command.']),
        ("command: x\ntype: pipeline\n", ['f.yml:2:7: type: "pipeline" is not possible here\n  Possible: command.']),
        ("command: x\nenvironment: [1]\n", ["f.yml:2:14: environment: must be a mapping or text, not a list"]),
        ("command: x\nenvironment: {imge: a}\n",
         ['f.yml:2:15: environment: unknown key "imge"\n  Did you mean "image"?']),
        ("command: x\nenvironment: {dependencies: [a]}\n",
         ['f.yml:2:15: environment: unknown key "dependencies"\n'
          "  This looks like a conda file; name that file with conda_file."]),
        ("command: x\nenvironment_variables: {'A=B': 1}\n",
         ["f.yml:2:25: environment_variables.A=B: \"A=B\" is no name of an environment variable\n"
          "  It may not be empty or hold '='."]),
        ("command: x\nenvironment_variables: {A: [1]}\n",
         ["f.yml:2:28: environment_variables.A: must be text, not a list"]),
        ('command: "a\\0b"\n', ['f.yml:1:10: command: "a\x00b" holds a NUL character, which no command can take']),
        ("command: x\ninputs: {a: .inf}\n",
         ["f.yml:2:13: inputs.a: inf is no finite number\n  Put it in quotes if it is meant as text."]),
        ("command: x\nname: a b\n",
         ['f.yml:2:7: name: "a b" is no valid job name\n  A job\'s name begins with a letter or digit and goes on with '
          "letters, digits, '-' and '_', 255 at most; display_name is free text."]),
        ("command: x\ndistribution: {type: pytorhc}\n",
         ['f.yml:2:22: distribution.type: "pytorhc" is not possible here\n  Did you mean "pytorch"?']),
        ("[a, b]\n", ["f.yml:1:1: must be a mapping, not a list"]),
        ("just text\n", ['f.yml:1:1: must be a mapping, not "just text"']),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_job(text, expected):
    assert complaints(text) == expected


def test_all_mistakes_are_listed_in_the_order_of_the_file():
    text = "comand: x\nlimits: {timeout: a}\ninputs:\n  a: {tpye: x}\nfoo: 1\n"
    assert [line.split(": ")[0] for line in complaints(text)] == ["f.yml:1:1", "f.yml:2:19", "f.yml:4:7", "f.yml:5:1"]


def test_a_mistake_on_the_command_line_names_the_option():
    assert complaints("command: x\n", overrides=["limits.timeout=x"]) == [
        '--set limits.timeout=x: limits.timeout: must be a whole number, not "x"'
    ]


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("name: m\n", ModelSpec,
         ['f.yml:1:1: "path" is missing\n'
          "  Say where it is: a file, a folder, azureml://jobs/… or an http(s) address."]),
        ("name: m\npath: x\ntype: uri_folder\n", ModelSpec,
         ['f.yml:3:7: type: a model is no "uri_folder"; possible: custom_model, mlflow_model, triton_model']),
        ("name: my_e\n", OnlineEndpointSpec,
         ['f.yml:1:7: name: "my_e" is no valid name\n'
          "  It begins with a letter, goes on with letters, digits and '-', ends without '-', and is 3 to 32 long."]),
        ("name: ab\n", OnlineEndpointSpec, ['f.yml:1:7: name: "ab" is too short: 3 to 32 characters']),
        ("name: abc\ntraffic: {blue: 101}\n", OnlineEndpointSpec,
         ["f.yml:2:17: traffic.blue: must be at most 100, not 101"]),
        ("name: abc\nendpoint_name: abc\nrequest_settings: {request_timeot_ms: 1}\n", OnlineDeploymentSpec,
         ['f.yml:3:20: request_settings: unknown key "request_timeot_ms"\n  Did you mean "request_timeout_ms"?']),
        ("name: abc\nendpoint_name: abc\ncode_configuration:\n  code: x\n", OnlineDeploymentSpec,
         ['f.yml:3:1: code_configuration: "scoring_script" is missing\n'
          "  Name the file with init() and run(), for example: scoring_script: score.py"]),
        ("name: abc\nendpoint_name: abc\nmodel: {pth: x}\n", OnlineDeploymentSpec,
         ['f.yml:3:9: model: unknown key "pth"\n  Did you mean "path"?']),
    ],
)  # fmt: skip
def test_what_is_wrong_with_other_things(text, model, expected):
    assert complaints(text, model) == expected


def load(text, model=CommandJobSpec):
    return load_entity(parse_document(text), model)


def test_text_is_taken_as_it_was_written():
    job = load(
        "command: x\nname: 2024\nenvironment_variables: {A: 010, B: yes, C: 1.10, D: , E: null, F: 2024-01-01}\n"
        "tags: {v: 1.0}\n"
    )
    assert job.name == "2024"
    assert job.environment_variables == {"A": "010", "B": "yes", "C": "1.10", "D": "", "E": "", "F": "2024-01-01"}
    assert job.tags == {"v": "1.0"}
    assert load("name: m\npath: x\nversion: 1.10\n", DataSpec).version == "1.10"


def test_a_key_without_a_value_counts_as_not_given():
    job = load("command: x\ninputs:\noutputs:\ntags:\ndescription:\nlimits:\nenvironment_variables:\n")
    assert job == CommandJobSpec(command="x")


def test_an_output_without_settings_is_an_output():
    assert load("command: x\noutputs:\n  a:\n").outputs == {"a": None}


def test_choices_take_any_case():
    job = load("command: x\ntype: Command\ninputs: {a: {type: URI-Folder, path: x, mode: RO_Mount}}\n")
    assert job.inputs["a"].model_dump(exclude_none=True) == {"type": "uri_folder", "path": "x", "mode": "ro_mount"}
    assert load("name: abc\nauth_mode: AMLToken\n", OnlineEndpointSpec).auth_mode == "aml_token"


def test_what_azure_ml_shows_can_be_sent_again():
    assert load("command: x\nid: y\nstatus: Completed\nlog_files: {}\n") == CommandJobSpec(command="x")


def test_data_built_in_python_is_mended_the_same_way():
    job = validate_entity(CommandJobSpec, {"command": "x", "environment_variables": {"A": 1, "B": True, "C": 1.5}})
    assert job.environment_variables == {"A": "1", "B": "true", "C": "1.5"}
    with pytest.raises(SpecError, match=r"inputs\.a: unknown key"):
        validate_entity(CommandJobSpec, {"command": "x", "inputs": {"a": {"tpye": 1}}})


@pytest.mark.parametrize("name", ["str", "InputSpec", "CommandJobSpec", "bool", "[key]x", "inputs"])
def test_names_that_look_like_the_validator_s_own_do_no_harm(name):
    [line] = complaints(f"command: x\ntags: {{'{name}': [1]}}\n")
    assert line.startswith(f"f.yml:2:{12 + len(name)}: tags.{name}: must be text")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([field.alias or name for name, field in CommandJobSpec.model_fields.items()])


@given(
    st.dictionaries(FIELDS | st.text(max_size=5), JSON | st.dictionaries(st.just("a"), JSON, max_size=1), max_size=5)
)
def test_any_data_is_a_job_or_a_list_of_problems_for_people(data):
    for problem in refused(CommandJobSpec, data):
        assert not any(jargon in str(problem).lower() for jargon in ("pydantic", "should be a valid", "dictionary"))
        assert problem.message[0] in '"0123456789-' or problem.message[0].islower()


def refused(model, data):
    """Return the problems of data that is no entity; an entity has none, everything else at least one."""
    try:
        validate_entity(model, data)
    except SpecError as error:
        return error.problems or pytest.fail("refused without a reason")
    return ()


@given(st.dictionaries(st.sampled_from(["image", "conda_file", "build", "name", "version", "zzz"]), JSON, max_size=4))
def test_any_data_is_an_environment_or_a_list_of_problems(data):
    assert all(problem.message for problem in refused(EnvironmentSpec, data))
