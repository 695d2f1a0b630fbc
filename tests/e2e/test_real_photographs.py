"""The main job on real input: photographs in S3, a trained model, the indexer and the service as real processes.

The photographs and the model lie beside the checkout where there are any; their licence allows no more than testing.
"""

import csv
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx2
import pytest

from app.library.filling import put_pictures
from tests.support.processes import unmeasured
from tests.support.service import wait_until
from tests.support.stores import store_at

SHARED = Path(__file__).parents[3] / "shared"
PHOTOS, MODEL = SHARED / "photos", SHARED / "models" / "mini-dual-encoder"
PROGRAM = Path(sys.executable).with_name("image2search")
PEOPLE, CLOTHES = 60, ("dress", "hat", "shoes")

pytestmark = [
    pytest.mark.long(40),
    pytest.mark.real,
    pytest.mark.skipif(not (PHOTOS.is_dir() and MODEL.is_dir()), reason=f"no photographs or no model in {SHARED}"),
]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some photographs of people and dogs in `flickr`, a dozen each of three garments in `clothing/<garment>`."""
    root = tmp_path_factory.mktemp("collection")
    chosen = {f"flickr/{path.name}": path for path in sorted((PHOTOS / "flickr8k").glob("*.jpg"))[:PEOPLE]}
    for garment in CLOTHES:
        paths = sorted((PHOTOS / "clothing" / garment).glob("*.jpg"))[:12]
        chosen |= {f"clothing/{garment}/{path.name}": path for path in paths}
    for key, path in chosen.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def service(s3_endpoint: str, collection: Path) -> Iterator[httpx2.Client]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "STORAGE_URL": "s3://photographs/here",
            "MODEL": str(MODEL),
        }.items():
            patch.setenv(name, value)
        httpx2.put(f"{s3_endpoint}/photographs")
        assert put_pictures(store_at("s3://photographs/here"), collection) == PEOPLE + 36
        indexed = subprocess.run([PROGRAM, "index"], env=unmeasured(), capture_output=True, text=True, timeout=300)
        assert indexed.returncode == 0, indexed.stderr
        command = [PROGRAM, "serve", "--port", "0"]
        with subprocess.Popen(command, env=unmeasured(), stdout=subprocess.PIPE, text=True) as process:
            address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/docs)", line)))
            with httpx2.Client(base_url=address, timeout=30) as client:
                yield client
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def captions() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with (PHOTOS / "flickr8k" / "captions.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["image"], []).append(row["caption"])
    return found


def test_captions_find_their_photographs(service: httpx2.Client, collection: Path) -> None:
    """Among 96 pictures chance has a median rank of 48; this weak model's is far better."""
    described = captions()
    ranks = []
    for path in random.Random(5).sample(sorted((collection / "flickr").iterdir()), 30):
        body = {"query": described[path.name][0], "k": 96, "auto_folder": False}
        results = service.post("/api/v1/search/text", json=body).json()["results"]
        ranks.append(1 + [item["object_key"] for item in results].index(f"flickr/{path.name}"))
    assert median(ranks) <= 5, ranks


def test_a_photograph_finds_itself_first_and_the_link_leads_to_it(service: httpx2.Client, collection: Path) -> None:
    path = min((collection / "clothing" / "hat").iterdir())
    answer = service.post("/api/v1/search/image", files={"file": path.read_bytes()}, data={"k": "1"}).json()
    (hit,) = answer["results"]
    assert hit["object_key"] == f"clothing/hat/{path.name}"
    assert hit["score"] == pytest.approx(1, abs=1e-4)
    assert hit["s3_path"] == f"s3://photographs/here/clothing/hat/{path.name}"
    assert httpx2.get(hit["image_url"]).content == path.read_bytes()
    assert service.get(hit["thumbnail_url"]).headers["content-type"] == "image/webp"


@pytest.mark.parametrize("query", ["show me shoes", "a pair of shoes photos", "clothing/shoes"])
def test_a_folder_named_in_the_query_is_searched_alone(service: httpx2.Client, query: str) -> None:
    answer = service.post("/api/v1/search/text", json={"query": query, "k": 50}).json()
    assert answer["folder"]["path"] == "clothing/shoes"
    assert len(answer["results"]) == 12
    assert {item["folder"] for item in answer["results"]} == {"clothing/shoes"}


def test_the_older_clients_path_answers_the_same(service: httpx2.Client) -> None:
    ours = service.post("/api/v1/search/text", json={"query": "a dog runs", "k": 4}).json()["results"]
    theirs = service.post("/api/demo_backend_v2/image_search/search", json={"query": "a dog runs", "k": 4}).json()
    assert [hit["s3_path"] for hit in theirs] == [hit["s3_path"] for hit in ours]
    assert [hit["distance"] for hit in theirs] == pytest.approx([hit["distance"] for hit in ours], abs=1e-5)


def test_a_second_run_embeds_nothing(service: httpx2.Client) -> None:
    before = service.get("/api/v1/index").json()
    job = service.post("/api/v1/index/jobs").json()
    wait_until(lambda: service.get(f"/api/v1/index/jobs/{job['id']}").json()["state"] == "succeeded", deadline_s=120)
    report = service.get(f"/api/v1/index/jobs/{job['id']}").json()["report"]
    assert report["embedded"] == 0
    assert report["unchanged"] == before["count"] == 96
    assert MODEL.name in service.get("/api/v1/index").json()["model"]["name"]
