"""What stops a training."""

from app.evaluation.errors import EvaluationError


class TrainingError(EvaluationError):
    """It cannot go on; the message is one line that says why and what to do.

    A training evaluates as it goes, so whatever stops an evaluation stops it as well.
    """
