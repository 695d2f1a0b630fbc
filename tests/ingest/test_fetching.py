"""Fetching by URL from hostile servers on loopback. The resolver and the addresses are made up, the sockets real."""

import asyncio
import gzip
import itertools
import ssl
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from app.errors import (
    FetchFailed,
    ImageTooLarge,
    InvalidImage,
    InvalidInput,
    Overloaded,
    UnsupportedImageType,
    UrlRefused,
)
from app.ingest.fetching import FETCHES, MAX_WAITING, Fetched, Fetcher
from app.settings import FetchSettings
from tests.support.pictures import encoded, quarters
from tests.support.service import until
from tests.support.tls_proxy import NAME, self_signed
from tests.support.web import Answer, Internet, Site, answer, chunks, raw, redirect, site

PICTURE = encoded(quarters())
HOST, ADDRESS = "pictures.example", "93.184.216.34"
OTHER, OTHER_ADDRESS = "other.example", "2606:4700:4700::1111"
METADATA = "169.254.169.254"
INSIDE = "10.0.0.7"
MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with site({}) as found:
        yield found


@pytest.fixture(scope="module")
def running_inside() -> Iterator[Site]:
    """What only this machine and its neighbours may reach."""
    with site({"/": answer(PICTURE)}) as found:
        yield found


@pytest.fixture
def web(running: Site) -> Site:
    """A public site, without what earlier tests have left."""
    running.answers.clear()
    running.requests.clear()
    running.left_early.clear()
    running.sent_bytes = 0
    return running


@pytest.fixture
def inside(running_inside: Site) -> Iterator[Site]:
    """No test here gets a request through to it, unless it says so."""
    running_inside.requests.clear()
    yield running_inside
    assert running_inside.requests == []


@pytest.fixture
def internet(web: Site, inside: Site) -> Internet:
    names = {HOST: [ADDRESS], OTHER: [OTHER_ADDRESS], METADATA: [METADATA], "intern": [INSIDE]}
    return Internet(names, {ADDRESS: web, OTHER_ADDRESS: web, METADATA: inside, INSIDE: inside})


UNTRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made at once: it does not read the machine's certificates."""


def fetcher(internet: Internet, tls: ssl.SSLContext | None = UNTRUSTING, **settings: object) -> Fetcher:
    return Fetcher(FetchSettings(**settings), MAX_BYTES, resolve=internet.resolve, network=internet, tls=tls)


def fetch(internet: Internet, url: str = f"http://{HOST}/a.png", **settings: object) -> Fetched:
    return asyncio.run(fetcher(internet, **settings).fetch(url))


def serve(web: Site, *answers: Answer) -> None:
    """The public site answers `/a.png`, `/b.png`, ... so."""
    web.answers.update(zip((f"/{letter}.png" for letter in "abcdefgh"), answers, strict=False))


def test_a_picture_comes_with_its_address_and_a_name(web: Site, internet: Internet) -> None:
    serve(web, answer(PICTURE, Content_Type="text/plain"))
    found = fetch(internet, f" http://{HOST}/a.png?size=2#top")
    assert found == Fetched(PICTURE, f"http://{HOST}/a.png?size=2", "a.png")
    ((path, headers),) = web.requests
    assert (path, headers["Host"], headers["Accept-Encoding"]) == ("/a.png?size=2", HOST, "identity")
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


# Where it connects


@pytest.mark.parametrize("address", [METADATA, INSIDE, "127.0.0.1", "::1", "::ffff:10.0.0.7", "64:ff9b::a00:7"])
def test_a_name_that_leads_inside_is_refused_before_a_connection(internet: Internet, address: str) -> None:
    for addresses in ([address], [ADDRESS, address]):
        internet.names[HOST] = addresses
        with pytest.raises(UrlRefused, match=f"No public host is known as {HOST}"):
            fetch(internet)
    assert internet.connected == []


NUMERIC = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host", [*NUMERIC, "localhost", "[0:0:0:0:0:ffff:7f00:1]", "[fe80::1%25lo]"])
def test_no_way_to_write_loopback_gets_through_the_machines_own_resolver(internet: Internet, host: str) -> None:
    plain = Fetcher(FetchSettings(), MAX_BYTES, network=internet, tls=UNTRUSTING)
    with pytest.raises(UrlRefused):
        asyncio.run(plain.fetch(f"http://{host}:8000/a.png"))
    assert internet.connected == []


def test_unknown_and_private_names_are_told_apart_by_no_word(internet: Internet) -> None:
    with pytest.raises(UrlRefused) as private:
        fetch(internet, "http://intern/")
    with pytest.raises(UrlRefused) as unknown:
        fetch(internet, "http://unknwn/")
    assert str(private.value).replace("intern/", "").replace("intern,", "") == str(unknown.value).replace("unknwn,", "")


@pytest.mark.parametrize("target", [f"http://{METADATA}/", "http://intern/", "//intern/", f"http://[::ffff:{INSIDE}]/"])
def test_a_redirect_inside_is_refused(web: Site, internet: Internet, target: str) -> None:
    serve(web, redirect(target))
    with pytest.raises(UrlRefused, match="No public host"):
        fetch(internet)


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://other.example/a.png", "http://me@other.example/", "http://other.example:22/"],
)
def test_a_redirect_to_another_kind_of_address_is_refused(web: Site, internet: Internet, target: str) -> None:
    serve(web, redirect(target))
    with pytest.raises(UrlRefused):
        fetch(internet)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(web: Site, internet: Internet) -> None:
    """A name that changes its address after it was looked up (DNS rebinding)."""
    answers = iter([[ADDRESS], [METADATA], [METADATA]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    serve(web, answer(PICTURE), redirect("/a.png"), redirect(f"http://{OTHER}/a.png"))
    rebound = Fetcher(FetchSettings(), MAX_BYTES, resolve=rebinding, network=internet, tls=UNTRUSTING)
    assert asyncio.run(rebound.fetch(f"http://{HOST}/a.png")).data == PICTURE
    assert internet.connected == [ADDRESS]
    with pytest.raises(UrlRefused):
        asyncio.run(rebound.fetch(f"http://{HOST}/c.png"))
    assert internet.connected == [ADDRESS]


def test_the_next_address_is_tried_where_one_does_not_answer(web: Site, internet: Internet) -> None:
    serve(web, answer(PICTURE))
    internet.names[HOST] = ["1.1.1.1", ADDRESS]
    assert fetch(internet).data == PICTURE
    assert internet.connected == ["1.1.1.1", ADDRESS]


def test_a_public_address_of_this_machine_is_refused(internet: Internet) -> None:
    """A connection to ourselves passes our own firewall. It comes from the address that it goes to."""
    with site({"/a.png": answer(PICTURE)}, address="127.0.0.1") as ourselves:
        internet.sites[ADDRESS] = ourselves
        with pytest.raises(UrlRefused):
            fetch(internet)
        assert internet.connected == [ADDRESS]
        assert ourselves.requests == []


def test_hosts_that_are_allowed_are_fetched_from(internet: Internet) -> None:
    with site({"/": answer(PICTURE)}) as nas:
        for allowed, url in ((f"{INSIDE}/32", "http://intern/"), ("intern", "http://intern:99/")):
            internet.sites[INSIDE] = nas
            assert fetch(internet, url, allowed_hosts=allowed).data == PICTURE
        with pytest.raises(UrlRefused):
            fetch(internet, f"http://{METADATA}/", allowed_hosts="intern,10.0.0.0/8")


def test_proxies_of_the_environment_are_not_used(
    web: Site, inside: Site, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, inside.url)
    serve(web, answer(PICTURE))
    assert fetch(internet).data == PICTURE
    assert internet.connected == [ADDRESS]


# The address itself


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://pictures.example/a.png", "http and https addresses only"),
        ("file:///etc/passwd", "http and https addresses only"),
        ("data:image/png;base64,AAAA", "http and https addresses only"),
        ("//pictures.example/a.png", "http and https addresses only"),
        ("http:///a.png", "http and https addresses only"),
        ("pictures", "http and https addresses only"),
        ("", "http and https addresses only"),
        ("http://me:secret@pictures.example/", "holds a user name"),
        ("http://pictures.example:25/", "not fetched from port 25"),
        ("http://pictures.example:99999/", "not fetched from port 99999"),
        ("http://pictures.example:0/", "not fetched from port 0"),
        ("http://pictures.example:x/", "no web address"),
        ("http://[::1/", "no web address"),
        ("http://pictures.example/\r\nHost: intern", "no web address"),
        ("http://\ud800/", "no web address"),
        ("http://99xn--/", "no web address"),
        ("http://１２７.0.0.1/", "no web address"),
        (f"http://{'a' * 70}.example/", "No public host"),
    ],
)
def test_an_address_that_can_not_be_fetched_says_why(internet: Internet, url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        fetch(internet, url)
    assert "secret" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_international_names_are_looked_up_in_their_ascii_form(web: Site, internet: Internet) -> None:
    serve(web, answer(PICTURE))
    internet.names["xn--bcher-kva.example"] = [ADDRESS]
    assert fetch(internet, "http://Bücher.example/a.png").url == "http://xn--bcher-kva.example/a.png"


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def test_tls_asks_for_the_name_and_checks_its_certificate(internet: Internet, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    with site({"/a.png": answer(PICTURE)}, certificate=str(certificate)) as secure:
        internet.names[NAME] = [ADDRESS]
        internet.sites[ADDRESS] = secure
        assert asyncio.run(fetcher(internet, trusting).fetch(f"https://{NAME}/a.png")).data == PICTURE
        assert secure.names == [NAME]
        assert secure.requests[0][1]["Host"] == NAME
        for tls, host in ((trusting, HOST), (UNTRUSTING, NAME), (None, NAME)):
            with pytest.raises(FetchFailed, match=f"{host} has no certificate that is valid for it"):
                asyncio.run(fetcher(internet, tls).fetch(f"https://{host}/a.png"))
        assert len(secure.requests) == 1


# Redirects


def test_redirects_are_followed_and_the_last_one_names_the_file(web: Site, internet: Internet) -> None:
    serve(web, redirect(f"http://{OTHER}/b.png", 301), redirect("c.png?x", 307), answer(PICTURE))
    found = fetch(internet)
    assert (found.url, found.name, found.data) == (f"http://{HOST}/a.png", "c.png", PICTURE)
    assert [headers["Host"] for _, headers in web.requests] == [HOST, OTHER, OTHER]


def test_redirects_end(web: Site, internet: Internet) -> None:
    serve(web, redirect("/a.png"))
    with pytest.raises(FetchFailed, match="leads on more than 3 times"):
        fetch(internet, max_redirects=3)
    assert len(web.requests) == 4


@pytest.mark.parametrize("location", ["http://[/", "http://a:b/", "http://99xn--/", "\x7f", ""])
def test_a_redirect_to_nowhere(web: Site, internet: Internet, location: str) -> None:
    serve(web, redirect(location))
    with pytest.raises((FetchFailed, UrlRefused)):
        fetch(internet)


# What comes back


def test_a_slow_drip_ends_at_the_time_limit(web: Site, internet: Internet) -> None:
    serve(web, chunks(itertools.repeat(b"\x89PNG"), pause_s=0.02))
    began = time.monotonic()
    with pytest.raises(FetchFailed, match=r"did not send the picture within 0\.3 s"):
        fetch(internet, timeout_s=0.3)
    assert time.monotonic() - began < 5


def test_redirects_share_the_time_limit(web: Site, internet: Internet) -> None:
    def late(exchange: object) -> None:
        time.sleep(0.1)
        redirect("/a.png")(exchange)  # type: ignore[arg-type]

    serve(web, late)
    with pytest.raises(FetchFailed, match="within"):
        fetch(internet, timeout_s=0.25, max_redirects=50)


def test_a_name_that_is_looked_up_for_ever_ends_at_the_time_limit(internet: Internet) -> None:
    async def never(host: str, port: int) -> list[str]:
        await anyio.sleep_forever()
        raise AssertionError

    stuck = Fetcher(FetchSettings(timeout_s=0.05), MAX_BYTES, resolve=never, network=internet, tls=UNTRUSTING)
    with pytest.raises(FetchFailed, match="within"):
        asyncio.run(stuck.fetch(f"http://{HOST}/"))


def test_an_endless_body_ends_at_the_byte_limit(web: Site, internet: Internet) -> None:
    serve(web, chunks(itertools.chain([PICTURE], itertools.repeat(bytes(10_000)))))
    with pytest.raises(ImageTooLarge, match="more than 200,000 bytes"):
        fetch(internet)


def test_a_body_that_announces_too_much_is_not_read(web: Site, internet: Internet) -> None:
    for length in (MAX_BYTES + 1, "9" * 20):
        serve(web, answer(PICTURE, Content_Length=str(length)))
        with pytest.raises(ImageTooLarge):
            fetch(internet)


def test_an_encoded_picture_is_decoded(web: Site, internet: Internet) -> None:
    serve(web, answer(gzip.compress(PICTURE), Content_Encoding="gzip"), answer(zlib.compress(PICTURE)))
    assert fetch(internet).data == PICTURE


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_a_bomb_ends_at_the_byte_limit(web: Site, internet: Internet, kind: str) -> None:
    body = PICTURE + bytes(50_000_000)
    bomb = gzip.compress(body, 1) if kind == "gzip" else zlib.compress(body, 1)
    serve(web, answer(bomb[: MAX_BYTES - 1], Content_Encoding=kind))
    with pytest.raises(ImageTooLarge):
        fetch(internet)


def test_an_endless_encoded_body_of_nothing_ends_at_the_byte_limit(web: Site, internet: Internet) -> None:
    empty_blocks = b"\0\0\0\xff\xff" * 2000
    head = gzip.compress(b"")[:10]
    serve(web, chunks(itertools.chain([head], itertools.repeat(empty_blocks)), Content_Encoding="gzip"))
    with pytest.raises(ImageTooLarge):
        fetch(internet)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "x" * 100])
def test_other_encodings_are_refused(web: Site, internet: Internet, encoding: str) -> None:
    serve(web, answer(gzip.compress(gzip.compress(PICTURE)), Content_Encoding=encoding))
    with pytest.raises(FetchFailed, match="encoding that is not taken"):
        fetch(internet)


def test_the_content_counts_not_what_the_server_says_of_it(web: Site, internet: Internet) -> None:
    page, document = b"<!doctype html><p>not here</p>", b"%PDF-1.7\n"
    serve(web, answer(page, Content_Type="image/jpeg"), answer(document), answer(b""))
    for letter, error in (("a", InvalidImage), ("b", UnsupportedImageType), ("c", InvalidImage)):
        with pytest.raises(error):
            fetch(internet, f"http://{HOST}/{letter}.png")


def test_what_is_no_picture_is_not_read_to_its_end(web: Site, internet: Internet) -> None:
    serve(web, chunks(itertools.repeat(b"<p>an endless page</p>" * 100)))
    with pytest.raises(InvalidImage):
        fetch(internet)
    assert web.sent_bytes < 10 * MAX_BYTES


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_other_answers_are_no_pictures(web: Site, internet: Internet, status: int) -> None:
    serve(web, answer(b"" if status in (204, 304) else PICTURE, status=status))
    with pytest.raises(FetchFailed, match=f"{HOST} answers {status}"):
        fetch(internet)


@pytest.mark.parametrize(
    ("status", "header", "retry_after_s"), [(429, "7", 7), (503, "soon", 2), (404, "7", None), (500, "7", None)]
)
def test_a_server_may_ask_to_come_back_later(
    web: Site, internet: Internet, status: int, header: str, retry_after_s: int | None
) -> None:
    serve(web, answer(b"", status=status, Retry_After=header))
    with pytest.raises(FetchFailed) as refused:
        fetch(internet)
    assert refused.value.retry_after_s == retry_after_s


BROKEN = {
    "no HTTP": raw(b"220 mail.example ESMTP\r\n"),
    "nothing": raw(b""),
    "half a body": answer(PICTURE, Content_Length=str(len(PICTURE) + 1)),
    "a bad chunk": raw(b"HTTP/1.1 200 -\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a length without end": answer(PICTURE, Content_Length="9" * 5000),
    "a bad length": answer(PICTURE, Content_Length="-5"),
    "broken gzip": answer(b"\x1f\x8b" + bytes(100), Content_Encoding="gzip"),
    "an endless header": raw(b"HTTP/1.1 200 -\r\nX: " + b"y" * 300_000),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_server_is_said_to_be_one(web: Site, internet: Internet, broken: str) -> None:
    serve(web, BROKEN[broken])
    with pytest.raises(FetchFailed, match=f"{HOST} did not answer as a web server does"):
        fetch(internet)


def test_a_host_that_does_not_answer(internet: Internet) -> None:
    internet.names["gone.example"] = ["1.1.1.1"]
    with pytest.raises(FetchFailed, match=r"gone\.example did not answer"):
        fetch(internet, "http://gone.example/")


# Names


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/a%20b.png", {}, "a b.png"),
        ("/", {}, ""),
        ("/get", {"Content_Disposition": 'attachment; filename="sun set.jpg"'}, "sun set.jpg"),
        ("/get", {"Content_Disposition": "inline; filename*=UTF-8''s%C3%BCn.png"}, "sün.png"),
        ("/get", {"Content_Disposition": "attachment; filename*=nosuch''%ff%fe.png"}, None),
        ("/get", {"Content_Disposition": ";;;=\x01"}, "get"),
    ],
)
def test_the_name_is_what_the_server_or_the_address_calls_the_file(
    web: Site, internet: Internet, path: str, headers: dict[str, str], name: str | None
) -> None:
    web.answers[path] = answer(PICTURE, **headers)
    found = fetch(internet, f"http://{HOST}{path}").name
    assert name is None or found == name


# Many at once


def test_fetches_are_bounded_and_more_are_refused_at_once(internet: Internet) -> None:
    async def story() -> None:
        gate, begun = asyncio.Event(), []

        async def slow(host: str, port: int) -> list[str]:
            begun.append(host)
            await gate.wait()
            raise OSError

        busy = Fetcher(FetchSettings(), MAX_BYTES, resolve=slow, network=internet, tls=UNTRUSTING)
        fetches = [asyncio.create_task(busy.fetch(f"http://{HOST}/")) for _ in range(FETCHES + MAX_WAITING)]
        await until(lambda: len(begun) == FETCHES)
        with pytest.raises(Overloaded):
            await busy.fetch(f"http://{HOST}/")
        gate.set()
        found = await asyncio.gather(*fetches, return_exceptions=True)
        assert {type(each) for each in found} == {UrlRefused}

    asyncio.run(story())


def test_a_turn_is_waited_for_as_long_as_a_fetch_may_take(internet: Internet) -> None:
    async def story() -> None:
        gate, begun = asyncio.Event(), []

        async def stuck(host: str, port: int) -> list[str]:
            begun.append(host)
            with anyio.CancelScope(shield=True):
                await gate.wait()
            return []

        busy = Fetcher(FetchSettings(timeout_s=0.05), MAX_BYTES, resolve=stuck, network=internet, tls=UNTRUSTING)
        fetches = [asyncio.create_task(busy.fetch(f"http://{HOST}/")) for _ in range(FETCHES)]
        await until(lambda: len(begun) == FETCHES)
        with pytest.raises(Overloaded):
            await busy.fetch(f"http://{HOST}/")
        gate.set()
        assert {type(each) for each in await asyncio.gather(*fetches, return_exceptions=True)} == {UrlRefused}

    asyncio.run(story())


def test_cookies_of_one_download_reach_no_other(web: Site, internet: Internet) -> None:
    async def story() -> None:
        both = fetcher(internet)
        for letter in "ab":
            await both.fetch(f"http://{HOST}/{letter}.png")

    serve(web, answer(PICTURE, Set_Cookie="who=me; Path=/"), answer(PICTURE))
    asyncio.run(story())
    assert all("Cookie" not in headers for _, headers in web.requests)
