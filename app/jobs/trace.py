"""Traces of jobs, as the runner tells of them; what is recorded, `app.http.otel` knows."""

from app.jobs.record import Job


class JobTrace:
    """An attempt at a job; this one is not recorded. Times are on the clock of time.monotonic."""

    def part(self, since: float, until: float) -> None:
        """A part, a photo or a segment of a video, was finished."""

    def end(self, job: Job | None) -> None:
        """The attempt is over, and this is the job as it is left; None where it was forgotten."""
