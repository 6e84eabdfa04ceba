"""The Kubernetes manifests meet the schemas of Kubernetes once kustomize has put them together, and fit the service.

kustomize itself is a program of its own; here its files are put together as it does: resources, JSON patches, settings.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonpatch
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from ruamel.yaml import YAML

from app.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("base", "gpu", "shared", "jobs", "keda")
PROMTOOL = shutil.which("promtool")
KINDS = {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
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
        if isinstance(operations, dict):
            assert operations.pop("$patch") == "delete"
            assert {name: target[name] for name in ("apiVersion", "kind")} == {
                name: operations[name] for name in ("apiVersion", "kind")
            }
            manifests.remove(target)
            continue
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
    assert kinds - {"HorizontalPodAutoscaler", "ScaledObject"} == KINDS
    assert len(kinds - KINDS) == 1, "two would pull at the same replicas"
    for manifest in manifests:
        if manifest["kind"] == "ScaledObject":
            continue  # KEDA's own: below
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
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        metric = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
        assert is_known(metric)
        assert scaler["spec"]["scaleTargetRef"]["name"] in pods


def is_known(metric: str) -> bool:
    return bool(re.search(rf"^\| `{metric}` ", (ROOT / "docs" / "reference.md").read_text(), re.M))


@pytest.fixture
def scaled() -> Manifest:
    (scaled,) = of_kind(put_together(FOLDER / "keda")[0], "ScaledObject")
    return scaled


def test_the_scaled_object_is_all_that_kedas_definition_knows(scaled: Manifest) -> None:
    """Models made from its CustomResourceDefinition pass over what they don't know: so it must come out again."""
    assert ScaledObject.model_validate(scaled).model_dump(by_alias=True, exclude_none=True, mode="json") == scaled
    slip = {**scaled, "spec": {**scaled["spec"], "minReplicasCount": 2}}
    assert ScaledObject.model_validate(slip).model_dump(by_alias=True, exclude_none=True, mode="json") != slip


def test_keda_scales_what_the_autoscaler_would(scaled: Manifest) -> None:
    manifests, _ = put_together(FOLDER / "base")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    spec, (trigger,) = scaled["spec"], scaled["spec"]["triggers"]
    assert spec["scaleTargetRef"] == scaler["spec"]["scaleTargetRef"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == tuple(
        scaler["spec"][f"{bound}Replicas"] for bound in ("min", "max")
    )
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == scaler["spec"]["behavior"]
    assert trigger["metadata"]["threshold"] == scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"]
    assert trigger["metricType"] == scaler["spec"]["metrics"][0]["pods"]["target"]["type"]
    assert all(map(is_known, re.findall(r"impasto_\w+", trigger["metadata"]["query"])))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
def test_what_keda_asks_is_the_work_of_all_replicas_as_one_number(scaled: Manifest, tmp_path: Path) -> None:
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    series = [f'impasto_queue_seconds{{job="impasto", instance="{name}"}}' for name in ("a", "b")]
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": value} for name, value in zip(series, ("6", "5"), strict=True)],
        "promql_expr_test": [{"expr": query, "eval_time": "0s", "exp_samples": [{"labels": "{}", "value": 11}]}],
    }
    YAML().dump({"tests": [case]}, tmp_path / "test.yml")
    run = subprocess.run(
        ("promtool", "test", "rules", "test.yml"), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


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
