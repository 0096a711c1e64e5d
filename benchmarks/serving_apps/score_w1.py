"""A scoring script as Azure ML has it, for W1."""

import json

from work import load_digits


def init():
    global predict
    predict = load_digits()


def run(raw_data):
    return predict(json.loads(raw_data)["data"])
