"""A scoring script as Azure ML has it, for W2: the picture's own bytes."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp  # noqa: F401  # what the server looks for
from work import load_photos


def init():
    global score
    score = load_photos()


@rawhttp
def run(request):
    return score(request.get_data(False))
