"""A user is barred, let in again, or disconnected: by topic, and by HTTP."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import eventbus_jwt
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from eventbus_jwt.options import Options
from yarl import URL

from eventbus import NotFound
from eventbus.testing import Harness

if TYPE_CHECKING:
    from tests.conftest import Issuer

Client = TestClient[web.Request, web.Application]
Served = Callable[[web.Application], Awaitable[Client]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
Turn = Callable[[float], None]


def app(issuer: Issuer, harness: Harness, **options: Any) -> web.Application:
    """The routes of the plugin, as the bus would serve them."""
    made = web.Application()
    values = issuer.options(admin_token=issuer.admin, **options)
    made.add_routes(eventbus_jwt.eventbus_http(msgspec.convert(values, Options), harness.bus))
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_who_is_barred_is_disconnected_and_kept_out_for_a_while(
    issuer: Issuer, aiohttp_client: Served, turn: Turn
) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        ada = [await issuer.connect(harness, issuer.token()) for _ in range(2)]
        bob = await issuer.connect(harness, issuer.token(sub="bob"))
        before = time.time()
        response = await http.post("/jwt/users/ada/bar", json={"seconds": 60}, headers=bearer(issuer.admin))
        said = await response.json()
        assert (response.status, said["user"], said["disconnected"]) == (200, "ada", 2)
        assert before + 60 <= said["until"] <= time.time() + 60
        assert [client.closed for client in ada] == [(4403, "barred")] * 2
        assert bob.closed is None
        assert await issuer.refusal(harness, issuer.token()) == (403, "this user is barred")
        await issuer.connect(harness, issuer.token(sub="bob"))
        turn(61)
        await issuer.connect(harness, issuer.token())


async def test_a_bar_is_lifted(issuer: Issuer, aiohttp_client: Served) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        path, headers = "/jwt/users/ada/bar", bearer(issuer.admin)
        await http.post(path, json={"seconds": 60}, headers=headers)
        for _ in range(2):
            response = await http.delete(path, headers=headers)
            assert (response.status, await response.json()) == (200, {"user": "ada"})
        await issuer.connect(harness, issuer.token())


async def test_who_is_disconnected_may_come_again(issuer: Issuer, aiohttp_client: Served) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        client = await issuer.connect(harness, issuer.token())
        for count in (1, 0):
            response = await http.post("/jwt/users/ada/disconnect", headers=bearer(issuer.admin))
            assert await response.json() == {"user": "ada", "disconnected": count}
        assert client.closed == (4401, "disconnected")
        await issuer.connect(harness, issuer.token())


@pytest.mark.parametrize("user", ["auth0|5f/../x", "ada@example.org", "ünï", "a b?c#d%e", ".."])
async def test_a_user_may_have_any_name(issuer: Issuer, aiohttp_client: Served, user: str) -> None:
    from yarl import URL

    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        client = await issuer.connect(harness, issuer.token(sub=user))
        quoted = "".join(f"%{byte:02X}" for byte in user.encode())
        url = URL(f"/jwt/users/{quoted}/bar", encoded=True)
        response = await http.post(url, json={"seconds": 1.5}, headers=bearer(issuer.admin))
        assert (response.status, (await response.json())["user"]) == (200, user)
        assert client.closed == (4403, "barred")


@pytest.mark.parametrize(
    "body",
    ["", "x", "[]", "{}", '{"seconds": 0}', '{"seconds": -1}', '{"seconds": true}', '{"seconds": "1"}',
     '{"seconds": 1e999}', '{"seconds": null}', '{"seconds": 1, "more": 2}'],
)  # fmt: skip
async def test_a_body_that_makes_no_sense_is_refused(
    issuer: Issuer, aiohttp_client: Served, body: str
) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        response = await http.post("/jwt/users/ada/bar", data=body, headers=bearer(issuer.admin))
        assert response.status == 400
        response = await http.post(
            f"/jwt/users/{'a' * 300}/bar", json={"seconds": 1}, headers=bearer(issuer.admin)
        )
        assert response.status == 400
        await issuer.connect(harness, issuer.token())


async def test_without_the_token_of_an_admin_nothing_is_done(issuer: Issuer, aiohttp_client: Served) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        client = await issuer.connect(harness, issuer.token())
        attempts: list[Mapping[str, str]] = [
            {},
            bearer(""),
            bearer(issuer.admin[:-1]),
            bearer(issuer.admin + "x"),
            bearer(issuer.token()),
            bearer("é"),
            {"Authorization": issuer.admin},
            {"Authorization": f"Basic {issuer.admin}"},
        ]
        for headers in attempts:
            for call in (
                http.post("/jwt/users/ada/bar", json={"seconds": 60}, headers=headers),
                http.delete("/jwt/users/ada/bar", headers=headers),
                http.post("/jwt/users/ada/disconnect", headers=headers),
            ):
                response = await call
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert issuer.admin not in await response.text()
        assert client.closed is None


def test_without_an_admin_token_there_is_no_route(issuer: Issuer) -> None:
    options = msgspec.convert(issuer.options(), Options)
    assert list(eventbus_jwt.eventbus_http(options, Harness(eventbus_jwt).bus)) == []


async def test_the_path_is_an_option(issuer: Issuer, aiohttp_client: Served) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness, admin_path="/admin/tokens"))
        response = await http.post("/admin/tokens/users/a/disconnect", headers=bearer(issuer.admin))
        assert response.status == 200
        assert (await http.post("/jwt/users/a/disconnect", headers=bearer(issuer.admin))).status == 404


async def test_the_topic_does_the_same(issuer: Issuer, wait_until: Until) -> None:
    async with issuer.harness(barred="out") as harness:
        topic = harness.bus.topic("jwt.users")
        client = await issuer.connect(harness, issuer.token())
        await topic.publish({"action": "disconnect", "user": "ada"})
        await wait_until(lambda: client.closed == (4401, "disconnected"))
        client = await issuer.connect(harness, issuer.token())
        await topic.publish({"action": "bar", "user": "ada", "seconds": 60})
        await wait_until(lambda: client.closed == (4403, "barred"))
        assert "until" in await harness.bus.collection("out").doc("ada").get()
        assert (await issuer.refusal(harness, issuer.token()))[0] == 403
        await topic.publish({"action": "lift", "user": "ada"})
        other = await issuer.connect(harness, issuer.token(sub="bob"))
        await topic.publish({"action": "disconnect", "user": "bob"})
        await wait_until(lambda: other.closed)
        await issuer.connect(harness, issuer.token())


@pytest.mark.parametrize(
    "data",
    [
        None,
        "bar",
        {},
        {"action": "bar"},
        {"action": "bar", "user": "ada"},
        {"action": "bar", "user": "", "seconds": 1},
        {"action": "dance", "user": "ada"},
    ],
)
async def test_a_message_that_makes_no_sense_is_logged(
    issuer: Issuer, wait_until: Until, caplog: pytest.LogCaptureFixture, data: Any
) -> None:
    async with issuer.harness() as harness:
        await harness.bus.topic("jwt.users").publish(data)
        await wait_until(lambda: "makes no sense" in caplog.text)
        await issuer.connect(harness, issuer.token())


async def test_a_bar_that_was_written_wrongly_bars(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        await harness.bus.collection("jwt-barred").doc("ada").set({"until": "tomorrow"})
        assert (await issuer.refusal(harness, issuer.token()))[0] == 403
        assert len(issuer.sessions(harness)) == 0


async def test_old_bars_are_deleted_at_start(issuer: Issuer, tmp_path: Any) -> None:
    pair = [(eventbus_jwt, issuer.options())]
    async with Harness(pair, folder=tmp_path) as harness:
        barred = harness.bus.collection("jwt-barred")
        await barred.doc("old").set({"until": time.time() - 90_000})
        await barred.doc("new").set({"until": time.time() + 60})
    async with Harness(pair, folder=tmp_path) as harness:
        barred = harness.bus.collection("jwt-barred")
        assert (await barred.doc("new").get())["until"] > time.time()
        with pytest.raises(NotFound):
            await barred.doc("old").get()


@pytest.mark.parametrize("user", ["a/b", "auth0|5f7", "a b", "ä", "%41", "..", "a?b#c"])
async def test_any_user_can_be_named_in_a_path(issuer: Issuer, aiohttp_client: Served, user: str) -> None:
    async with issuer.harness() as harness:
        http = await aiohttp_client(app(issuer, harness))
        url = URL(f"/jwt/users/{quote(user, safe='').replace('.', '%2E')}/bar", encoded=True)
        response = await http.post(url, json={"seconds": 60}, headers=bearer(issuer.admin))
        assert (response.status, (await response.json())["user"]) == (200, user)
        assert (await issuer.refusal(harness, issuer.token(sub=user)))[0] == 403
