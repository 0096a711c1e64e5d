"""Train a small network on scikit-learn's real 8x8 digits, log every iteration, and export it as ONNX.

An ordinary script: run it by hand (``python train.py``) and it trains and writes the same files; run it as a
job and what it logs appears in the run's history. Only ``penstock.log_*`` and ``penstock.load_model`` are ours.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import draw_confusion_matrix
from PIL import Image
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import penstock

CLASSES = np.arange(10)
# The digits hold 0 ... 16. Times 15 they fit a picture's byte, and dividing by 240 gives back value / 16 exactly.
PIXEL_STEP = 15
SCALE = 240.0
PREPROCESSING = f"""\
# How a picture becomes the model's input. Penstock reads this wherever the model is scored.
mode: L
width: 8
height: 8
scale: {SCALE}
layout: flat
"""


def main() -> None:
    """Train, export, and check the exported model on the held-out pictures."""
    arguments = parse_arguments()
    pixels, digits = load_digits(return_X_y=True)
    pictures = np.rint(pixels * PIXEL_STEP).astype(np.uint8)
    train_x, held_out_x, train_y, held_out_y = train_test_split(
        pictures, digits, test_size=0.25, random_state=arguments.seed, stratify=digits
    )
    penstock.log_params({**vars(arguments), "train_pictures": len(train_x), "held_out_pictures": len(held_out_x)})

    # Matrices this small are quickest on one thread: 8 s instead of 57 s on a busy machine with two cores.
    with threadpool_limits(1):
        network = train(train_x, train_y, held_out_x, held_out_y, arguments)

    files = save_held_out(held_out_x, held_out_y, Path(arguments.held_out))
    folder = export(network, Path("outputs/model"))
    answer = penstock.load_model(folder).predict(files)  # exactly what an endpoint with this model would answer
    predicted = np.array([int(label) for label in answer.labels])
    accuracy = float(np.mean(predicted == held_out_y))
    penstock.log_metric("accuracy", accuracy, step=arguments.iterations)

    matrix = confusion_matrix(held_out_y, predicted, labels=CLASSES)
    draw_confusion_matrix(matrix, [str(digit) for digit in CLASSES]).save("outputs/confusion_matrix.png")
    print(f"accuracy of the exported model on {len(files)} held-out pictures: {accuracy:.4f}")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning_rate", type=float, default=0.001)
    parser.add_argument("--keep_prob", type=float, default=0.5, help="share of input pixels kept in each mini-batch")
    parser.add_argument("--iterations", type=int, default=80)
    parser.add_argument("--batch_size", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held_out", default="outputs/held_out", help="folder for the held-out pictures")
    return parser.parse_args()


def train(
    train_x: NDArray[np.uint8],
    train_y: NDArray[np.int64],
    held_out_x: NDArray[np.uint8],
    held_out_y: NDArray[np.int64],
    arguments: argparse.Namespace,
) -> MLPClassifier:
    """Return the trained network; every iteration sees each training picture once."""
    random = np.random.default_rng(arguments.seed)
    network = MLPClassifier((512,), learning_rate_init=arguments.learning_rate, random_state=arguments.seed)
    inputs, held_out = to_input(train_x), to_input(held_out_x)
    batches = max(1, len(inputs) // arguments.batch_size)
    for iteration in range(1, arguments.iterations + 1):
        for batch in np.array_split(random.permutation(len(inputs)), batches):
            network.partial_fit(drop_out(inputs[batch], arguments.keep_prob, random), train_y[batch], classes=CLASSES)
        probabilities = network.predict_proba(held_out)
        loss = float(log_loss(held_out_y, probabilities, labels=CLASSES))
        accuracy = float(np.mean(CLASSES[probabilities.argmax(axis=1)] == held_out_y))
        penstock.log_metrics({"accuracy": accuracy, "loss": loss}, step=iteration)
        if iteration % 10 == 0 or iteration == arguments.iterations:
            print(f"iteration {iteration:3d}  accuracy {accuracy:.4f}  loss {loss:.4f}", flush=True)
    return network


def to_input(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return rows of 64 values in 0 ... 1, as ``preprocessing.yml`` says."""
    return (pictures / np.float32(SCALE)).astype(np.float32)


def drop_out(inputs: NDArray[np.float32], keep_prob: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return the inputs with a share ``1 - keep_prob`` of the pixels set to zero and the rest scaled up."""
    kept = random.random(inputs.shape, dtype=np.float32) < keep_prob
    return inputs * kept / np.float32(keep_prob)


def export(network: MLPClassifier, folder: Path) -> Path:
    """Write ``model.onnx`` with its labels and preprocessing; that folder is all an endpoint needs."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter warns of its own dependencies' deprecations
        onnx = to_onnx(network, np.zeros((1, 64), np.float32), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in CLASSES))
    (folder / "preprocessing.yml").write_text(PREPROCESSING)
    return folder


def save_held_out(pictures: NDArray[np.uint8], digits: NDArray[np.int64], folder: Path) -> list[Path]:
    """Write the held-out pictures as PNG and ``labels.csv``; return the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03d}.png" for number in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture.reshape(8, 8)).save(file)
    with (folder / "labels.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file", "label"])
        rows.writerows((file.name, int(digit)) for file, digit in zip(files, digits, strict=True))
    return files


if __name__ == "__main__":
    main()
