"""`image2search fetch` as a person types it, against local servers that stand for Openverse and for the web."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.workplace import Ended, Workplace
from tests.support.pictures import encoded
from tests.support.service import picture
from tests.support.web import ELSEWHERE, Site, answer, site

PICTURES = {f"/{name}.png": encoded(picture(name)) for name in ("tower", "lamp")}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("fetch"), "demo")


@pytest.fixture
def web() -> Iterator[Site]:
    """Pictures, and an Openverse that finds them and one that is gone."""
    with site({path: answer(data) for path, data in PICTURES.items()}) as found:
        results = [
            {"url": f"{found.url}{path}", "license": "by", "attribution": f"{path} by Ann Example, CC BY."}
            for path in (*PICTURES, "/gone.png")
        ]
        found.answers["/v1/images/"] = answer(json.dumps({"page_count": 1, "results": results}).encode())
        yield found


def fetch(workplace: Workplace, web: Site, *arguments: str, **settings: str) -> Ended:
    return workplace.run(
        "fetch", *arguments, WEB_OPENVERSE_URL=web.url, FETCH_ALLOWED_HOSTS=f"{ELSEWHERE}/32", **settings
    )


def test_pictures_are_found_added_and_attributed(workplace: Workplace, web: Site) -> None:
    added = fetch(workplace, web, "lighthouse", "--folder", "light/houses", "-n", "3")
    assert added.returncode == 0, added.stderr
    lines = sorted(added.stdout.splitlines())
    assert lines[0] == "added    light/houses/lamp.png  /lamp.png by Ann Example, CC BY."
    assert lines[1] == "added    light/houses/tower.png  /tower.png by Ann Example, CC BY."
    assert lines[2].startswith(f"failed   {web.url}/gone.png: {ELSEWHERE} answers 404")
    assert "2 added, 0 there already, 1 not added." in added.stderr
    assert "knows drawings, not photographs" in added.stderr
    assert (workplace.root / "pictures/light/houses/tower.png").read_bytes() == PICTURES["/tower.png"]
    again = fetch(workplace, web, "lighthouse", "--folder", "light/houses", "-n", "2")
    assert "0 added, 2 there already, 0 not added." in again.stderr


def test_what_goes_wrong_is_one_sentence_and_exit_code_1(workplace: Workplace, web: Site) -> None:
    nothing = json.dumps({"page_count": 0, "results": []}).encode()
    for reply, sentence in (
        (answer(nothing), "openverse knows no picture of 'xyzzy'"),
        (answer(b"{}", status=429, Retry_After="3600"), "WEB_OPENVERSE_TOKEN allows more"),
    ):
        web.answers["/v1/images/"] = reply
        ended = fetch(workplace, web, "xyzzy")
        assert ended.returncode == 1
        assert sentence in ended.stderr
    assert "set STORAGE_URL" in fetch(workplace, web, "cat", STORAGE_URL="data/demo").stderr
