"""The Kubernetes manifests meet the schemas of Kubernetes once kustomize has put them together, and fit the service.

kustomize itself is a program of its own; here its files are put together as it does: resources, JSON patches, settings.
"""

import re
from pathlib import Path
from typing import Any

import jsonpatch
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from app.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("base", "gpu", "shared", "jobs")
VERSIONS = ("1.29", "1.34")

Manifest = dict[str, Any]


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path))


def put_together(folder: Path) -> tuple[list[Manifest], dict[str, str]]:
    """The manifests of a folder, and what its ConfigMap sets."""
    (asked,) = documents(folder / "kustomization.yaml")
    assert (asked["apiVersion"], asked["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    manifests: list[Manifest] = []
    settings: dict[str, str] = {}
    for resource in asked["resources"]:
        path = (folder / resource).resolve()
        if path.is_dir():
            below, set_below = put_together(path)
            manifests += below
            settings |= set_below
        else:
            manifests += documents(path)
    for generator in asked.get("configMapGenerator", ()):
        assert generator.get("behavior", "create") == ("merge" if settings else "create")
        settings |= dict(literal.split("=", 1) for literal in generator["literals"])
    for patch in asked.get("patches", ()):
        (operations,) = documents(folder / patch["path"])
        (target,) = [m for m in manifests if patch["target"] == {"kind": m["kind"], "name": m["metadata"]["name"]}]
        manifests[manifests.index(target)] = jsonpatch.apply_patch(target, operations)
    return manifests, settings


@pytest.fixture(params=OVERLAYS)
def cluster(request: pytest.FixtureRequest) -> tuple[list[Manifest], dict[str, str]]:
    return put_together(FOLDER / request.param)


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_meet_the_schemas(cluster: tuple[list[Manifest], dict[str, str]], version: str) -> None:
    manifests, _ = cluster
    kinds = {manifest["kind"] for manifest in manifests} - {"PersistentVolumeClaim"}
    assert kinds == {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler"}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_slip_would_be_found() -> None:
    manifests, _ = put_together(FOLDER / "base")
    (deployment,) = of_kind(manifests, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_settings_exist_and_there_is_longer_to_stop_than_it_takes(
    cluster: tuple[list[Manifest], dict[str, str]],
) -> None:
    manifests, settings = cluster
    assert set(settings) <= {f"IMPASTO_{name.upper()}" for name in Settings.model_fields}
    read = Settings.model_validate({name.removeprefix("IMPASTO_").lower(): text for name, text in settings.items()})
    pod = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > read.grace_seconds + read.drain_seconds
    assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": "impasto"}}]


def test_pods_are_selected_by_the_labels_they_have_and_reached_at_ports_they_open(
    cluster: tuple[list[Manifest], dict[str, str]],
) -> None:
    manifests, _ = cluster
    pods = {m["metadata"]["name"]: m["spec"]["template"] for m in of_kind(manifests, "Deployment")}
    for manifest in manifests:
        name, spec = manifest["metadata"]["name"], manifest["spec"]
        selector = spec.get("podSelector") or spec.get("selector")
        if selector:
            assert selector.get("matchLabels", selector) == pods[name]["metadata"]["labels"]
        if manifest["kind"] == "Service":
            ports = {port["name"] for port in pods[name]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= ports
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    metric = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert re.search(rf"^\| `{metric}` ", (ROOT / "docs" / "reference.md").read_text(), re.M)


def test_nothing_runs_as_root_or_writes_to_its_image(cluster: tuple[list[Manifest], dict[str, str]]) -> None:
    for deployment in of_kind(cluster[0], "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_replicas_that_share_jobs_have_one_folder_and_one_store() -> None:
    manifests, settings = put_together(FOLDER / "jobs")
    pods = {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in of_kind(manifests, "Deployment")}
    claims = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "PersistentVolumeClaim")}
    named = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for pod in pods.values()
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert set(named.values()) == set(claims)
    assert claims[named["jobs"]]["accessModes"] == ["ReadWriteMany"]
    (container,) = pods["impasto"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted["jobs"] == settings["IMPASTO_DATA_DIR"]
    environment = {one["name"]: one for one in container["env"]}
    secret = environment["POSTGRES_PASSWORD"]["valueFrom"]["secretKeyRef"]
    (database,) = pods["impasto-postgres"]["containers"]
    assert secret in [one.get("valueFrom", {}).get("secretKeyRef") for one in database["env"]]
    address = environment["IMPASTO_JOB_STORE"]["value"].replace("$(POSTGRES_PASSWORD)", "secret")
    read = Settings.model_validate({"job_store": address})
    assert read.job_store
    assert "@impasto-postgres:5432/" in read.job_store.get_secret_value()
    assert {"impasto-postgres"} <= {m["metadata"]["name"] for m in of_kind(manifests, "Service")}
