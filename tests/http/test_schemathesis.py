"""The API keeps what its OpenAPI document says, for requests that schemathesis makes up.

Requests are the same in every run. For others run its command against a service:
`st run http://localhost:8000/openapi.json`.

Its import takes two seconds, so only the process that runs these tests does it, and its plugin for pytest is turned off
in pyproject.toml.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings, strategies

import app.bootstrap.services
from app.indexing.jobs import IndexJobs
from app.main import create_app
from app.settings import ImageSettings, SearchSettings, Settings
from app.types import image_id_of
from tests.support.captions import FakeCaptioner, lazily
from tests.support.generation import use_fake_generator
from tests.support.service import KEYS, make_parts, serving_parts, wait_until

if TYPE_CHECKING:
    import schemathesis

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]

MAX_EXAMPLES = 5
"""Made up for each operation, besides those at the bounds of its schema."""

CHECKS = {
    # No schema can say what a cursor is, and that one of it and of what is searched for is sent, not both.
    "/api/v1/search/text": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 422, 501]}},
    # Nor that a file must be a picture, or that all fields of a form are texts.
    "/api/v1/search/image": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 413, 415, 422]},
        "negative_data_rejection": {"enabled": False},
    },
    "/api/demo_backend_v2/image_search/search_by_image": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 413]},
        "negative_data_rejection": {"enabled": False},
    },
    # No schema can say what a cursor is; what is added is no picture, or at an unknown host; one tag is a list of one.
    "/api/v1/images": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 413, 415]},
        "negative_data_rejection": {"enabled": False},
    },
    # No schema can say what a cursor is.
    "/api/v1/duplicates": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400]}},
    # Either ids or filters.
    "/api/v1/images/deletions": {"positive_data_acceptance": {"expected-statuses": ["2xx", 422]}},
    # No host is known here, and no schema can say that a file must be a picture.
    "/images/add": {"positive_data_acceptance": {"expected-statuses": [400]}},
    "/images/search/url": {"positive_data_acceptance": {"expected-statuses": [400]}},
    "/image/search/url": {"positive_data_acceptance": {"expected-statuses": [400]}},
    "/search-by-image": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 413, 415]},
        "negative_data_rejection": {"enabled": False},
    },
    "/images/search/image": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 413, 415]},
        "negative_data_rejection": {"enabled": False},
    },
    # No schema can say that a term is one thing, which ids there are and what base64 is; relevance is not known here.
    "/api/v1/search": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 422, 501]}},
    "/api/v1/search/matches": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 422, 501]}},
    "/api/v1/search/batch": {"positive_data_acceptance": {"expected-statuses": ["2xx", 422]}},
    # No host is known here, no web search is allowed, and an import is by addresses or by a query.
    "/api/v1/search/url": {"positive_data_acceptance": {"expected-statuses": [400, 422]}},
    "/api/v1/images/import": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 413, 422]},
        "negative_data_rejection": {"enabled": False},
    },
    # No schema can say that there is one model here, and which texts are addresses of pictures.
    "/v1/embeddings": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404]}},
    "/v1/images/generations": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404]}},
    "/v1/models/{model}": {"positive_data_acceptance": {"expected-statuses": ["2xx", 404]}},
    # No schema can say what the settings and the model allow, and that a file must be a picture.
    "/api/v1/generations": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 413, 415, 422]},
        "negative_data_rejection": {"enabled": False},
    },
    # No schema can say what a session has searched and keeps, and that a file must be a picture.
    "/api/v1/sessions/{session_id}/search": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 413, 415]},
        "negative_data_rejection": {"enabled": False},
    },
    "/api/v1/sessions/{session_id}/refine": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 422]}},
    "/api/v1/sessions/{session_id}/undo": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404]}},
    # It takes "5" and true for a number, as the original does.
    "/api/demo_backend_v2/image_search/search": {"negative_data_rejection": {"enabled": False}},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over a small index and a generator without a network. Its index runs end at once, and it knows no other
    host."""

    async def unknown(host: str, port: int) -> list[str]:
        raise OSError(f"{host} is unknown")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.ingest.network.resolve_host", unknown)
        # On a busy machine an import is still running when the next ones are sent.
        patch.setattr("app.library.imports.service.RUNNING", 1000)
        patch.setattr(app.bootstrap.services, "IndexJobs", partial(IndexJobs, command=[sys.executable, "-S", "-c", ""]))
        generation = use_fake_generator(patch, tmp_path_factory.mktemp("generator") / "log.txt", max_queue=1000)
        images = ImageSettings(max_pixels=1_000_000)
        groups = {"image": images, "generation": generation, "search": SearchSettings(relevance=True)}
        parts = make_parts(tmp_path_factory.mktemp("bucket"), **groups)
        with serving_parts(replace(parts, captioner=lazily(FakeCaptioner()))) as client:
            wait_until(lambda: says_relevance(client))
            yield str(client.base_url)


def says_relevance(client: httpx2.Client) -> bool:
    """Not in the first moments of a service."""
    found = client.post("/api/v1/search/text", json={"query": "dog", "k": 1}).json()
    return found["results"][0]["relevance"] is not None


@pytest.fixture(scope="module")
def schema() -> "schemathesis.BaseSchema":
    import schemathesis

    operations = [{"include-path": path, "checks": checks} for path, checks in CHECKS.items()]
    config = schemathesis.Config.from_dict({"operations": operations})
    return schemathesis.openapi.from_dict(DOCUMENT, config=config)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_documented(schema: "schemathesis.BaseSchema", address: str, path: str, method: str) -> None:
    from schemathesis import Case, GenerationMode

    operation = schema[path][method]
    modes = list(GenerationMode)
    bounds = schema.iter_coverage_cases(
        operation, generation_modes=modes, generation_config=schema.config.generation_for(operation=operation)
    )
    listed = operation.Case(path_parameters={"image_id": image_id_of(KEYS[0])})
    for case in [*bounds, *([listed] if "{image_id}" in path else [])]:
        case.call_and_validate(base_url=address)

    @settings(
        max_examples=MAX_EXAMPLES, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategies.one_of(operation.as_strategy(mode) for mode in modes))
    def check(case: Case) -> None:
        case.call_and_validate(base_url=address)

    check()
