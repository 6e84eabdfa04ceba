"""Two replicas on a real Ray Serve: started as deploy/ray says, and one of them killed under load."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.e2e.server import free_port
from tests.e2e.test_operation import STYLE, square, wait_until

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'impasto[ray]'")

ROOT = Path(__file__).parents[2]
PHOTOS = [square(side) for side in (24, 32, 40, 48)]
PICTURES = 50
REPLICA = "ray::ServeReplica:impasto"


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.url = f"http://127.0.0.1:{free_port()}"
        (asked,) = YAML(typ="safe").load_all(ROOT / "deploy" / "ray" / "serve.yaml")
        asked["http_options"] = {"host": "127.0.0.1", "port": int(self.url.rpartition(":")[2])}
        (application,) = asked["applications"]
        del application["runtime_env"]
        (deployment,) = application["deployments"]
        deployment["autoscaling_config"] = {"min_replicas": 2, "max_replicas": 2}
        deployment["ray_actor_options"] = {"num_cpus": 0.5}
        self.file = folder / "serve.yaml"
        YAML().dump(asked, self.file)
        self.log = (folder / "log").open("w+")

    def start(self) -> None:
        environment = {
            "IMPASTO_THREADS": "1",
            "IMPASTO_DATA_DIR": f"/proc/{self.mark}",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": tempfile.mkdtemp(prefix="ray"),  # of a short path, for its sockets
        }
        serve = Path(sys.executable).with_name("serve")
        command = (str(serve), "run", str(self.file))
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=self.log, stderr=self.log, start_new_session=True
        )
        wait_until(lambda: self.is_up() and len(self.replicas()) == 2, 120)

    def is_up(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200
        except httpx.TransportError:
            time.sleep(0.2)
            return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.log.close()

    def replicas(self) -> list[int]:
        """Processes of replicas of this cluster."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = self.mark.encode() in (process / "environ").read_bytes()
                if ours and (process / "cmdline").read_text().startswith(REPLICA):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def stylize(self, number: int) -> bytes:
        """A result; Serve answers what a killed replica had with an error, and who asks again gets it."""
        files = {"content": PHOTOS[number % len(PHOTOS)], "style": STYLE}
        for _ in range(5):
            answer = httpx.post(f"{self.url}/stylize", files=files, data={"format": "png"}, timeout=120)
            if answer.status_code == 200:
                return answer.content
            assert answer.status_code >= 500, answer.text
            time.sleep(0.2)
        raise AssertionError(answer.text)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_fifty_pictures_are_all_answered_though_a_replica_is_killed(cluster: Cluster) -> None:
    expected = [cluster.stylize(number) for number in range(len(PHOTOS))]
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cluster.stylize, number) for number in range(PICTURES)]
        wait_until(lambda: sum(one.done() for one in asked) >= 5, 60)
        os.kill(cluster.replicas()[0], signal.SIGKILL)
        results = [one.result() for one in asked]
    for number, body in enumerate(results):
        one, other = (np.asarray(Image.open(io.BytesIO(each))) for each in (body, expected[number % len(PHOTOS)]))
        assert np.array_equal(one, other)
    wait_until(lambda: len(cluster.replicas()) == 2, 120)
