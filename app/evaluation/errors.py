"""What stops an evaluation."""


class EvaluationError(Exception):
    """It cannot go on; the message is one line that says why and what to do."""
