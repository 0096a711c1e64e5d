from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.errors import UsageError
from penstock.rules.aliases import MAX_ALIAS, check_alias


@pytest.mark.parametrize("alias", ["champion", "a-b_c", "ü", "vv", "v1a", "latest2", "1", "x" * MAX_ALIAS])
def test_alias_may_be_set(alias: str) -> None:
    assert check_alias(alias, is_new=True) == alias


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V12"])
def test_what_always_means_the_same_is_asked_for_but_not_set(alias: str) -> None:
    assert check_alias(alias) == alias
    with pytest.raises(UsageError, match="reserved"):
        check_alias(alias, is_new=True)


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "a@b", "a.b", "a\n", "x" * (MAX_ALIAS + 1)])
def test_what_is_no_alias_is_refused(alias: str) -> None:
    with pytest.raises(UsageError):
        check_alias(alias)


@given(st.text(max_size=20))
def test_an_alias_fits_into_a_reference(text: str) -> None:
    try:
        alias = check_alias(text, is_new=True)
    except UsageError:
        return
    assert not set(alias) & set(":/@ \n")
