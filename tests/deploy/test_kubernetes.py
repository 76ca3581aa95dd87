"""The manifests as kubectl renders them: selectors meet their pods, every reference has its target, nothing runs as root."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FOLDERS = ("base", "overlays/cuda", "overlays/bucket")


@pytest.fixture(params=FOLDERS)
def rendered(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl, which renders without a cluster")
    words = ["kubectl", "kustomize", str(DEPLOY / request.param)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(rendered: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in rendered if one["kind"] == kind}


def test_selectors_meet_the_pods(rendered: list[dict[str, Any]]) -> None:
    (servers,) = of_kind(rendered, "StatefulSet").values()
    labels = servers["spec"]["template"]["metadata"]["labels"].items()
    selectors = [servers["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["selector"] for one in of_kind(rendered, "Service").values()]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind(rendered, "PodDisruptionBudget").values()]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(rendered, "NetworkPolicy").values()]
    assert len(selectors) == 5
    for selector in selectors:
        assert selector, "an empty selector takes every pod"
        assert selector.items() <= labels


def test_every_reference_has_its_target(rendered: list[dict[str, Any]]) -> None:
    (servers,) = of_kind(rendered, "StatefulSet").values()
    pod = servers["spec"]["template"]["spec"]
    settings = of_kind(rendered, "ConfigMap")
    named = [one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one]
    named += [one["configMapRef"]["name"] for part in pod["containers"] for one in part.get("envFrom", ())]
    assert set(named) == set(settings)
    kept = {one["name"] for one in pod["volumes"]}
    kept |= {one["metadata"]["name"] for one in servers["spec"]["volumeClaimTemplates"]}
    files = {one["name"]: settings[one["configMap"]["name"]]["data"] for one in pod["volumes"] if "configMap" in one}
    for part in pod["containers"]:
        for mount in part["volumeMounts"]:
            assert mount["name"] in kept
            if mount["name"] in files and "subPath" in mount:
                assert mount["subPath"] in files[mount["name"]]
    services = of_kind(rendered, "Service")
    assert servers["spec"]["serviceName"] in services
    ports = {port["name"] for part in pod["containers"] for port in part.get("ports", ())}
    assert {port["targetPort"] for one in services.values() for port in one["spec"]["ports"]} <= ports
    (ingress,) = of_kind(rendered, "Ingress").values()
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["spec"]["ports"]}


def test_pods_run_with_little(rendered: list[dict[str, Any]]) -> None:
    (servers,) = of_kind(rendered, "StatefulSet").values()
    pod = servers["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    for part in pod["containers"]:
        rights = part["securityContext"]
        assert rights["readOnlyRootFilesystem"]
        assert not rights["allowPrivilegeEscalation"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in part["resources"]["limits"]
    told = yaml.safe_dump_all(rendered)
    assert "kind: Secret" not in told, "no secret stands in a manifest"


def test_overlays_change_what_they_say(rendered: list[dict[str, Any]], request: pytest.FixtureRequest) -> None:
    (servers,) = of_kind(rendered, "StatefulSet").values()
    server = servers["spec"]["template"]["spec"]["containers"][0]
    variables = {one["name"]: one["value"] for one in server["env"]}
    folder = request.node.callspec.params["rendered"]
    assert ("--device=auto" in server["args"]) == (folder == "overlays/cuda")
    assert ("--device=cpu" in server["args"]) == (folder != "overlays/cuda")
    assert ("nvidia.com/gpu" in server["resources"]["limits"]) == (folder == "overlays/cuda")
    assert server["image"].endswith(":cuda" if folder == "overlays/cuda" else ":cpu")
    assert variables.get("OSTENSOR_ARRAYS", "").startswith("s3://" if folder == "overlays/bucket" else "")
