"""The files of the deployment: each is accepted by its program or schema, and they agree with each other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from stack import DEPLOY, ROOT, free_ports, program, write_certificate, write_nginx
from streamxr.relay.cli import SECRET_VARIABLE, serve

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/relay.json").read_text())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_conforms_to_its_specification() -> None:
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint has no wheel for Windows")
def test_hadolint_accepts_the_dockerfile() -> None:
    run(str(Path(sys.executable).with_name("hadolint")), "deploy/Dockerfile")


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    run(program("promtool"), "check", "config", "deploy/prometheus/prometheus.yml")


def test_each_alert_fires_at_its_threshold_and_not_before() -> None:
    run(program("promtool"), "test", "rules", "tests/deploy/rules_test.yml")


@pytest.mark.parametrize("listen", ["http", "https"])
def test_nginx_accepts_its_configuration(tmp_path: Path, listen: str) -> None:
    write_certificate(tmp_path)
    text = (DEPLOY / f"nginx/listen-{listen}.conf").read_text().replace("/etc/nginx/tls", str(tmp_path))
    relay, alive = free_ports(2)
    conf = write_nginx(tmp_path, relay_port=relay, alive_port=alive, listen=text, bundle=tmp_path)
    run(program("nginx"), "-t", "-e", str(tmp_path / "error.log"), "-c", str(conf))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_pinned_version_a_health_check_and_no_root_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r".+:v?\d+\.\d+\.\d+(-\w+)?", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    if "build" in service:
        dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
        assert "HEALTHCHECK" in dockerfile
        assert re.search(r"^USER [1-9]\d*:", dockerfile, re.MULTILINE)
        assert all(re.match(r"FROM \S+:\d+\.\d+\.\d+", line) for line in re.findall(r"^FROM .*", dockerfile, re.M))
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
        assert re.match(r"[1-9]\d*:", service["user"])


def test_every_mounted_file_exists() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount).split(":")[0]
            if source in ("./deploy/nginx/tls", "./deploy/nginx/acme"):  # the operator's
                continue
            if source.startswith("./deploy"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("."):  # a volume
                assert source in COMPOSE["volumes"]


def test_services_refer_to_each_other_by_their_names_and_ports() -> None:
    assert "server relay:8787 " in (DEPLOY / "nginx/nginx.conf").read_text()
    assert '"relay:8788"' in (DEPLOY / "prometheus/prometheus.yml").read_text()
    assert "http://prometheus:9090" in (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    assert SERVICES["relay"]["expose"] == ["8787", "8788"]
    assert {"relay", "prometheus"} <= set(SERVICES)
    port = next(parameter for parameter in serve.params if parameter.name == "port")
    assert port.default == 8787


def test_only_nginx_listens_outside_and_grafana_has_no_default_password() -> None:
    reachable = {
        name
        for name, service in SERVICES.items()
        if any(not str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    }
    assert reachable == {"nginx"}
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_ADMIN_PASSWORD:?")


def test_environment_variables_of_the_relay_are_options_of_its_command() -> None:
    known = {parameter.envvar for parameter in serve.params if parameter.envvar} | {SECRET_VARIABLE}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    used = set(SERVICES["relay"]["environment"]) | set(re.findall(r"STREAMXR_RELAY_\w+", dockerfile))
    assert used <= known


def test_the_dashboard_queries_the_provisioned_data_source() -> None:
    source = YAML(typ="safe").load(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    folder = YAML(typ="safe").load(DEPLOY / "grafana/provisioning/dashboards/streamxr.yml")["providers"][0]
    mounts = SERVICES["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{folder['options']['path']}:ro" in mounts


def test_the_relays_lock_is_a_subset_of_the_whole_lock_without_mesh_libraries() -> None:
    def pins(lock: Path) -> set[str]:
        return {line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line}

    assert pins(DEPLOY / "relay.lock") <= pins(ROOT / "requirements.lock")
    heavy = ("numpy", "pymeshlab", "pillow", "boto3", "trimesh")
    assert not any(pin.startswith(heavy) for pin in pins(DEPLOY / "relay.lock"))


def test_the_image_contains_every_library_that_the_relay_imports(tmp_path: Path) -> None:
    """Imports the relay as in the image: its folder is on the path, and the package is not installed."""
    (tmp_path / "streamxr").mkdir()
    (tmp_path / "streamxr/relay").symlink_to(ROOT / "relay", target_is_directory=True)
    locked = re.findall(r"^([\w-]+)==", (DEPLOY / "relay.lock").read_text(), re.MULTILINE)
    allowed = {name.replace("-", "_") for name in locked} | {"streamxr", "markdown_it", "typing_extensions"}
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]; import streamxr.relay.cli, uvicorn.protocols;"
        "print(*{name.partition('.')[0] for name, module in sys.modules.items()"
        " if 'site-packages' in (getattr(module, '__file__', '') or '')})"
    )
    # `-S`: without `site`, which would also find the package of this checkout.
    libraries = sysconfig.get_path("purelib")
    command = [sys.executable, "-S", "-c", script, str(tmp_path), libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "uvicorn" in done.stdout
    assert set(done.stdout.split()) <= allowed
