"""Run by MLflow's own interpreter: make models, ask ``mlflow.pyfunc.scoring_server`` and our worker the same.

``scoring_program.py FOLDER SHIM`` leaves a folder for each model and ``cases.json``.
"""

from __future__ import annotations

import json
import logging
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pandas
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris, make_regression
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

JSON = "application/json"
SAFE = ("logistic", "probabilities")
PEOPLE = pandas.DataFrame(
    {
        "age": [20, 30, 41, 55, 38, 27] * 10,
        "city": ["Ulm", "Bern", "Linz", "Ulm", "Bern", "Linz"] * 10,
        "member": [True, False, True, False, True, True] * 10,
        "income": [1.5, 2.5, None, 4.5, 5.5, 0.5] * 10,
    }
)


class Failing(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types here
    """Fails on negative numbers; has a parameter."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if (model_input["a"] < 0).any():
            raise ValueError("secret")
        return pandas.DataFrame({"twice": model_input["a"] * (params or {}).get("factor", 2), "text": "x"})


def save(folder: Path) -> None:
    """Save every model with its input example."""
    x, y = load_iris(return_X_y=True, as_frame=True)
    digits = load_digits()
    names = numpy.array(["setosa", "versicolor", "virginica"])[y]
    rx, ry = make_regression(200, 6, noise=3.0, random_state=1)
    frame = pandas.DataFrame(rx, columns=[f"c{i}" for i in range(6)])
    told = numpy.array(["no", "yes", "yes", "no", "yes", "no"] * 10)
    parts = (
        make_pipeline(SimpleImputer(), StandardScaler()),
        ["age", "income"],
    )
    mixed = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), parts, ("passthrough", ["member"])
    )
    strict = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["age"]))
    logistic = LogisticRegression(max_iter=3000)
    models: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "logistic": (LogisticRegression(max_iter=3000).fit(x, y), x[:5], {}),
        "names": (DecisionTreeClassifier(random_state=0).fit(x, names), x[::30], {}),
        "probabilities": (
            logistic.fit(digits.data, digits.target),
            digits.data[:5],
            {"pyfunc_predict_fn": "predict_proba"},
        ),
        "regression": (make_pipeline(StandardScaler(), LinearRegression()).fit(frame, ry), frame[:5], {}),
        "boosting": (GradientBoostingRegressor(random_state=0).fit(rx, ry), rx[:5], {}),
        "two": (LinearRegression().fit(frame, numpy.c_[ry, -ry]), frame[:5], {}),
        "truth": (LogisticRegression(max_iter=3000).fit(x, y == 0), x[::30], {}),
        "floats": (LogisticRegression(max_iter=3000).fit(x, y.astype(float)), x[::30], {}),
        "clusters": (KMeans(3, random_state=0, n_init=1).fit(x), x[::30], {}),
        "mixed": (make_pipeline(mixed, LogisticRegression()).fit(PEOPLE, told), PEOPLE[:6], {}),
        "strict": (make_pipeline(strict, LogisticRegression()).fit(PEOPLE, told), PEOPLE[["age", "city"]][:6], {}),
        "function": (make_pipeline(FunctionTransformer(numpy.log1p), LogisticRegression()).fit(x, y), x[:5], {}),
        "without": (KNeighborsClassifier().fit(x, y), None, {}),
    }
    for name, (model, example, options) in models.items():
        signature = None if example is not None else mlflow.models.infer_signature(x, y)
        mlflow.sklearn.save_model(
            model,
            str(folder / name),
            input_example=example,
            signature=signature,
            serialization_format="skops" if name in SAFE else "cloudpickle",
            pip_requirements=["scikit-learn"],
            **options,
        )
    columns = mlflow.types.Schema([mlflow.types.ColSpec("double", "a")])
    params = mlflow.types.ParamSchema([mlflow.types.ParamSpec("factor", "double", 2.0)])
    signature = mlflow.models.ModelSignature(inputs=columns, params=params)
    mlflow.pyfunc.save_model(str(folder / "custom"), python_model=Failing(), signature=signature, pip_requirements=[])


def requests_of(model: Any, folder: Path) -> list[tuple[str, str]]:
    """Return requests for a model: its example in every form, and mistakes."""
    info = model.metadata.saved_input_example_info
    sent: list[Any] = []
    csv: list[str] = []
    if info is None:
        row = {"a": 1.5} if model.metadata.get_input_schema().input_names() == ["a"] else None
        sent += [{"dataframe_records": [row, {"a": 3.0}]}] if row else [{"dataframe_records": [{}]}]
        sent += [{"inputs": {"a": [1.0, 2.0]}, "params": {"factor": 3.0}}, {"dataframe_records": [{"a": -1.0}]}]
        sent += [{"inputs": {"a": [1.0]}, "params": {"factor": "many"}}]
    else:
        example = json.loads((folder / info["serving_input_path"]).read_text())
        sent.append(example)
        if "dataframe_split" in example:
            frame = pandas.DataFrame(example["dataframe_split"]["data"], columns=example["dataframe_split"]["columns"])
            split = json.loads(frame.to_json(orient="split"))
            records = json.loads(frame.to_json(orient="records"))
            sent += [{"dataframe_split": split}, {"dataframe_records": records}]
            sent += [{"dataframe_records": records[:1]}, {"dataframe_records": [{**records[0], "more": 1}]}]
            sent += [{"dataframe_records": [dict(reversed(records[0].items()))]}]
            sent += [{"inputs": {name: [row[name] for row in records] for name in records[0]}}]
            sent += [{"instances": records}, {"dataframe_split": {"data": split["data"]}}]
            sent += [{"dataframe_split": {**split, "columns": split["columns"][:-1]}}]
            sent += [{"dataframe_records": [{k: v for k, v in list(records[0].items())[1:]}]}]
            sent += [{"dataframe_records": [{**records[0], frame.columns[0]: None}]}]
            sent += [{"dataframe_records": [{**records[0], frame.columns[0]: "text"}]}]
            sent += [{"dataframe_records": [{**records[0], frame.columns[-1]: "unseen"}]}]
            sent += [{"dataframe_split": split, "params": {"nothing": 1}}]
            csv += [frame.to_csv(index=False), frame.iloc[:, 1:].to_csv(index=False), "no,table\n1"]
        else:
            rows = example["inputs"]
            sent += [{"instances": rows}, {"inputs": rows[:1]}, {"inputs": [rows[0][:-1]]}, {"inputs": rows[0]}]
            sent += [{"inputs": [[None, *rows[0][1:]]]}, {"inputs": [["text", *rows[0][1:]]]}]
            sent += [{"inputs": [[int(value) for value in rows[0]]]}]
    sent += [{}, {"dataframe_split": {}}, {"dataframe_split": {"data": []}, "inputs": []}, {"other": 1}, [1, 2]]
    found = [(JSON, json.dumps(one)) for one in sent] + [("text/csv", one) for one in csv]
    found += [(JSON, "{"), ("application/pdf", "x"), ("application/json; charset=latin-1", "{}")]
    return [*found, ("application/json; charset=utf-8", found[0][1])]


def ask(model: Any, content_type: str, body: str) -> tuple[int, Any]:
    """Answer as the public server's door does."""
    try:
        said = scoring_server.invocations(body.encode(), content_type, model, model.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), json.loads(error.serialize_as_json())
    return said.status, json.loads(said.response) if said.mimetype == JSON else said.response


def main(folder: Path, shim: str) -> None:
    """Write the models and what both say."""
    package = types.ModuleType("penstock_shim")
    package.__path__ = [shim]
    sys.modules["penstock_shim"] = package
    from penstock_shim.mlflow_scoring import Request, load_pyfunc  # type: ignore[import-not-found]  # the worker's own name

    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    save(folder)
    cases: dict[str, list[dict[str, Any]]] = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        model, ours = mlflow.pyfunc.load_model(str(place)), load_pyfunc(str(place))
        ours.warm_up()
        cases[place.name] = []
        for content_type, body in requests_of(model, place):
            status, answer = ask(model, content_type, body)
            reply = ours(Request(body.encode(), "/invocations", content_type))
            said = reply.body.decode()
            cases[place.name].append(
                {
                    "content_type": content_type,
                    "body": body,
                    "status": status,
                    "answer": answer,
                    "worker": [reply.status, json.loads(said) if reply.content_type == JSON else said],
                }
            )
    (folder / "cases.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
