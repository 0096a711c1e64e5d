from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import SpecError
from penstock.rules.expressions import expand, expand_command, find_expressions, is_bound, render

INPUTS = {"lr": "0.1", "data": "/w/inputs/data", "seed": None, "flag": render(True)}
OUTPUTS = {"model": "/w/named/model"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py", "python train.py"),
        ("--lr ${{inputs.lr}}", "--lr 0.1"),
        ("--lr ${{ inputs.lr }} ${{inputs.lr}}", "--lr 0.1 0.1"),
        ("${{inputs.data}}/a.csv > ${{outputs.model}}/b", "/w/inputs/data/a.csv > /w/named/model/b"),
        ("echo ${{name}}", "echo job-1"),
        ("--flag ${{inputs.flag}}", "--flag True"),
        ("x $[[--seed ${{inputs.seed}}]] y", "x  y"),
        ("x $[[--lr ${{inputs.lr}}]] y", "x --lr 0.1 y"),
        ("x $[[--lr ${{inputs.lr}} --seed ${{inputs.seed}}]] y", "x  y"),
        ("$[[--lr ${{inputs.lr}}]]$[[--seed ${{inputs.seed}}]]", "--lr 0.1"),
        ("echo $[[ literal ]]", "echo $[[ literal ]]"),
        ("echo $[[ ${{name}} ]]", "echo $[[ job-1 ]]"),
        ("a\n$[[\n  --lr ${{inputs.lr}}\n]]", "a\n\n  --lr 0.1\n"),
        ("echo ${HOME} $(date) $[1] {{x}}", "echo ${HOME} $(date) $[1] {{x}}"),
        ("grep '$[[:alpha:]_]' ${inputs}", "grep '$[[:alpha:]_]' ${inputs}"),
        ("[[ -f a ]] && echo ${{inputs.lr}}", "[[ -f a ]] && echo 0.1"),
    ],
)
def test_a_command_is_filled_in(command, expected):
    assert expand_command(command, INPUTS, OUTPUTS, "job-1") == expected


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("${{inputs.lrr}}", "${{inputs.lrr}} names nothing here", "Did you mean ${{inputs.lr}}?"),
        ("${{input.lr}}", "${{input.lr}} names nothing here", "Did you mean ${{inputs.lr}}?"),
        ("${{outputs.modle}}", "${{outputs.modle}} names nothing here", "Did you mean ${{outputs.model}}?"),
        (
            "${{outputs.zzz}}",
            "${{outputs.zzz}} names nothing here",
            "Declare it under outputs: zzz: {type: uri_folder}",
        ),
        ("${{inputs.zzz}}", "${{inputs.zzz}} names nothing here", "Declare it under inputs: zzz: 0.1"),
        ("${{inputs.model}}", "${{inputs.model}} names nothing here", "Did you mean ${{outputs.model}}?"),
        ("${{other}}", "${{other}} names nothing here", "Known here: ${{inputs.lr}}"),
        ("echo ${{inputs.lr", "${{ is not closed", "Write ${{inputs.lr}}."),
        ("echo ${{inputs.lr}", "${{ is not closed", "Write ${{inputs.lr}}."),
        ("echo ${{inputs.lr ${{inputs.lr}}", "${{ is not closed", "Write ${{inputs.lr}}."),
        ("echo ${{", "${{ is not closed", "Write ${{inputs.x}}."),
        ("$[[ --x ${{inputs.lr}}", "$[[ is not closed", "Close it with ]]"),
        ("$[[ --x ${{inputs.lr}} $[[ y ]]", "$[[ is not closed", "Close it with ]]"),
        ("echo ${inputs.lr}", "${inputs.lr} is no expression", "Write ${{inputs.lr}}."),
        ("echo ${ outputs.model }/x", "${outputs.model} is no expression", "Write ${{outputs.model}}."),
        ("${{}}", "${{}} names nothing here", "Known here: ${{inputs.lr}}"),
        ("${{inputs.seed}}", "the optional input ${{inputs.seed}} has no value", "$[[--x ${{inputs.seed}}]]"),
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_the_nearest(command, message, hint):
    with pytest.raises(SpecError) as caught:
        expand_command(command, INPUTS, OUTPUTS, "job-1")
    [problem] = caught.value.problems
    assert problem.message == message
    assert hint in problem.hint
    assert problem.pointer == "/command"


def test_every_wrong_expression_is_listed_in_order_with_its_offset():
    command = "${{a}} ${inputs.lr} ${{b}} ${{inputs.lr}} ${{"
    with pytest.raises(SpecError) as caught:
        expand_command(command, INPUTS, OUTPUTS, "job-1")
    assert [problem.offset for problem in caught.value.problems] == [0, 7, 20, 42]


def test_an_unknown_name_in_an_optional_block_is_still_a_mistake():
    with pytest.raises(SpecError):
        expand_command("$[[${{inputs.sed}}]]", INPUTS, OUTPUTS, "job-1")


def test_a_value_is_not_expanded_again():
    assert expand("${{inputs.a}}", {"inputs.a": "${{inputs.b}} $[[x]]", "inputs.b": "no"}) == "${{inputs.b}} $[[x]]"


def test_expressions_know_their_place():
    text = "a ${{ inputs.x }} $[[${{inputs.y}}]]"
    first, second = find_expressions(text)
    assert text[first.start : first.end] == "${{ inputs.x }}"
    assert (first.parts, first.is_optional, second.path, second.is_optional) == (
        ["inputs", "x"],
        False,
        "inputs.y",
        True,
    )
    assert is_bound(text)
    assert not is_bound("${x}")


@given(st.text(alphabet=st.characters(blacklist_characters="$"), max_size=60))
def test_text_without_expressions_is_never_touched(text):
    assert expand(text, {}) == text


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.text(max_size=10), min_size=1, max_size=4))
def test_each_value_stands_where_its_name_stood(values):
    named = {f"inputs.{name}": value for name, value in values.items()}
    text = "|".join(f"${{{{{name}}}}}" for name in named)
    assert expand(text, named) == "|".join(named.values())


@pytest.mark.parametrize(
    ("value", "text"), [(True, "True"), (False, "False"), (1, "1"), (0.001, "0.001"), (1e-7, "1e-07"), ("a b", "a b")]
)
def test_literals_look_as_in_azure_ml(value, text):
    assert render(value) == text
