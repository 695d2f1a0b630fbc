"""A client that openapi-python-client makes of the served OpenAPI document searches as any other client does."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.processes import unmeasured
from tests.support.service import encoded, make_parts, picture, serving_parts

GENERATOR = Path(sys.executable).with_name("openapi-python-client")
PACKAGE = "client_of_image2search"
ENDPOINTS = {
    "text": "search.search_text_api_v1_search_text_post",
    "image": "search.search_image_api_v1_search_image_post",
    "v2_image": "compat_image_search_v2.search_by_image_api_demo_backend_v2_image_search_search_by_image_post",
    "folders": "library.folders_api_v1_folders_get",
    "thumbnail": "library.image_thumbnail_api_v1_images_image_id_thumbnail_get",
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The package's client and models, and its endpoints under the names of `ENDPOINTS`."""
    folder = tmp_path_factory.mktemp("generated")
    with serving_parts(make_parts(folder / "bucket")) as service, pytest.MonkeyPatch.context() as patch:
        generate(f"{service.base_url}/openapi.json", folder)
        patch.syspath_prepend(folder)
        package = importlib.import_module(PACKAGE)
        endpoints = {name: importlib.import_module(f"{PACKAGE}.api.{path}") for name, path in ENDPOINTS.items()}
        with package.Client(base_url=str(service.base_url)) as client:
            yield SimpleNamespace(client=client, models=importlib.import_module(f"{PACKAGE}.models"), **endpoints)


def generate(url: str, folder: Path) -> None:
    config = folder / "config.yml"
    config.write_text("post_hooks: []\n")  # they would only format the code
    options = ["--url", url, "--meta", "none", "--config", config, "--output-path", folder / PACKAGE]
    subprocess.run([GENERATOR, "generate", *options], env=unmeasured(), check=True, capture_output=True, timeout=120)


def file_of(generated: SimpleNamespace, key: str) -> Any:
    types = importlib.import_module(f"{PACKAGE}.types")
    return types.File(payload=encoded(picture(key)), file_name="picture.png", mime_type="image/png")


def keys_of(answer: Any) -> list[str]:
    return [hit.object_key for hit in answer.results]


def test_it_searches_by_picture(generated: SimpleNamespace) -> None:
    body = generated.models.ImageSearch(file=file_of(generated, "top.png"), k=3)
    answer = generated.image.sync(client=generated.client, body=body)
    assert (keys_of(answer)[0], len(answer.results)) == ("top.png", 3)
    inside = generated.models.ImageSearch(file=file_of(generated, "top.png"), folder="nature")
    assert {hit.folder for hit in generated.image.sync(client=generated.client, body=inside).results} == {
        "nature",
        "nature/beach",
    }


def test_it_searches_by_picture_as_clients_of_v2_do(generated: SimpleNamespace) -> None:
    form = generated.v2_image.BodySearchByImageApiDemoBackendV2ImageSearchSearchByImagePost
    answer = generated.v2_image.sync(client=generated.client, body=form(file=file_of(generated, "top.png")))
    assert len(answer) == 5
    assert answer[0].s3_path.endswith("top.png")


def test_it_searches_by_words_and_fetches_what_it_finds(generated: SimpleNamespace) -> None:
    answer = generated.text.sync(client=generated.client, body=generated.models.TextSearch(query="a cat", k=2))
    assert len(answer.results) == 2
    thumbnail = generated.thumbnail.sync_detailed(answer.results[0].image_id, client=generated.client)
    assert (thumbnail.status_code, thumbnail.content[8:12]) == (200, b"WEBP")
    assert generated.folders.sync(client=generated.client).folders[0].path == "animals"


def test_it_is_told_what_is_wrong(generated: SimpleNamespace) -> None:
    answer = generated.text.sync(client=generated.client, body=generated.models.TextSearch(query=" "))
    assert isinstance(answer, generated.models.Problem)
    assert (answer.status, answer.detail) == (422, "body.query: say what to look for; it can't be empty")
