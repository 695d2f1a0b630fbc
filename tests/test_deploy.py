"""Dockerfile and docker-compose.yml, as far as they can be checked without a container engine."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pytest
import yaml
from docker.utils.build import exclude_paths

from app.main import create_app
from app.settings import Settings, load_settings, variables
from tests.support.foreign_names import FOREIGN_PREFIXES

ROOT = Path(__file__).parents[1]
IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "indexer", "bucket")
COMPOSE_ONLY = {"INDEX_EVERY", "S3_PORT", "PICTURES", "MODEL_FOLDER", "PIP_EXTRA_INDEX_URL", "EXTRAS"}
"""Variables that docker compose reads for itself."""
SERVICE_KEYS = {
    *("image", "build", "init", "restart", "env_file", "environment", "volumes", "read_only", "tmpfs", "cap_drop"),
    *("security_opt", "depends_on", "command", "entrypoint", "ports", "healthcheck", "stop_grace_period", "profiles"),
}
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?:(:?-)([^}]*))?\}")


def instructions() -> list[tuple[str, str]]:
    """(instruction, its argument) of the Dockerfile, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.strip().partition(" ") for line in joined.splitlines()) if name]


def final_stage() -> list[tuple[str, str]]:
    listed = instructions()
    start = max(number for number, (name, _) in enumerate(listed) if name == "FROM")
    return listed[start:]


def of(name: str, stage: list[tuple[str, str]]) -> list[str]:
    return [argument for instruction, argument in stage if instruction == name]


def context_sources() -> list[str]:
    """What COPY takes from the build context."""
    copies = [shlex.split(argument) for argument in of("COPY", instructions())]
    return [source for words in copies if not words[0].startswith("--from=") for source in words[:-1]]


def interpolate(text: str, environment: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        found = environment.get(name)
        return default or "" if found is None or (operator == ":-" and not found) else found

    return VARIABLE.sub(value, text)


def environment_of(service: str, **variables: str) -> dict[str, str]:
    return {name: interpolate(value, variables) for name, value in SERVICES[service]["environment"].items()}


def mounts(service: str, **variables: str) -> list[tuple[str, str]]:
    """(source, target with its options) of each volume."""
    volumes = [interpolate(volume, variables) for volume in SERVICES[service]["volumes"]]
    return [(source, target) for source, _, target in (volume.partition(":") for volume in volumes)]


def test_base_images_are_pinned_to_our_python() -> None:
    bases = [argument.split()[0] for argument in of("FROM", instructions())]

    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11-slim(-\w+)?", base) for base in bases)


@pytest.mark.parametrize("source", context_sources())
def test_what_is_copied_exists(source: str) -> None:
    assert (ROOT / source).exists()


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    context = {path for path in exclude_paths(str(ROOT), IGNORED) if (ROOT / path).is_file()} - {
        "Dockerfile",
        ".dockerignore",
    }
    copied = [PurePosixPath(source) for source in context_sources()]
    unused = [path for path in context if not any(PurePosixPath(path).is_relative_to(source) for source in copied)]

    assert unused == []
    assert {"app/settings/__init__.py", "indexer/__init__.py", "pyproject.toml", "scripts/fill_bucket.py"} <= context
    assert not [path for path in context if "__pycache__" in path or path.endswith(".pyc")]


def test_the_image_runs_as_a_fixed_user_who_owns_only_the_data() -> None:
    stage = final_stage()
    uid, gid = of("USER", stage)[-1].split(":")

    assert int(uid) > 0
    assert int(gid) > 0
    users = " ".join(of("RUN", stage))
    assert f"--uid {uid} " in users
    assert f"chown {uid}:{gid} /srv/image2search/data /cache" in users
    assert not any("--chown" in argument for argument in of("COPY", stage))
    names = [name for name, _ in stage]
    assert names.index("USER") > max(number for number, name in enumerate(names) if name in ("RUN", "COPY"))


def test_the_image_starts_our_program_and_serves_by_default() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    stage = final_stage()

    assert json.loads(of("ENTRYPOINT", stage)[0]) == ["image2search"]
    assert "image2search" in project["project"]["scripts"]
    assert json.loads(of("CMD", stage)[0]) == ["serve"]


@pytest.mark.parametrize(
    ("arguments", "installed"),
    [
        ({"MODEL": "demo"}, "."),
        ({"MODEL": ""}, "."),
        ({"MODEL": "demo", "EXTRAS": "milvus,ray"}, ".[milvus,ray]"),
        ({"MODEL": "openai/clip-vit-base-patch32"}, ".[models]"),
        ({"MODEL": "/models/clip", "EXTRAS": "milvus"}, ".[models,milvus]"),
    ],
)
def test_the_image_gets_pytorch_where_its_model_needs_it(
    arguments: dict[str, str], installed: str, tmp_path: Path
) -> None:
    (command,) = (argument for argument in of("RUN", instructions()) if "--editable" in argument)
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nfor last; do :; done\necho "$last"\n')
    pip.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **arguments}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.stdout.split() == [installed]
    declared = {argument.partition("=")[0] for argument in of("ARG", instructions())}
    assert declared == {"MODEL", "EXTRAS", "PIP_EXTRA_INDEX_URL"} == set(SERVICES["api"]["build"]["args"])


@pytest.mark.usefixtures("clean_environment")
def test_the_image_listens_where_docker_forwards_to() -> None:
    for argument in of("ENV", final_stage()):
        os.environ.update(word.split("=", 1) for word in shlex.split(argument) if not word.startswith("PATH="))
    server = load_settings(None).server

    assert (server.host, server.port) == ("0.0.0.0", 8000)
    assert of("EXPOSE", final_stage()) == [str(server.port)]
    assert os.environ["PYTHONUNBUFFERED"] == "1"


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", ".env.example"])
def test_no_address_of_a_registry_or_index_is_written_down(name: str) -> None:
    hosts = re.findall(r"https?://([\w.-]+)", (ROOT / name).read_text("utf-8"))

    assert {host for host in hosts if not host.endswith(".example")} <= {"localhost", "127.0.0.1", "s3"}


class _Health(BaseHTTPRequestHandler):
    status: ClassVar[int]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_healthcheck_asks_the_service(status: int, healthy: bool) -> None:
    handler = type("Handler", (_Health,), {"status": status, "asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        code = run_healthcheck(server.server_port)
        server.shutdown()
        thread.join()

    assert (code == 0) is healthy
    assert handler.asked == ["/health/live"]


def test_the_healthcheck_fails_when_nothing_listens() -> None:
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        port = server.server_port

    assert run_healthcheck(port) != 0


def test_the_service_has_what_probes_ask_for() -> None:
    assert {"/health/live", "/health/ready"} <= set(create_app(Settings()).openapi()["paths"])


def run_healthcheck(port: int) -> int:
    """Run the image's HEALTHCHECK, with a proxy set that it must not use."""
    command = json.loads(of("HEALTHCHECK", final_stage())[0].partition("CMD ")[2])
    assert command[0] == "python"
    environment = os.environ | {"PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    environment.pop("no_proxy", None)
    return subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, timeout=60).returncode


def test_compose_has_only_keys_that_compose_knows() -> None:
    assert set(COMPOSE) == {"name", "x-image2search", "services", "volumes"}
    for service in SERVICES.values():
        assert set(service) <= SERVICE_KEYS


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_restarted_and_watched(name: str) -> None:
    service = SERVICES[name]

    assert re.search(r":(?!latest)[\w.-]+$", service["image"])
    assert re.fullmatch(r"unless-stopped|on-failure:\d+", service["restart"])
    assert "healthcheck" in service or name == "api", "the api has the image's"
    declared = COMPOSE["volumes"]
    sources = [source for source, _ in mounts(name)]
    assert all(source in declared or (source.startswith("./") and (ROOT / source).is_dir()) for source in sources)


def test_services_wait_for_what_they_need() -> None:
    for name in ("api", "indexer"):
        assert SERVICES[name]["depends_on"] == {
            "s3": {"condition": "service_healthy"},
            "bucket": {"condition": "service_completed_successfully"},
        }
    assert SERVICES["bucket"]["depends_on"] == {"s3": {"condition": "service_healthy"}}
    assert SERVICES["bucket"]["restart"].startswith("on-failure"), "it must be able to end"
    assert SERVICES["s3"]["healthcheck"]["test"][0] == "CMD"


def test_one_image_serves_api_indexer_and_bucket() -> None:
    assert len({json.dumps([SERVICES[name]["image"], SERVICES[name]["build"]]) for name in OURS}) == 1


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_only_their_volumes(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    targets = [target for _, target in mounts(name)]
    assert [target for target in targets if not target.endswith(":ro")] == ["/srv/image2search/data", "/cache"]
    assert [target for target in targets if target.endswith(":ro")] == ["/pictures:ro", "/models:ro"]


@pytest.mark.usefixtures("clean_environment")
def test_a_folder_and_a_model_of_this_machine_can_be_mounted(tmp_path: Path) -> None:
    """As docs/deploy.md says it."""
    guide = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    blocks = [
        block
        for block in re.findall(r"(?s)```dotenv\n(.*?)```", guide)
        if "PICTURES=" in block or "MODEL_FOLDER=" in block
    ]
    (tmp_path / ".env").write_text("".join(blocks))
    own = dict(line.split("=", 1) for line in "".join(blocks).splitlines())
    assert mounts("api", **own)[2:] == [("/home/me/Pictures", "/pictures:ro"), ("/home/me/models", "/models:ro")]

    os.environ.update(environment_of("api", **own))
    settings = load_settings(tmp_path / ".env")

    assert (settings.storage.url, settings.index.url) == ("/pictures", "data")
    assert settings.model.name == "/models/clip-vit-base-patch32"


@pytest.mark.parametrize("name", ["api", "indexer"])
def test_the_commands_are_commands_of_the_program(name: str) -> None:
    command = [interpolate(word, {}) for word in SERVICES[name]["command"]]
    program = "from app.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.usefixtures("clean_environment")
def test_by_default_our_services_use_the_local_server() -> None:
    for name in ("api", "indexer"):
        os.environ.update(environment_of(name))
        settings = load_settings(None)

        assert settings.storage.url == "s3://images"
        assert settings.storage.links == "service"
        assert settings.server.port == 8000
        assert os.environ["AWS_ENDPOINT_URL"] == "http://s3:8333"
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert [environment_of("s3")[key] for key in keys] == [environment_of("api")[key] for key in keys]


def test_with_an_own_bucket_the_local_one_is_left_alone() -> None:
    own = {"STORAGE_URL": "s3://mine", "STORAGE_LINKS": "presigned", "AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "AK"}
    api, bucket = environment_of("api", **own), environment_of("bucket", **own)

    assert api["STORAGE_URL"] == "s3://mine"
    assert api["STORAGE_LINKS"] == "presigned"
    assert api["AWS_ENDPOINT_URL"] == ""
    assert bucket["AWS_ENDPOINT_URL"] == "http://s3:8333"


def test_the_ports_are_closed_to_other_machines_until_asked() -> None:
    assert interpolate(SERVICES["api"]["ports"][0], {}) == "127.0.0.1:8000:8000"
    assert interpolate(SERVICES["api"]["ports"][0], {"HOST": "0.0.0.0", "PORT": "80"}) == "0.0.0.0:80:8000"
    assert SERVICES["api"]["command"] == ["serve", "--host", "0.0.0.0"]
    assert "HOST" not in SERVICES["api"]["environment"], "podman-compose would interpolate with it"
    assert interpolate(SERVICES["s3"]["ports"][0], {}) == "127.0.0.1:8333:8333"


def test_every_variable_of_compose_is_a_setting_or_documented() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    used = {match[0] for match in VARIABLE.findall(text)}
    settings = {name for name, _, _ in variables()}
    guide = (ROOT / "docs" / "deploy.md").read_text("utf-8")

    assert {name for name in used - settings if not name.startswith(FOREIGN_PREFIXES)} == COMPOSE_ONLY
    assert all(f"`{name}" in guide for name in COMPOSE_ONLY)
    for name in OURS:
        unknown = set(SERVICES[name]["environment"]) - settings
        assert all(variable.startswith("AWS_") for variable in unknown)


def test_the_s3_server_is_one_whose_conditional_writes_are_atomic() -> None:
    """docs/adr/0003-s3-server-image.md: SeaweedFS from 4.18 on."""
    image, _, version = SERVICES["s3"]["image"].partition(":")

    assert image == "chrislusf/seaweedfs"
    assert tuple(int(part) for part in version.split(".")) >= (4, 18)
