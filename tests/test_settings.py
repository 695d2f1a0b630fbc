"""load_settings: environment, `.env`, defaults, and what it says of mistakes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import InvalidSettings
from app.settings import COMPAT, ServerSettings, Settings, StorageSettings, load_settings, variables


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """load_settings writes to os.environ; every test starts without our variables and leaves none behind."""
    saved = dict(os.environ)
    for name in [name for name, _, _ in variables()] + [name for name in saved if name.startswith("AWS_")]:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_defaults_need_no_file(env_file: Path) -> None:
    settings = load_settings(env_file)

    assert settings == load_settings(None) == Settings()
    assert settings.storage.url == "data/demo"
    assert settings.model.name == "demo"
    assert settings.server.port == 8000


@pytest.mark.parametrize(
    ("name", "value", "group", "field", "expected"),
    [
        ("STORAGE_URL", "s3://photos", "storage", "url", "s3://photos"),
        ("MODEL", "openai/clip-vit-base-patch32", "model", "name", "openai/clip-vit-base-patch32"),
        ("MODEL_REVISION", "abc123", "model", "revision", "abc123"),
        ("IMAGE_MAX_BYTES", "1000", "image", "max_bytes", 1000),
        ("BATCH_MAX_QUEUE", "7", "batch", "max_queue", 7),
        ("INDEX_MAX_SHRINK", "0.25", "index", "max_shrink", 0.25),
        ("VECTOR_STORE", "faiss", "vector", "store", "faiss"),
        ("FETCH_TIMEOUT_S", "7", "fetch", "timeout_s", 7),
        ("SESSION_IDLE_S", "60", "sessions", "idle_s", 60),
        ("REDIS_URL", "redis://redis:6379/0", "sessions", "redis_url", "redis://redis:6379/0"),
        ("FETCH_ALLOWED_HOSTS", " NAS.lan, 10.0.0.0/8", "fetch", "allowed_hosts", "nas.lan,10.0.0.0/8"),
        ("IMPORT_MAX_PICTURES", "7", "imports", "max_pictures", 7),
        ("WEB_PROVIDERS", "openverse, ddgs", "web", "providers", "openverse,ddgs"),
        ("PORT", "9000", "server", "port", 9000),
        ("LOG_LEVEL", "debug", "server", "log_level", "debug"),
    ],
)
def test_every_group_reads_its_variables(name: str, value: str, group: str, field: str, expected: object) -> None:
    os.environ[name] = value

    assert getattr(getattr(load_settings(None), group), field) == expected


def test_the_file_gives_what_the_environment_does_not(env_file: Path) -> None:
    env_file.write_text("# mine\nSTORAGE_URL='s3://from-file'\nexport PORT=8001\n")
    os.environ["PORT"] = "8002"
    settings = load_settings(env_file)

    assert settings.storage.url == "s3://from-file"
    assert settings.server.port == 8002


@pytest.mark.parametrize(
    "name",
    ["HTTP_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
     "SSL_CERT_FILE", "SSL_CERT_DIR", "TOKENIZERS_PARALLELISM"],
)  # fmt: skip
def test_what_libraries_read_may_stand_in_the_file(env_file: Path, name: str) -> None:
    os.environ.pop(name, None)
    env_file.write_text(f"{name}=from-file\n")
    load_settings(env_file)

    assert os.environ[name] == "from-file"


@pytest.mark.parametrize("level", ["DEBUG", "Debug", "debug"])
def test_the_case_of_the_log_level_does_not_matter(level: str) -> None:
    os.environ["LOG_LEVEL"] = level

    assert load_settings(None).server.log_level == "debug"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("STORAGE_LINKS", "magic"),
        ("MODEL_DEVICE", "tpu"),
        ("INDEX_POLL_S", "0"),
        ("INDEX_MAX_SHRINK", "50"),
        ("VECTOR_STORE", "pinecone"),
        ("LOG_LEVEL", "loud"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_bad_value_names_its_variable(env_file: Path, name: str, value: str, source: str) -> None:
    if source == "file":
        env_file.write_text(f"{name}={value}\n")
    else:
        os.environ[name] = value

    with pytest.raises(InvalidSettings, match=rf"can't be used\. {name}: .*\.env\.example"):
        load_settings(env_file)


def test_all_bad_values_of_a_group_are_named_at_once() -> None:
    os.environ |= {"PORT": "eighty", "LOG_LEVEL": "loud"}

    with pytest.raises(InvalidSettings, match=r"PORT: .*; LOG_LEVEL: "):
        load_settings(None)


def test_boto3_finds_its_variables_of_the_file_in_the_environment(env_file: Path) -> None:
    env_file.write_text("AWS_ACCESS_KEY_ID=from-file\nAWS_DEFAULT_REGION=eu-west-1\n")
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    load_settings(env_file)

    assert os.environ["AWS_ACCESS_KEY_ID"] == "from-file"
    assert os.environ["AWS_DEFAULT_REGION"] == "us-east-1"


def test_empty_values_mean_the_default(env_file: Path) -> None:
    env_file.write_text("PORT=\nMODEL=\nAWS_ACCESS_KEY_ID=\n")
    os.environ["LOG_LEVEL"] = ""

    assert load_settings(env_file) == Settings()
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_settings_are_frozen() -> None:
    settings = load_settings(None)

    with pytest.raises(ValidationError, match="frozen"):
        settings.storage = StorageSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.storage.url = "s3://other"


def test_code_sets_fields_by_name_and_is_told_of_typos() -> None:
    assert StorageSettings(url="s3://photos").url == "s3://photos"
    with pytest.raises(ValidationError, match="uri"):
        StorageSettings(uri="s3://photos")  # type: ignore[call-arg]


def test_importing_reads_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import app.settings"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PORT": "eighty"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_variable_has_one_name_and_a_meaning() -> None:
    listed = list(variables())

    assert len({name for name, _, _ in listed}) == len(listed)
    assert all(description for _, _, description in listed)
    assert ("STORAGE_URL", "data/demo") in {(name, default) for name, default, _ in listed}
    assert "MODEL" in {name for name, _, _ in listed}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("*", ["*"]), ("photos.example, *.lan ,", ["photos.example", "*.lan"]), ("nas_1,xn--f.example", None)],
)
def test_allowed_hosts(value: str, expected: list[str] | None) -> None:
    os.environ["ALLOWED_HOSTS"] = value

    names = load_settings(None).server.names

    assert names == ["127.0.0.1", *(value.split(",") if expected is None else expected)]


@pytest.mark.parametrize("value", ["https://photos.example", "photos.example:443", "a/b", "a b", "*lan", "a.*", "."])
def test_allowed_hosts_that_are_no_names_are_refused(value: str) -> None:
    os.environ["ALLOWED_HOSTS"] = value

    with pytest.raises(InvalidSettings, match=r"ALLOWED_HOSTS.*without scheme, port and path"):
        load_settings(None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(
            (given, given)
            for given in ("", "https://photos.example", "http://10.0.0.7:8000", "https://a.example/my/photos")
        ),
        *(("https://photos.example/", "https://photos.example"), ("https://[fd00::7]/x/", "https://[fd00::7]/x")),
    ],
)
def test_public_url(value: str, expected: str) -> None:
    assert ServerSettings(public_url=value).public_url == expected


def test_the_host_of_the_public_url_needs_no_other_setting() -> None:
    assert "photos.example" in ServerSettings(public_url="https://photos.example:8443/search").names


@pytest.mark.parametrize(
    "value",
    ["photos.example", "ftp://photos.example", "https://", "https://a.example?b", "https://a b", "https://u@a.example",
     "https://a.example//b", 'https://a.example/">'],
)  # fmt: skip
def test_a_public_url_that_is_none_is_refused(value: str) -> None:
    os.environ["PUBLIC_URL"] = value

    with pytest.raises(InvalidSettings, match=r"PUBLIC_URL.*Write it as in https://photos\.example"):
        load_settings(None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" 10.0.0.7, 10.1.0.0/16,::1", "10.0.0.7,10.1.0.0/16,::1"),
        ("10.0.0.7,*", "*"),
        (",", ""),
        ("", "127.0.0.1,::1"),
    ],
)
def test_trusted_proxies(value: str, expected: str) -> None:
    os.environ["FORWARDED_ALLOW_IPS"] = value

    assert load_settings(None).server.forwarded_allow_ips == expected


@pytest.mark.parametrize("value", ["proxy", "10.0.0", "10.0.0.7/8", "10.0.0.7:80", "10.0.0.*"])
def test_proxies_that_are_no_addresses_are_refused(value: str) -> None:
    """uvicorn would take them without a word, and no client would ever match."""
    os.environ["FORWARDED_ALLOW_IPS"] = value

    with pytest.raises(
        InvalidSettings, match=r"FORWARDED_ALLOW_IPS.*Give addresses, such as 10\.0\.0\.7, and networks"
    ):
        load_settings(None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://Shop.example, http://localhost:3000", "https://shop.example,http://localhost:3000"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_origins(value: str, expected: str) -> None:
    os.environ["CORS_ORIGINS"] = value

    assert load_settings(None).server.cors_origins == expected


@pytest.mark.parametrize(
    "value", ["shop.example", "https://shop.example/", "https://shop.example/page", "null", "https://"]
)
def test_origins_that_are_none_are_refused(value: str) -> None:
    os.environ["CORS_ORIGINS"] = value

    with pytest.raises(InvalidSettings, match=r"CORS_ORIGINS.*as in https://shop\.example"):
        load_settings(None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", set(COMPAT)),
        ("all", set(COMPAT)),
        (" flask_clip , image_search_v2,", {"flask_clip", "image_search_v2"}),
        ("none", set()),
        (",", set()),
    ],
)
def test_apis_of_other_systems(value: str, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPAT", value)
    server = load_settings(None).server
    assert {name for name in COMPAT if server.answers_as(name)} == expected


@pytest.mark.parametrize("value", ["cohere", "all,flask_clip", "none,flask_clip", "flask_clip;image_backend", "true"])
def test_an_api_of_another_system_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPAT", value)
    with pytest.raises(InvalidSettings, match=r"COMPAT: .* Give all, none, or some of flask_clip,image_backend"):
        load_settings(None)
