"""Impasto on Ray Serve: as many replicas as there is work for, on as many machines as the cluster has.

    serve run deploy.ray.impasto_serve:application          # from the project's folder
    serve deploy deploy/ray/serve.yaml                      # on a cluster that runs

Each replica is the whole service, with its own worker and memory; its settings are the IMPASTO_* variables of its
process. Ray chooses where it runs, sends it requests, and lets it finish what it has when there is less to do.
"""

from fastapi import FastAPI
from ray import serve

from app.logs import log_to_stderr
from app.main import create_app


def build() -> FastAPI:
    """The service of one replica, made in its process."""
    log_to_stderr("info")
    return create_app()


@serve.deployment(
    name="impasto",
    ray_actor_options={"num_cpus": 2},
    # What a replica works on and holds in its queue; the queue itself refuses what it can't do in time.
    max_ongoing_requests=64,
    autoscaling_config={"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 4},
    health_check_period_s=5,
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=40,
)
@serve.ingress(build)
class Impasto:
    """Answers what the application answers."""


application = Impasto.bind()
