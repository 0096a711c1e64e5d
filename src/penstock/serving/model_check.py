"""Whether a deployment without code fits its model, told from the model's file before a replica is started.

The file is read by a short-lived process; what it said is kept by the file's digest, so asking again costs nothing.
What can only be told by loading the model, the replica tells, which fails before it gets a request.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import PurePosixPath

import msgspec

from penstock.entities.asset import Tree
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import Problem, SpecError
from penstock.entities.image import ImagePreprocessing, Postprocessing
from penstock.inference.declared import PREPROCESSING_FILE, parse_preprocessing_file
from penstock.inference.files import model_path
from penstock.inference.labels import LABEL_FILES, missing_labels
from penstock.inference.outputs import classes_of, find_classifier
from penstock.rules.pictures import check_preprocessing
from penstock.stores.blobs.base import BlobStore

logger = logging.getLogger(__name__)

WORKER = "penstock.inference.inspection"
TIMEOUT_S = 20.0
MAX_SETTINGS_BYTES = 64 * 1024
KEPT = 256
_FAST_LIBRARIES = ("simplejpeg", "cv2")


class Tensor(msgspec.Struct, frozen=True):
    """An input or output as the graph declares it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None


class Declaration(msgspec.Struct, frozen=True):
    """What a model's file declares; ``damaged`` says why it cannot be read."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    damaged: str = ""
    labels: int | None = None
    bad_labels: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The blobs that the answer depends on, and the label file's name."""

    model: str
    labels: str = ""
    label_file: str = ""


class ModelCheck:
    """Checks deployments against their models; safe to call from several threads.

    Parameters
    ----------
    blobs : BlobStore
        Holds the models' files.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: OrderedDict[_Asked, Declaration] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, spec: OnlineDeploymentSpec, tree: Tree) -> None:
        """Refuse a deployment that cannot work.

        Raises
        ------
        SpecError
            With every problem and its pointer into the deployment's spec.
        """
        problems = list(self._problems(spec, tree))
        if problems:
            raise SpecError(problems, ref=f"endpoint:{spec.endpoint_name}/{spec.name}")

    def _problems(self, spec: OnlineDeploymentSpec, tree: Tree) -> Iterable[Problem]:
        digests = {entry.path: entry.digest for entry in tree.entries}
        path = next(iter(digests)) if tree.is_file else model_path(list(digests))
        if path is None:
            return
        if spec.preprocessing is not None and spec.preprocessing.decoder == "fast":
            yield from _missing_libraries()
        after = spec.postprocessing or Postprocessing()
        folder = PurePosixPath(path).parent
        file = _label_file(after, folder, digests)
        if after.labels is not None and file is None:
            beside = [PurePosixPath(p).name for p in digests if PurePosixPath(p).parent == folder]
            yield _below("/postprocessing", missing_labels(after.labels, beside))
        declared = self._declaration(_Asked(digests[path], digests[file] if file else "", file or ""))
        if declared is None:
            return
        if declared.damaged:
            yield Problem(f"{path}: {declared.damaged}", "/model", "Export the model again and register that.")
            return
        if spec.preprocessing is not None:
            yield from _check_pictures(spec.preprocessing, declared)
        else:
            yield from self._check_own(digests.get(str(folder / PREPROCESSING_FILE)), declared)
        yield from _check_classes(after, declared, file)

    def _check_own(self, digest: str | None, declared: Declaration) -> Iterable[Problem]:
        """Yield what is wrong with the ``preprocessing.yml`` beside the model, at the model's place in the spec."""
        if digest is None or self._blobs.size(digest) > MAX_SETTINGS_BYTES:
            return
        try:
            problems = check_preprocessing(parse_preprocessing_file(self._blobs.read(digest)), declared.inputs)
        except SpecError as error:
            problems = list(error.problems)
        for problem in problems:
            text = f"{PREPROCESSING_FILE}: {replace(problem, file='', hint='')}"
            yield Problem(text, "/model", problem.hint)

    def _declaration(self, asked: _Asked) -> Declaration | None:
        """Return what a model declares, None where nobody could be asked."""
        with self._lock:
            if asked in self._known:
                self._known.move_to_end(asked)
                return self._known[asked]
        paths = [self._blobs.local_path(digest) for digest in (asked.model, asked.labels) if digest]
        if not all(paths):
            return None
        arguments = [str(path) for path in paths]
        if asked.labels:
            arguments.append(PurePosixPath(asked.label_file).suffix.lower())
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", WORKER, *arguments], check=True, capture_output=True, timeout=TIMEOUT_S
            )
            declared = msgspec.json.decode(done.stdout, type=Declaration)
        except (subprocess.SubprocessError, OSError, msgspec.DecodeError) as error:
            logger.warning("a model's file could not be checked, its replica will: %s", error)
            return None
        with self._lock:
            self._known[asked] = declared
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return declared


def _label_file(after: Postprocessing, folder: PurePosixPath, files: Iterable[str]) -> str | None:
    """Return the path of the label file that the replica will read, None where there is none."""
    names: Sequence[str] = LABEL_FILES if after.labels is None else (after.labels,)
    there = set(files)
    return next((path for path in (str(folder / name) for name in names) if path in there), None)


def _missing_libraries() -> Iterable[Problem]:
    missing = [name for name in _FAST_LIBRARIES if find_spec(name) is None]
    if missing:
        hint = "Install it with: python -m pip install 'penstock[fast-images]'; or use decoder: pillow."
        yield Problem(f"fast needs {' and '.join(missing)}, not installed here", "/preprocessing/decoder", hint)


def _check_pictures(before: ImagePreprocessing, declared: Declaration) -> Iterable[Problem]:
    return [_below("/preprocessing", problem) for problem in check_preprocessing(before, declared.inputs)]


def _check_classes(after: Postprocessing, declared: Declaration, file: str | None) -> Iterable[Problem]:
    pointer = "/postprocessing/labels" if after.labels is not None else "/model"
    if declared.bad_labels:
        yield Problem(f"{file} is no file of labels: {declared.bad_labels}", pointer)
        return
    labels = ("",) * (declared.labels or 0)
    try:
        found = find_classifier(declared.outputs, labels, file or "", is_wanted=after.chooses)
    except SpecError as error:
        yield from (replace(problem, pointer=pointer, file="") for problem in error.problems)
        return
    for key in ("top_k", "threshold"):
        if getattr(after, key) is not None and (found is None or found.scores is None):
            names = ", ".join(output.name for output in declared.outputs)
            hint = f"Its outputs are: {names}; scores have the shape [any, classes]."
            yield Problem("the model gives no scores to choose from", f"/postprocessing/{key}", hint)
    classes = classes_of(declared.outputs, found) if found is not None else None
    if after.top_k is not None and classes is not None and after.top_k > classes:
        text = f"{after.top_k} is more than the {classes} classes there are"
        yield Problem(text, "/postprocessing/top_k", f"Say at most {classes}.")


def _below(pointer: str, problem: Problem) -> Problem:
    return replace(problem, pointer=pointer + problem.pointer)
