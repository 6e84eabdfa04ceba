"""What stops a training or an evaluation."""


class TrainingError(Exception):
    """It cannot go on; the message is one line that says why and what to do."""
