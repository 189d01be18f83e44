"""The key of the certificate, right and broken: no line of it is shown."""

from __future__ import annotations

import ssl

import jwt
import trustme
from cryptography.hazmat.primitives import serialization

from tests.abuse.conftest import Figure
from tests.abuse.secrets.application import CONFIG
from tests.abuse.secrets.client import BYE, bearer, get
from tests.abuse.secrets.world import World, certify, prepared
from tests.abuse.target import handshake
from tests.conftest import Project

TLS = """
[server.tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
"""


async def test_the_key_of_the_certificate_is_not_shown(project: Project, record_property: Figure) -> None:
    world = prepared(project)
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    key = certify(world, authority, "key")
    other = certify(world, authority, "another key", name="other")
    jwks = world.plant("jwks", "http://127.0.0.1:1/keys?token=" + world.planted.make("token of the key set"))
    hmac = f"secret = {world.fields['hmac']}"
    config = CONFIG.format(**world.fields).replace('["HS256"]', '["ES256"]').replace(hmac, f"jwks = {jwks}")
    project.config(config + TLS)
    server = world.serve()
    token = jwt.encode({"sub": "ada"}, key, "ES256", {"kid": "one"})
    world.planted.watch("token for the key set", token.partition(".")[2])
    asked = {
        "livez": (get("/livez"), trusting),
        "statusz": (get("/statusz", bearer(world.planted.texts["admin"])), trusting),
        "no key set": (handshake("/chat", bearer(token)), trusting),
        "accepted": (handshake("/slow", bearer(token)), trusting),
        "no TLS": (get("/livez", bearer(world.planted.make("without TLS"))), None),
    }
    answers = [await world.talk(what, server, head, BYE, tls=tls) for what, (head, tls) in asked.items()]
    assert [answer.split()[1] for answer in answers[:4]] == [b"200", b"200", b"503", b"101"]
    path = project.folder / "tls/key.pem"
    for name, spoilt in broken_keys(world, key, other).items():
        path.write_bytes(spoilt)
        world.outputs.add(f"reload, {name}", server.reload("refused, the running"))
    assert world.run("check")[0] == 2
    path.write_bytes(key)
    server.reload()
    assert server.stop() == 0
    assert "the keys at http://127.0.0.1:1/keys can't be had" in server.text()
    world.read_folder("in the end")
    world.check(record_property)


def broken_keys(world: World, key: bytes, other: bytes) -> dict[str, bytes]:
    """Files in place of the right key."""
    password = world.planted.make("password of the key")
    loaded = serialization.load_pem_private_key(key, None)
    encrypted = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    return {
        "another's": other,
        "cut short": key[:-60],
        "no beginning": key[40:],
        "one character": key.replace(key[60:61], b"!", 1),
        "with a password": encrypted,
    }
