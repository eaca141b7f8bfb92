"""The application of Ray Serve, its arguments, and the files in deploy/ that name them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

import yaml
from ray.serve.schema import ServeDeploySchema

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime import cluster
from bark_onnx.runtime.cluster.connection import _NO_REPORT
from bark_onnx.runtime.cluster.processes import reported_error
from bark_onnx.runtime.cluster.settings import SpeakerSettings

ROOT = Path(__file__).parents[3]
SERVE_CONFIG = ROOT / "deploy" / "ray-serve.yaml"
RAY_SERVICE = ROOT / "deploy" / "ray-service.yaml"


def deployments(application: Any) -> dict[str, Any]:
    """Deployments of an application by name."""
    ingress = application._bound_deployment
    speaker = ingress.init_args[2]._bound_deployment
    return {ingress.name: ingress, speaker.name: speaker}


def test_arguments_of_a_command_line_become_settings() -> None:
    found = deployments(
        cluster.app(
            {"bundle": "demo", "replicas": "3", "num_cpus": "2", "max_queue": "5", "uploads": "/v"}
        )
    )
    speaker, ingress = found["speaker"], found["ingress"]
    assert speaker.num_replicas == 3
    assert speaker.ray_actor_options["num_cpus"] == 2
    assert speaker.init_args == (
        SpeakerSettings(bundle="demo", replicas=3, num_cpus=2, max_queue=5),
    )
    assert ingress.init_args[0].uploads == Path("/v")
    assert ingress.init_args[0].model_id == "demo"


def test_speakers_scale_by_segments_against_the_batch() -> None:
    found = deployments(cluster.app({"replicas": 2, "max_replicas": 6, "max_batch_size": 4}))
    config = found["speaker"]._deployment_config
    scale = config.autoscaling_config
    assert (scale.min_replicas, scale.max_replicas) == (2, 6)
    assert scale.target_ongoing_requests == pytest.approx(0.7 * 4)
    assert scale.downscaling_factor == 0.5
    assert config.max_ongoing_requests == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hosst": "0.0.0.0"}, ["hosst", "expected", "max_batch_size"]),
        ({"replicas": "many"}, ["replicas", "integer", "many"]),
        ({"replicas": 0}, ["replicas", "0"]),
        ({"replicas": 4, "max_replicas": 2}, ["max_replicas", "2", "4"]),
        ({"ingress_replicas": 0}, ["ingress_replicas", "0"]),
        ({"request_seconds": -1}, ["request_seconds", "-1"]),
    ],
)
def test_bad_argument_is_a_one_line_error(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        cluster.app(arguments)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_serve_build_agrees_with_the_serve_config(tmp_path: Path) -> None:
    command, output = Path(sys.executable).with_name("serve"), tmp_path / "serve.yaml"
    arguments = ["build", "bark_onnx.runtime.cluster:demo", "-o", output]
    subprocess.run([command, *arguments], check=True, timeout=120)
    (built,) = yaml.safe_load(output.read_text())["applications"]
    ServeDeploySchema.model_validate(yaml.safe_load(SERVE_CONFIG.read_text()))
    (written,) = yaml.safe_load(SERVE_CONFIG.read_text())["applications"]
    assert written["import_path"].partition(":")[0] == built["import_path"].partition(":")[0]
    known = {each["name"]: each for each in built["deployments"]}
    for deployment in written["deployments"]:
        assert deployment.keys() <= known[deployment["name"]].keys()
    assert {each["name"] for each in written["deployments"]} == set(known)


@pytest.mark.parametrize("path", [SERVE_CONFIG, RAY_SERVICE], ids=lambda path: path.name)
def test_file_names_arguments_that_the_application_has(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    if path == RAY_SERVICE:
        found = yaml.safe_load(found["spec"]["serveConfigV2"])
        ServeDeploySchema.model_validate(found)
    (application,) = found["applications"]
    built = deployments(cluster.app(application["args"]))
    names = {each["name"] for each in application.get("deployments", ())}
    assert names <= set(built)
    # Ray's proxies must outlast the server's own limit, which answers in OpenAI's form.
    server = built["ingress"].init_args[0]
    assert found["http_options"]["request_timeout_s"] > server.request_seconds


def test_ray_service_gives_speakers_the_cpus_that_they_ask_for() -> None:
    found = yaml.safe_load(RAY_SERVICE.read_text())["spec"]
    arguments = yaml.safe_load(found["serveConfigV2"])["applications"][0]["args"]
    (group,) = found["rayClusterConfig"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert int(container["resources"]["limits"]["cpu"]) == arguments["num_cpus"]
    assert group["maxReplicas"] == arguments["max_replicas"]
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert mounts == {"/models", arguments["uploads"]}


def test_reason_of_a_failed_deployment_is_the_error_of_this_library() -> None:
    message = (
        "Failed to start replica:\nTraceback (most recent call last):\n"
        '  File "x.py", line 1\nbark_onnx.graphs.errors.BundleError: fp16 is missing\n'
    )
    assert reported_error(message, "") == "fp16 is missing"
    assert reported_error("no memory", "") == "no memory"
    assert "logs" in reported_error("", _NO_REPORT)


def test_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = cluster.nothing
