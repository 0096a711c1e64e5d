"""The part of the metadata suite about what MLflow's protocol keeps: datasets, logged models, the registry."""

from __future__ import annotations

import math

import pytest

from penstock.entities.asset import AssetKind
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.logged_model import ModelStatus
from penstock.entities.run import LifecycleStage
from penstock.rules.filters.tree import Comparison, Field, Op, OrderKey, Scope
from penstock.stores.metadata import assets, datasets, experiments, logged_models, registered_models
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.datasets import Dataset
from penstock.stores.metadata.logged_models import ModelPoint
from penstock.stores.metadata.search.experiment_search import search_experiments
from penstock.stores.metadata.search.registry_search import RegistryQuery, search_models, search_versions
from penstock.testing.fixtures import MetadataFixtures, make_run

_NAMES = ["Zoo", "_x", "a-b", "aB", "ab", "z", "Ähre", "ß"]
"""Sorted by their bytes, as on every backend, and as in no dictionary."""


class ProtocolRecordSuite(MetadataFixtures):
    """What the protocol keeps beside runs."""

    def test_datasets_are_rows_of_their_experiment(self, store: MetadataStore, run_id: str) -> None:
        """One row however many runs use it; a run names it once, in the order of logging."""
        train = Dataset("mnist", "d1", "local", "{}", "{}", None, {"mlflow.data.context": "training", "a": "ü"})
        other = Dataset("mnist", "d2", "local", "{}")
        second = make_run(store)
        for run in (run_id, second, run_id):
            store.write(lambda c, r=run: datasets.log_datasets(c, r, [train, other, train]))  # type: ignore[misc] # a default binds the loop variable
        store.write(lambda c: datasets.log_models(c, run_id, datasets.OUTPUT, [("m-2", 3), ("m-1", 0)]))
        with store.read() as connection:
            found = datasets.inputs_of_runs(connection, [run_id, second, "nobody"])
        assert found[run_id].datasets == found[second].datasets == [train, other]
        assert sorted(found[run_id].model_outputs) == [("m-1", 0), ("m-2", 3)]
        with pytest.raises(NotFoundError):
            store.write(lambda c: datasets.log_datasets(c, "nobody", [train]))

    def test_a_logged_model_keeps_what_is_said_of_it(self, store: MetadataStore, run_id: str) -> None:
        """Parameters, tags, and values of runs, NaN and infinity among them; equal values are one."""
        made = store.write(
            lambda c: logged_models.create_model(
                c, model_id="m-1", experiment_id="0", name="net", now=5, source_run_id=run_id, params={"lr": "0.1"}
            )
        )
        points = [
            ModelPoint("m-1", "loss", math.inf, 1, 0, "mnist", "d1"),
            ModelPoint("m-1", "loss", math.nan, 2, 0),
        ]
        for _ in range(2):
            store.write(lambda c: logged_models.add_model_metrics(c, run_id, points))
        store.write(lambda c: logged_models.set_tags(c, "m-1", {"a": "1", "b": "2"}))
        store.write(lambda c: logged_models.delete_tag(c, "m-1", "a"))
        store.write(lambda c: logged_models.finish_model(c, "m-1", ModelStatus.READY, now=6))
        with store.read() as connection:
            found = logged_models.get_model(connection, "m-1")
            (whole,) = logged_models.read_models(connection, [found.row])
        assert (made.status, found.status, found.updated_at) == (ModelStatus.PENDING, ModelStatus.READY, 6)
        assert (whole.params, whole.tags) == ({"lr": "0.1"}, {"b": "2"})
        assert [(m.value, m.dataset_name) for m in whole.metrics if not math.isnan(m.value)] == [(math.inf, "mnist")]
        assert len(whole.metrics) == 2
        store.write(lambda c: logged_models.delete_model(c, "m-1", now=7))
        with store.read() as connection:
            assert logged_models.get_model(connection, "m-1").lifecycle_stage is LifecycleStage.DELETED
            with pytest.raises(NotFoundError):
                logged_models.get_model(connection, "m-1", with_deleted=False)

    def test_registered_models_are_found_and_sorted_by_bytes(self, store: MetadataStore) -> None:
        """By name, description of a filter and tag; a name is taken once, its case counts."""
        for number, taken in enumerate(reversed(_NAMES)):
            tags = {"odd": str(number % 2)}
            store.write(lambda c, n=taken, t=tags: registered_models.create_model(c, n, now=1, tags=t))  # type: ignore[misc] # a default binds the loop variable
        with pytest.raises(ConflictError):
            store.write(lambda c: registered_models.create_model(c, "ab", now=1))

        def names(*items: Comparison, order: tuple[OrderKey, ...] = ()) -> list[str]:
            where = items[0] if items else None
            with store.read() as connection:
                return [found.name for found in search_models(connection, RegistryQuery(where, order, 100))]

        name = Field(Scope.ATTRIBUTE, "name")
        assert names() == _NAMES
        assert names(order=(OrderKey(name, is_descending=True),)) == _NAMES[::-1]
        assert names(Comparison(name, Op.LIKE, "a%")) == ["a-b", "aB", "ab"]
        assert names(Comparison(name, Op.LIKE, "%B")) == ["aB"]
        assert names(Comparison(name, Op.ILIKE, "%B")) == ["a-b", "aB", "ab"]
        assert names(Comparison(Field(Scope.TAG, "odd"), Op.EQ, "1")) == [
            n for n in _NAMES if _NAMES[::-1].index(n) % 2
        ]

    def test_versions_have_aliases_and_stages(self, store: MetadataStore) -> None:
        """Greatest number of each stage first known; renaming takes all along; deleting frees nothing of others."""
        for number in range(1, 12):
            store.write(
                lambda c, n=number: assets.create_version(  # type: ignore[misc] # a default binds the loop variable
                    c, kind=AssetKind.MODEL, name="net", version=None, now=n, created_by="ada", tags={"n": str(n)}
                )
            )
        store.write(lambda c: registered_models.set_stage(c, "net", "2", "Production", now=20))
        store.write(lambda c: registered_models.set_stage(c, "net", "10", "Production", now=21, empty_to="Archived"))
        store.write(lambda c: registered_models.set_alias(c, "net", "best", "9"))
        store.write(lambda c: registered_models.set_alias(c, "net", "best", "11"))
        store.write(lambda c: registered_models.rename_model(c, "net", "Netz", now=30))
        with store.read() as connection:
            latest = registered_models.latest_versions(connection, ["Netz"])["Netz"]
            found = registered_models.get_model(connection, "Netz")
            assert registered_models.find_alias(connection, "Netz", "best") == "11"
            assert len(search_versions(connection, RegistryQuery(limit=100))) == 11
            with pytest.raises(NotFoundError):
                registered_models.get_model(connection, "net")
        assert {(version.stage, version.version) for version in latest} == {
            (None, "11"),
            ("Production", "10"),
            ("Archived", "2"),
        }
        assert found.aliases == {"best": "11"}
        store.write(lambda c: registered_models.delete_model(c, "Netz"))
        with store.read() as connection, pytest.raises(NotFoundError):
            registered_models.get_model(connection, "Netz")

    def test_experiments_sort_and_page_by_what_is_asked(self, store: MetadataStore) -> None:
        """By name bytewise; a filter's LIKE tells cases apart."""
        for taken in reversed(_NAMES):
            store.write(lambda c, n=taken: experiments.create_experiment(c, n, now=1))  # type: ignore[misc] # a default binds the loop variable
        field = Field(Scope.ATTRIBUTE, "name")
        order = (OrderKey(field),)
        with store.read() as connection:
            found = search_experiments(connection, None, order, limit=4)
            rest = search_experiments(connection, None, order, limit=40, offset=4)
            like = search_experiments(connection, Comparison(field, Op.LIKE, "a%"), order, view="ALL", limit=9)
        assert [experiment.name for experiment in found + rest] == sorted([*_NAMES, "Default"])
        assert [experiment.name for experiment in like] == ["a-b", "aB", "ab"]
