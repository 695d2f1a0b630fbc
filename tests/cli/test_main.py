"""`image2search` as a person types it, over a folder of pictures and a tiny model.

Commands run through their entry point in this process; signals and `index`, which replaces its process, in real ones.
"""

import json
import os
import re
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from tests.cli.workplace import Workplace
from tests.support.service import KEYS


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Indexed once for all tests of this file."""
    place = Workplace(tmp_path_factory.mktemp("cli"))
    before = place.run("search", "cat")
    assert before.returncode == 1
    assert "Run `image2search index`" in before.stderr
    indexed = place.run_process("index")
    assert indexed.returncode == 0, indexed.stderr
    return place


def test_search_by_text_lists_pictures_with_scores(workplace: Workplace) -> None:
    found = workplace.run("search", "a black cat", "-k", "3")
    assert found.returncode == 0, found.stderr
    rows = [re.fullmatch(r"(-?\d\.\d{3}) — (pictures/.*)", line) for line in found.stdout.splitlines()]
    assert len(rows) == 3
    scores = [float(row[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all((workplace.root / row[2]).is_file() for row in rows)
    assert found.stderr == ""


def test_the_query_may_be_an_option(workplace: Workplace) -> None:
    by_place = workplace.run("search", "a black cat", "-k", "2")
    assert workplace.run("search", "--prompt", "a black cat", "--top_k", "2") == by_place


def test_search_by_picture_finds_itself_first(workplace: Workplace) -> None:
    found = workplace.run("search", "pictures/nature/sunset1.jpg", "-k", "1")
    assert found.stdout == "1.000 — pictures/nature/sunset1.jpg\n", found.stderr


def test_search_stays_in_its_folder(workplace: Workplace) -> None:
    found = workplace.run("search", "anything", "-k", "100", "--folder", "nature").stdout.splitlines()
    assert len(found) == 3
    assert all("— pictures/nature/" in line for line in found)


def test_search_finds_the_folder_in_the_query_and_says_so(workplace: Workplace) -> None:
    found = workplace.run("search", "a black cat in nature", "-k", "100")
    assert len(found.stdout.splitlines()) == found.stdout.count("— pictures/nature/") == 3
    assert "Searched nature for 'a black cat'" in found.stderr
    assert "with 'nature'. --no-auto-folder searches everywhere." in found.stderr


def test_search_takes_minus_words_away_and_says_so(workplace: Workplace) -> None:
    found = workplace.run("search", "a black cat -dog", "-k", "100")
    assert "Looked for 'a black cat' without 'dog'. --no-minus-words takes all words as they are." in found.stderr
    as_written = workplace.run("search", "a black cat -dog", "-k", "100", "--no-minus-words")
    assert "without" not in as_written.stderr
    assert sorted(as_written.stdout.splitlines()) != sorted(found.stdout.splitlines())


@pytest.mark.parametrize("arguments", [["a black cat in nature", "--no-auto-folder"], ["a cat among vehicles"]])
def test_search_looks_everywhere_if_told_or_pointed_nowhere(workplace: Workplace, arguments: list[str]) -> None:
    found = workplace.run("search", *arguments, "-k", "100")
    assert len(found.stdout.splitlines()) == len(KEYS)
    assert "Searched" not in found.stderr


def test_a_path_is_never_wrapped(workplace: Workplace) -> None:
    folder = workplace.root / "pictures"
    found = workplace.run("search", "cat", "-k", "100", STORAGE_URL=str(folder), COLUMNS="20")
    assert {line.partition(" — ")[2] for line in found.stdout.splitlines()} == {f"{folder}/{key}" for key in KEYS}


def test_results_as_json(workplace: Workplace) -> None:
    answer = json.loads(workplace.run("search", "a black cat in nature", "-k", "2", "--json").stdout)
    assert answer["folder"] == {
        "path": "nature", "source": "detected", "words": ["nature"], "also": [], "widened": False
    }  # fmt: skip
    first, second = answer["results"]
    assert first["score"] >= second["score"]
    assert first["path"] == f"pictures/{first['object_key']}"
    assert set(first) == {"path", "score", "distance", "image_id", "object_key", "folder"}


def test_paths_for_other_programs(workplace: Workplace) -> None:
    """In a process of its own: bytes go around the text of stdout."""
    ended = workplace.run_process("search", "a black cat", "-k", "2", "--print0")
    *paths, rest = ended.stdout.split("\0")
    assert rest == ""
    assert len(paths) == 2
    assert all((workplace.root / path).is_file() for path in paths)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "say what to look for"),
        (" ", "say what to look for"),
        ("cat " * 501, "at most 2000 characters"),
        ("no-such-picture.jpg", "There is no picture no-such-picture.jpg"),
        ("./cat", "There is no picture ./cat"),
        ("pictures/no-such-picture", "There is no picture"),
        ("pictures/nature", "is a folder"),
        ("model/config.json", "are no picture"),
    ],
)
def test_what_is_neither_words_nor_a_picture_is_refused_once(workplace: Workplace, text: str, reason: str) -> None:
    refused = workplace.run("search", text)
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert refused.stderr.count("\n") == refused.stderr.count("Error:") == 1
    assert refused.stdout == ""


def test_words_with_slashes_and_dots_are_words(workplace: Workplace) -> None:
    (workplace.root / "cat").touch()
    for words in ("black/white", "a dog.", "cat"):
        assert workplace.run("search", words).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["cat", "--prompt", "dog"], ["cat", "--json", "--print0"]])
def test_options_that_do_not_go_together(workplace: Workplace, arguments: list[str]) -> None:
    refused = workplace.run("search", *arguments)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def test_a_newcomer_is_told_how_to_name_a_folder(workplace: Workplace) -> None:
    refused = workplace.run("search", "cat", STORAGE_URL="data/demo")
    assert refused.returncode == 1
    assert "--images-dir" in refused.stderr


def test_where_results_can_not_be_written_the_reason_is_given(workplace: Workplace) -> None:
    with Path("/dev/full").open("w") as full:
        ended = workplace.run_process("search", "cat", stdout=full, PYTHONIOENCODING="ascii")
    assert ended.returncode == 1
    assert ended.stderr == "Error: The results can't be written: No space left on device.\n"


def test_a_reader_that_leaves_ends_it_quietly(workplace: Workplace) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = workplace.run_process("search", "cat", stdout=write_end)
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_why_there_is_no_index_is_said_once(workplace: Workplace) -> None:
    refused = workplace.run_process("search", "cat", STORAGE_URL="no-such-folder")
    assert refused.returncode == 1
    assert refused.stderr.count("does not exist") == 1


def test_the_version(workplace: Workplace) -> None:
    assert re.fullmatch(r"image2search \d+\.\d+\.\d+\n", workplace.run("--version").stdout)


def test_a_text_may_be_longer_than_a_path(workplace: Workplace) -> None:
    assert workplace.run("search", "a cat " * 300).returncode == 0


def test_search_in_a_folder_that_is_not_there_names_near_ones(workplace: Workplace) -> None:
    found = workplace.run("search", "anything", "--folder", "natrue")
    assert found.returncode == 1
    assert "nature" in found.stderr


def test_another_models_index_is_refused_with_both_named(workplace: Workplace) -> None:
    refused = workplace.run("search", "cat", MODEL="demo")
    assert refused.returncode == 1
    assert re.search(r"made by model .*MODEL names demo-clip .*--rebuild", refused.stderr)


@pytest.mark.parametrize(
    ("arguments", "env", "sentence"),
    [
        (["search", "x", "--folder", "[/x]"], {}, "'[/x]'"),
        (["search", "x"], {"STORAGE_URL": "ftp://host"}, "file://folder or s3://bucket"),
        (["serve"], {"PORT": "many"}, "PORT"),
        (["serve", "--host", "192.0.2.1"], {}, "Can't listen on 192.0.2.1:8000"),
    ],
)
def test_what_can_not_work_ends_in_one_sentence(
    workplace: Workplace, arguments: list[str], env: dict[str, str], sentence: str
) -> None:
    ended = workplace.run(*arguments, **env)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_is_nowhere_is_named(workplace: Workplace) -> None:
    """In a process of its own: the hub's library reads once whether it is offline."""
    ended = workplace.run_process("search", "x", MODEL="no-such-folder/model", HF_HUB_OFFLINE="1")
    assert ended.returncode == 1
    assert "MODEL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named(workplace: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = workplace.run("serve", "--port", str(port))
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "PORT=" in ended.stderr


def answers(address: str) -> bool:
    body = {"query": "cat", "k": 2}
    return (
        httpx2.get(f"{address}/health/ready").status_code == 200
        and len(httpx2.post(f"{address}/api/v1/search/text", json=body).json()["results"]) == 2
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_where_it_says_and_ends_quietly(workplace: Workplace, stop: signal.Signals) -> None:
    with workplace.serving("serve", "--port", "0") as (process, address):
        assert answers(address)
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_client_that_never_ends_its_upload_does_not_hold_up_the_end(workplace: Workplace) -> None:
    with workplace.serving("serve", "--port", "0") as (process, address):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /api/v1/search/image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            assert httpx2.get(f"{address}/health/live").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_index_passes_its_options_on(workplace: Workplace) -> None:
    helped = workplace.run_process("index", "--help")
    assert "image2search index [OPTIONS]" in helped.stdout
    assert "--watch" in helped.stdout
    assert "--rebuild" in helped.stdout
