"""Prometheus' rules and Grafana's dashboard know the metrics that the service has, and operators what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "impasto.json").read_text())
RULES = [rule for group in YAML(typ="safe").load(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The metrics as docs/reference.md lists them, and the parts of its histograms."""
    told = re.findall(r"^\| `(impasto_\w+)` \| (\w+) ", (ROOT / "docs" / "reference.md").read_text(), re.M)
    parts = {f"{name}_{part}" for name, kind in told if kind == "histogram" for part in ("bucket", "sum", "count")}
    return {name for name, _ in told} | parts


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize("words", [("test", "rules", "alerts_test.yml"), ("check", "config", "prometheus.yml")])
def test_promtool_finds_that_each_alert_comes_when_it_should(words: tuple[str, ...]) -> None:
    run = subprocess.run(("promtool", *words), cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "SUCCESS" in run.stdout + run.stderr


def test_every_alert_has_a_test_and_something_to_do() -> None:
    names = {rule["alert"] for rule in RULES}
    cases = YAML(typ="safe").load(PROMETHEUS / "alerts_test.yml")["tests"]
    expected = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    quiet = {case["alertname"] for test in cases for case in test["alert_rule_test"] if not case.get("exp_alerts")}
    assert names == expected == quiet
    told = set(re.findall(r"^\| `(Impasto\w+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.M))
    assert names == told


def test_every_metric_asked_for_is_one_the_service_has(known: set[str]) -> None:
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"impasto_\w+", expression)}
    assert len(asked) > 10
    assert asked <= known


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_what_compose_mounts_is_there_and_every_service_of_the_profile_is_bounded_and_watched() -> None:
    services = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    scaled = {name: service for name, service in services.items() if "scale" in service.get("profiles", ())}
    assert set(scaled) == {"replica", "store", "postgres", "balancer", "prometheus", "grafana"}
    for name, service in scaled.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source
    trusted = scaled["replica"]["environment"]["IMPASTO_TRUSTED_PROXIES"]
    (network,) = YAML(typ="safe").load(ROOT / "docker-compose.yml")["networks"]["inside"]["ipam"]["config"]
    assert trusted == network["subnet"]
