"""Requests to one session at the same time, in the memory of one process."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.sessions.test_routes import ask, begin, files
from tests.support.service import KEYS, make_parts, serving_parts


def test_no_turn_and_no_upload_is_lost(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path / "bucket")) as service:
        session = begin(service)
        ask(service, f"{session}/search", query="a cat")
        with ThreadPoolExecutor(20) as pool:
            refined = pool.map(lambda number: ask(service, f"{session}/refine", pick=[number % 5], turn=1), range(15))
            sent = pool.map(lambda key: service.post(f"{session}/search", files=files(key)), KEYS)
            turns = [answer["turn"] for answer in refined]
            outcomes = [answer.status_code for answer in sent]
        info = service.get(session).json()
        assert sorted(outcomes) == [200] * 5 + [400] * 2  # only five uploads fit
        assert len(info["uploads"]) == 5
        assert len(set(turns)) == 15
        assert [turn["turn"] for turn in info["turns"]] == list(range(1, 22))
