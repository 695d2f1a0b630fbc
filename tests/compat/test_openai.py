"""The routes of OpenAI's API, asked by its own client."""

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.compat.openai import MAX_INPUTS, MAX_PICTURES
from app.pictures.png_text import read_png_text
from app.settings import BatchSettings, FetchSettings, ImageSettings
from app.types import Vectors, image_id_of
from tests.support.generation import Studio, use_fake_generator
from tests.support.service import encoded, make_parts, picture, serving_parts, until, wait_until
from tests.support.web import ELSEWHERE, answer, site

if TYPE_CHECKING:
    import openai
    from openai.types import CreateEmbeddingResponse

MODEL = "tiny-clip"
EMBEDDINGS = "/v1/embeddings"
TEXTS = ["red car in the city", "a dog at the beach", "🐕 ünïcode"]


def connect(service: httpx2.Client) -> "openai.OpenAI":
    """OpenAI's client of our service, as its documents say."""
    from openai import OpenAI  # takes a second to import

    return OpenAI(base_url=f"{service.base_url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def ai(client: httpx2.Client) -> "Iterator[openai.OpenAI]":
    with connect(client) as ai:
        yield ai


def data_address(key: str, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(encoded(picture(key), 'PNG')).decode()}"


def of_text(client: httpx2.Client, text: str) -> Vectors:
    """The vector with which a search for this text goes."""
    return np.float32(client.get("/embedding-for-text", params={"query": text}).json())


def of_picture(client: httpx2.Client, key: str) -> Vectors:
    return np.float32(client.get(f"/embedding/{image_id_of(key)}").json())


def test_vectors_are_those_of_searches_in_the_clients_own_format(ai: "openai.OpenAI", client: httpx2.Client) -> None:
    made = ai.embeddings.create(model=MODEL, input=TEXTS)  # asks for base64
    assert [(each.object, each.index) for each in made.data] == [("embedding", number) for number in range(3)]
    assert (made.object, made.model) == ("list", MODEL)
    for text, each in zip(TEXTS, made.data, strict=True):
        np.testing.assert_array_equal(np.float32(each.embedding), of_text(client, text))


def test_floats_are_the_same_to_the_last_bit(ai: "openai.OpenAI", client: httpx2.Client) -> None:
    (made,) = ai.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="float").data
    np.testing.assert_array_equal(np.float32(made.embedding), of_text(client, TEXTS[0]))
    assert np.linalg.norm(made.embedding) == pytest.approx(1, abs=1e-6)


def test_async_client(client: httpx2.Client) -> None:
    from openai import AsyncOpenAI

    async def ask() -> "tuple[CreateEmbeddingResponse, list[str]]":
        async with AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="none") as ai:
            made = await ai.embeddings.create(model=MODEL, input=TEXTS)
            return made, [model.id async for model in ai.models.list()]

    made, listed = asyncio.run(ask())
    np.testing.assert_array_equal(np.float32(made.data[2].embedding), of_text(client, TEXTS[2]))
    assert MODEL in listed


def test_usage_counts_the_models_tokens(ai: "openai.OpenAI", parts: Parts) -> None:
    usage = ai.embeddings.create(model=MODEL, input=TEXTS).usage
    tokens = parts.model.embedder.prepare.texts(TEXTS)["attention_mask"]
    assert usage.prompt_tokens == usage.total_tokens == tokens.sum()
    longest = ai.embeddings.create(model=MODEL, input="word " * 400).usage
    assert longest.prompt_tokens == parts.model.embedder.prepare.padding.longest


def test_pictures_in_data_addresses(ai: "openai.OpenAI", client: httpx2.Client) -> None:
    key = "nature/beach/waves.png"
    made = ai.embeddings.create(model=MODEL, input=[TEXTS[0], data_address(key), data_address(key, "image/jpeg")])
    np.testing.assert_array_equal(np.float32(made.data[0].embedding), of_text(client, TEXTS[0]))
    for each in made.data[1:]:
        assert np.float32(each.embedding) @ of_picture(client, key) == pytest.approx(1, abs=1e-5)


def test_the_largest_picture_that_is_accepted_may_come_as_data(ai: "openai.OpenAI", parts: Parts) -> None:
    data = encoded(picture("top.png"), "PNG")
    largest = data + b"\0" * (parts.settings.image.max_bytes - len(data))
    address = f"data:image/png;base64,{base64.b64encode(largest).decode()}"
    assert len(ai.embeddings.create(model=MODEL, input=address).data) == 1


def test_pictures_at_web_addresses(tmp_path: Path) -> None:
    data = encoded(picture("top.png"), "PNG")
    with site({"/top.png": answer(data)}) as shop:
        fetch = FetchSettings(allowed_hosts=ELSEWHERE)
        with serving_parts(make_parts(tmp_path, fetch=fetch)) as client, connect(client) as ai:
            (made,) = ai.embeddings.create(
                model="fake/model", input=f"{shop.url}/top.png", extra_body={"modality": "image"}
            ).data
            assert np.float32(made.embedding) @ of_picture(client, "top.png") == pytest.approx(1, abs=1e-5)
            (text,) = ai.embeddings.create(model="fake/model", input=f"{shop.url}/top.png").data
            np.testing.assert_array_equal(np.float32(text.embedding), of_text(client, f"{shop.url}/top.png"))
        assert [path for path, _ in shop.requests] == ["/top.png"]


def test_an_address_that_is_not_fetched_is_refused(ai: "openai.OpenAI") -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError) as caught:
        ai.embeddings.create(model=MODEL, input=["http://127.0.0.1/a.png", "b"], extra_body={"modality": "image"})
    assert caught.value.code == "url_refused"


def test_as_many_texts_as_openai_takes_through_a_short_queue(tmp_path: Path) -> None:
    texts = [f"text number {number}" for number in range(MAX_INPUTS)]
    batch = BatchSettings(max_queue=8, max_size=32)
    with serving_parts(make_parts(tmp_path, keys=(), batch=batch)) as client, connect(client) as ai:
        made = ai.embeddings.create(model="fake/model", input=texts)
        assert [each.index for each in made.data] == list(range(MAX_INPUTS))
        last = ai.embeddings.create(model="fake/model", input=texts[-1])
    assert made.data[-1].embedding == last.data[0].embedding
    assert made.usage.total_tokens == MAX_INPUTS * 5


def test_no_index_is_needed(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client, connect(client) as ai:
        assert len(ai.embeddings.create(model="fake/model", input="dog").data[0].embedding) == 8


@pytest.mark.parametrize(
    ("wrong", "param", "said"),
    [
        ({"input": [1212, 318, 257]}, "input", "check_embedding_ctx_length=False"),
        ({"input": [[1212, 318], [257]]}, "input", "token ids"),
        ({"input": ""}, "input", "a text can't be empty"),
        ({"input": ["dog", " "]}, "input", "input.1: a text can't be empty"),
        ({"input": []}, "input", "at least 1"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "input", "at most 2048"),
        ({"input": "x" * 2001}, "input", "at most 2,000 characters; this one has 2,001"),
        ({"input": None}, "input", "string"),
        ({"input": {"text": "dog"}}, "input", "string"),
        ({"encoding_format": "int8"}, "encoding_format", "'float' or 'base64'"),
        ({"dimensions": 12}, None, "makes vectors of 16 numbers"),
        ({"input": [data_address("top.png")] * (MAX_PICTURES + 1)}, None, "65 pictures are too many"),
        ({"input": "data:image/png,abc"}, None, "Write data:image/jpeg;base64"),
        ({"input": "data:image/png;base64,aGVsbG8gd29ybGQ="}, None, "picture"),
    ],
)
def test_what_cannot_be_embedded_is_a_bad_request(
    ai: "openai.OpenAI", wrong: dict[str, object], param: str | None, said: str
) -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError) as caught:
        ai.embeddings.create(**{"model": MODEL, "input": "dog", **wrong})
    assert said in caught.value.message
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


def test_a_model_of_another_name_is_not_found(ai: "openai.OpenAI") -> None:
    from openai import NotFoundError

    for ask in (
        lambda: ai.embeddings.create(model="text-embedding-3-small", input="dog"),
        lambda: ai.models.retrieve("text-embedding-3-small"),
    ):
        with pytest.raises(NotFoundError, match="GET /v1/models lists what there is") as caught:
            ask()
        assert caught.value.code == "model_not_found"


def test_models(ai: "openai.OpenAI", tmp_path: Path) -> None:
    (model,) = ai.models.list().data
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "local")
    assert model.created > 1.7e9
    assert ai.models.retrieve(MODEL) == model
    with serving_parts(make_parts(tmp_path, keys=())) as client, connect(client) as fake:
        assert fake.models.retrieve("fake/model").owned_by == "fake"


def test_dimensions_and_user_and_fields_of_others_are_taken(ai: "openai.OpenAI", client: httpx2.Client) -> None:
    size = len(of_text(client, "dog"))
    (made,) = ai.embeddings.create(
        model=MODEL, input="dog", dimensions=size, user="ann", extra_body={"encoding_format": None, "truncate": True}
    ).data
    assert len(made.embedding) == size


def test_errors_have_openais_shape(client: httpx2.Client) -> None:
    refused = client.post(EMBEDDINGS, json={"model": MODEL})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/json"
    error = refused.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "input", None)
    assert "input" in error["message"]
    not_json = client.post(EMBEDDINGS, content=b"{", headers={"content-type": "application/json"})
    as_text = client.post(EMBEDDINGS, content=b"{}", headers={"content-type": "text/plain"})
    assert (not_json.status_code, as_text.status_code) == (400, 415)
    assert not_json.json()["error"]["message"].startswith("body.1: This is not JSON")
    assert "application/json" in as_text.json()["error"]["message"]


def test_a_body_that_is_too_large_is_413(tmp_path: Path) -> None:
    images = ImageSettings(max_bytes=1000)
    with serving_parts(make_parts(tmp_path, keys=(), image=images)) as client:
        address = f"data:image/png;base64,{base64.b64encode(bytes(1001)).decode()}"
        as_picture = client.post(EMBEDDINGS, json={"model": "fake/model", "input": address})
        as_body = client.post(EMBEDDINGS, json={"model": "fake/model", "input": address, "user": "x" * (17 << 20)})
    assert (as_picture.status_code, as_body.status_code) == (413, 413)
    assert "error" in as_picture.json()
    assert "error" in as_body.json()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def drawing(studio: Studio) -> Iterator[httpx2.Client]:
    """A service that draws pictures, with a generator without a network."""
    with pytest.MonkeyPatch.context() as patch:
        settings = use_fake_generator(patch, studio.log)
        with serving_parts(make_parts(studio.folder / "bucket", generation=settings)) as client:
            yield client


@pytest.fixture(scope="module")
def artist(drawing: httpx2.Client) -> "Iterator[openai.OpenAI]":
    with connect(drawing) as ai:
        yield ai


def test_pictures_in_base64(artist: "openai.OpenAI") -> None:
    made = artist.images.generate(prompt="a red circle", model="fake", n=2, size="40x24", extra_body={"seed": 7})
    assert made.created > 1.7e9
    assert (made.size, made.output_format, len(made.data)) == ("40x24", "png", 2)
    files = [base64.b64decode(each.b64_json) for each in made.data]
    assert [Image.open(io.BytesIO(file)).size for file in files] == [(40, 24)] * 2
    assert read_png_text(files[0])["seed"] == "7"
    again = artist.images.generate(prompt="a red circle", size="40x24", extra_body={"seed": 7})
    assert base64.b64decode(again.data[0].b64_json) == files[0] != files[1]


def test_pictures_at_addresses(artist: "openai.OpenAI", drawing: httpx2.Client) -> None:
    made = artist.images.generate(prompt="a blue square", size="auto", response_format="url", user="ann")
    assert made.size == "32x32"
    assert made.data[0].b64_json is None
    fetched = httpx2.get(made.data[0].url)
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(fetched.content)).size == (32, 32)
    job = drawing.get(made.data[0].url.rpartition("/pictures/")[0]).json()
    assert (job["state"], job["prompt"]) == ("succeeded", "a blue square")


def test_the_models_are_listed(artist: "openai.OpenAI") -> None:
    assert [model.id for model in artist.models.list()] == ["fake/model", "fake"]
    assert artist.models.retrieve("fake").id == "fake"


def test_an_async_client_that_goes_away_cancels_its_job(
    drawing: httpx2.Client, artist: "openai.OpenAI", studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    from openai import AsyncOpenAI

    async def leave() -> None:
        async with AsyncOpenAI(base_url=f"{drawing.base_url}/v1", api_key="none") as ai:
            asks = asyncio.create_task(ai.images.generate(prompt="left waits departure dawdles", n=4))
            await until(lambda: any(line.endswith("step 2") for line in studio.lines() if line.startswith("left")))
            asks.cancel()
            await asyncio.wait([asks])

    asyncio.run(leave())
    wait_until(lambda: "/v1/images/generations 409" in caplog.text)
    studio.open("departure")
    assert artist.images.generate(prompt="next").data
    steps = [line for line in studio.lines() if line.startswith("left")]
    assert 2 <= len(steps) < 4 * 3  # of each picture; the worker hears of it between two steps


@pytest.mark.parametrize(
    ("wrong", "param", "said"),
    [
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"prompt": "   "}, None, "prompt"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 10}, None, "4"),
        ({"prompt": "offends"}, None, "safety checker rejects"),
        ({"size": "33x32"}, None, "8"),
        ({"size": "large"}, "size", "pattern"),
        ({"output_format": "webp"}, "output_format", "'png'"),
        ({"extra_body": {"stream": True}}, "stream", "not streamed here"),
        ({"extra_body": {"seed": -1}}, "seed", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_drawn_is_a_bad_request(
    artist: "openai.OpenAI", wrong: dict[str, object], param: str | None, said: str
) -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError) as caught:
        artist.images.generate(**{"prompt": "a circle", **wrong})
    assert said in caught.value.message
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


def test_the_embedding_model_draws_nothing(artist: "openai.OpenAI") -> None:
    from openai import NotFoundError

    with pytest.raises(NotFoundError) as caught:
        artist.images.generate(prompt="a circle", model="fake/model")
    assert caught.value.code == "model_not_found"


def test_a_job_that_fails_says_why_and_is_not_tried_again(drawing: httpx2.Client, studio: Studio) -> None:
    from openai import InternalServerError, OpenAI

    ai = OpenAI(base_url=f"{drawing.base_url}/v1", api_key="none", max_retries=5)
    with ai, pytest.raises(InternalServerError, match="The process that draws was killed") as caught:
        ai.images.generate(prompt="crashes")
    assert caught.value.type == "server_error"
    assert len([line for line in studio.lines() if line.startswith("crashes") and line.endswith("step 1")]) == 1


def test_without_a_generator_it_is_not_implemented(ai: "openai.OpenAI", caplog: pytest.LogCaptureFixture) -> None:
    from openai import InternalServerError

    with pytest.raises(InternalServerError, match="GENERATION_MODEL") as caught:
        ai.images.generate(prompt="a circle")
    assert (caught.value.status_code, caught.value.code) == (501, "not_configured")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "NotConfigured: " in caplog.text
