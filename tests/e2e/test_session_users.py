"""Search sessions learn: made-up users of the demo, over HTTP, find more of what they look for in each of three rounds.

`scripts/simulate_sessions.py` does it with all users; docs/sessions.md has the figures.
"""

from collections.abc import Iterator, Sequence

import httpx2
import numpy as np
import pytest

from scripts.bench.session_users import ROUNDS, by_round, divided, of_the_rest, users_of_samples, walk
from tests.support.demo import Demo

SESSIONS = "/api/v1/sessions"


@pytest.fixture(scope="module")
def client(first_demo: Demo) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=first_demo.address, timeout=30) as client:
        yield client


class OverHttp:
    """As `session_users.Search`."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self._path = f"{SESSIONS}/{client.post(SESSIONS).json()['session_id']}"

    def begin(self, query: str, k: int) -> list[str]:
        return self._ask("search", query=query, k=k)

    def refine(self, pick: Sequence[int], reject: Sequence[int]) -> list[str]:
        return self._ask("refine", pick=list(pick), reject=list(reject))

    def _ask(self, path: str, **body: object) -> list[str]:
        answer = self._client.post(f"{self._path}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["note"] is None
        return [result["object_key"] for result in answer.json()["results"]]


def test_each_of_three_rounds_finds_more(client: httpx2.Client) -> None:
    listed = client.get("/api/v1/images", params={"limit": 500}).json()["images"]
    _, users = divided(users_of_samples(image["object_key"] for image in listed))
    walks = [walk(user, OverHttp(client), k=50) for user in users[::3]]
    assert len(walks) >= 14
    means = by_round(walks)
    assert np.diff(means).min() > 0.02, means
    assert means[-1] > 2 * means[0]
    for number in range(1, ROUNDS + 1):
        now, first = of_the_rest(walks, number)
        assert now > first, number
