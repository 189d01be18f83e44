"""Mistakes in the configuration and in a plugin's hooks: what is said of them shows no secret."""

from __future__ import annotations

import random

import pytest

from tests.abuse.conftest import Figure
from tests.abuse.secrets.application import CONFIG
from tests.abuse.secrets.world import World, run_all
from tests.conftest import Project

SLIPS = {
    "observe": "eventbus_observe(options):\n    return options",
    "observe-by-part": "eventbus_observe(options):\n    return partial(late, options)",
    "middleware": "eventbus_message(options):\n    return options",
    "composition": "eventbus_message(options):\n    return compose(options)",
}
LATER_SLIPS = {
    "lifespan": "eventbus_lifespan(options, bus):\n    return options",
    "routes": "eventbus_http(options, bus):\n    return [options]",
    "commands": "eventbus_commands(options):\n    return [options]",
}
"""Hooks that return their options in place of what was made with them; the later ones are asked only when
nothing else is wrong."""

SLIPPING = """
from functools import partial
from eventbus import compose

async def late(options, outcome):
    pass

class Options(msgspec.Struct, frozen=True):
    secret: str

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def {}
"""

MISTAKES = """
[sockets.mistakes]
connect = [
    {{ use = "keeper", secret = {short} }},
    {{ use = "keeper", secret = {keeper}, rate = "x" }},
    {{ use = "keeper", secret = {keeper}, rate = 1.5, rat = 2 }},
    {{ use = "keeper", secret = {keeper}, rate = {keeper} }},
    {{ use = "keeper", secret = {{ env = "ABSENT" }} }},
    {{ use = "keeper", secret = {{ file = "absent" }} }},
    {{ use = "keeper", secret = {{ file = "secrets" }} }},
    {{ use = "keeper", secret = {{ file = "secrets/latin" }} }},
    {{ use = "keeper", secret = {{ file = "secrets/huge" }} }},
    {{ use = "keeper", secret = {{ env = "KEEPER", value = "{inline}" }} }},
    {{ use = "keeper", secret = ["{inline}"] }},
    {{ use = "keeper", secret = {{ text = "{inline}" }} }},
    {{ use = "keeper", secret = {number} }},
    {{ use = "keeper", secert = "{inline}" }},
    {{ use = "origin", secret = {keeper} }},
    {{ use = "jwt", secret = {weak} }},
    {{ use = "jwt", secret = "{weak_text}" }},
    {{ use = "jwt", secret = {pem} }},
    {{ use = "jwt", algorithms = ["RS256"] }},
    {{ use = "jwt", public_key = {keeper} }},
    {{ use = "jwt", public_key = {keeper}, secret = {{ env = "ABSENT" }} }},
    {{ use = "jwt", admin_token = {weak} }},
    {{ use = "jwt", leeway = "x" }},
]
message = []
disconnect = []
"""

FINDINGS = (
    "the reason is withheld",
    "expected an integer, got a string",
    "only a string can come from there",
    'the environment variable "ABSENT" is not set',
    'the file "absent" can\'t be read',
    'the file "secrets" can\'t be read',
    "is not UTF-8",
    "is larger than",
    "a secret is exactly",
    'did you mean "secret"?',
    "secret has at least 32 bytes",
    "is no key in PEM",
    "with a secret, algorithms are",
    "exactly one of secret, public_key and jwks",
)
"""What has to be said of the mistakes: it shows that each was found, and not another one before it."""


async def test_mistakes_in_the_configuration_show_no_secret(world: World, record_property: Figure) -> None:
    texts = spoil(world)
    server = world.serve()
    # What TOML itself can't read has no reference in it, so it is the same for both ways.
    for name in texts if world.way == "env" else list(texts)[:5]:
        world.project.config(texts[name])
        world.outputs.add(f"reload, {name}", server.reload("refused, the running"))
    world.project.config(texts["mistakes"])
    if world.way == "env":
        commands = ["check", "check --json", "serve --port 0", "chains --json", "plugins --json"]
        assert await run_all(world, *commands) == [2, 2, 2, 2, 0]
    said = server.text().replace('\\"', '"')
    assert [each for each in FINDINGS if each not in said] == []
    world.config(admin=world.fields["operator"])
    server.reload()
    assert server.stop() == 0
    world.read_folder("in the end")
    world.check(record_property)


def spoil(world: World) -> dict[str, str]:
    """Configurations with mistakes in and beside secrets."""
    make, config = world.planted.make, CONFIG.format(**world.fields)
    inline, weak = make("inline"), make("weak", length=12)
    world.hold("secrets/latin", b"\xe9" + make("not UTF-8").encode())
    world.hold("secrets/huge", make("huge").encode() * 30_000)
    number = str(random.SystemRandom().randrange(10**17, 10**18))
    mistakes = MISTAKES.format(
        keeper=world.fields["keeper"],
        short=world.reference("short", length=12),
        inline=inline,
        number=world.planted.watch("number", number),
        weak=world.plant("weak", weak),
        weak_text=weak,
        pem=world.plant("pem", make("pem", "-----BEGIN PUBLIC KEY-----\n{}{}\n-----END PUBLIC KEY-----")),
    )
    admin = f"admin_token = {world.fields['admin']}"
    assert admin in config

    def instead(line: str) -> str:
        return config.replace(admin, line)

    short, blank = world.reference("short admin", length=12), world.reference("blank", "{} {}")
    return {
        "mistakes": config + mistakes,
        "short": instead(f"admin_token = {short}"),
        "blank": instead(f"admin_token = {blank}"),
        "absent variable": instead('admin_token = { env = "ABSENT" }'),
        "absent file": instead('admin_token = { file = "absent" }'),
        "short text": instead(f'admin_token = "{weak}"'),
        "a list": instead(f'admin_token = ["{inline}"]'),
        "a number": instead(f"admin_token = {number}"),
        "a table": instead(f'admin_token = {{ text = "{inline}" }}'),
        "another name": instead(f'admin_tokn = "{inline}"'),
        "no quotes": instead(f"admin_token = x{inline}"),
        "one quote": instead(f'admin_token = "{inline}'),
        "twice": instead(f'{admin}\nadmin_token = "{inline}"'),
        "an escape": instead(f'admin_token = "{inline}\\q"'),
        "a newline": instead(f'admin_token = "{inline}\n"'),
        "no table": config.replace("[plugins.jwt]", f'[plugins]\njwt = "{inline}"\n[other]'),
        "no such table": config + f'[plugin.jwt]\nsecret = "{inline}"\n',
        "a store": config + f"[store]\nurl = {world.fields['keeper']}\npassword = '{inline}'\n",
        "a broker": config + f"[broker]\ntype = 'keeper'\nsecret = {world.fields['keeper']}\n",
    }


@pytest.mark.parametrize("slips", [SLIPS, LATER_SLIPS], ids=["in the plan", "in the server"])
def test_a_hook_that_returns_its_options_shows_no_secret(
    project: Project, slips: dict[str, str], record_property: Figure
) -> None:
    world = World(project)
    config = "[sockets.a]\nconnect = []\nmessage = {}\ndisconnect = []\n"
    for name, hook in slips.items():
        project.plugin(name, SLIPPING.format(hook))
        config += f"[plugins.{name}]\nsecret = {world.reference(name)}\n"
    project.config(config.replace("{}", str([name for name, hook in slips.items() if "message" in hook]), 1))
    status, said = world.run("check")
    assert (status, [name for name in slips if f"plugin '{name}'" not in said]) == (2, [])
    world.check(record_property)
