"""The same example from Python, cell by cell, as one would in a notebook (``# %%`` opens a cell in most editors).

Run it as a script, too: ``python notebook.py``. Interrupt the waiting whenever you like: the job goes on, and the next
``wait_for_completion`` picks it up again.
"""

# %% A workspace is a folder, made here if there is none. Its server is started when it has none.
from pathlib import Path

from penstock import Estimator, Output, Workspace

here = Path(__file__).parent
ws = Workspace(create=True)
print(ws, list(ws.compute_targets))

# %% Train, the scikit-learn way: parameters in, fit() gives back the run.
estimator = Estimator(
    ws,
    entry_script="train.py",
    source_directory=here / "src",
    params={"learning_rate": 0.001, "keep_prob": 0.5, "iterations": 40},
    outputs={"held_out": Output(type="uri_folder")},
    experiment_name="digits",
)
run = estimator.fit()
print(run)

# %% Metrics grow while it runs.
run.wait_for_completion(show_output=True)
for name, values in run.get_metrics().items():
    print(f"{name:10s} {len(values):3d} values, the last {values[-1]:.4f}")

# %% Its files.
run.download_file("outputs/confusion_matrix.png", "confusion_matrix.png")
print("look at confusion_matrix.png")

# %% Another value is another run. The workspace remembers them all.
other = estimator.set_params(params__keep_prob=0.8).fit().wait_for_completion(show_output=False)
for each in ws.jobs.list(experiment_name="digits", limit=5):
    print(each.name, each.status, each.get_params().get("keep_prob"), each.get_latest_metrics().get("accuracy"))

# %% Register the better one.
best = max((run, other), key=lambda each: each.get_latest_metrics()["accuracy"])
model = best.register_model("digits", "outputs/model")
print(model.ref)
