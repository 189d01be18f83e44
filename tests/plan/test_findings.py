"""What `eventbus check` finds between a configuration and its plugins, each with its place."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Project
from tests.host.test_contract import GOOD

LIMITED = (
    GOOD
    + """
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: str
    limit: int = 3

@hookimpl
def eventbus_options():
    return Options
"""
)
SECRET = "hunter2-swordfish"


def placed(asks: str) -> str:
    """A plugin that asks for a place."""
    return f"{GOOD}\n@hookimpl\ndef eventbus_placement():\n    return Placement({asks})\n"


def findings(project: Project, config: str, **environ: str) -> str:
    """What `check` says about a configuration that has findings."""
    project.config(config)
    done = project.run("check", **environ)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.replace(f"{project.folder}/eventbus.toml", "FILE")


def chain(message: str) -> str:
    """A socket with that message chain, on line 3."""
    return f"[sockets.public]\nconnect = []\nmessage = {message}\ndisconnect = []\n"


def test_an_unknown_plugin_comes_with_the_nearest_name(project: Project) -> None:
    project.plugin("ratelimiter", GOOD)
    said = findings(project, chain('["ratelimitr"]'))
    assert "FILE:3:12: sockets.public.message[0]: no plugin 'ratelimitr' is installed" in said
    assert "(did you mean 'ratelimiter'?)" in said


def test_a_link_whose_plugin_has_nothing_for_the_event_is_a_finding(project: Project) -> None:
    project.plugin("good", GOOD)
    said = findings(project, '[sockets.public]\nconnect = ["good"]\nmessage = []\ndisconnect = []\n')
    assert "FILE:2:12: sockets.public.connect[0]: plugin 'good' has nothing for connect events" in said
    assert "(it serves message)" in said


@pytest.mark.parametrize("missing", ["connect", "message", "disconnect"])
def test_a_socket_without_a_chain_is_a_finding_and_an_empty_one_is_none(
    project: Project, missing: str
) -> None:
    lines = [f"{event} = []" for event in ("connect", "message", "disconnect") if event != missing]
    said = findings(project, "\n".join(["[sockets.public]", *lines]))
    assert f'sockets.public.{missing}: socket "public" has no chain for {missing} (`{missing} = []`' in said
    assert said.endswith("1 finding\n")
    project.config("[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n")
    assert project.run("check").returncode == 0


def test_what_a_plugin_needs_has_to_be_provided_before_it(project: Project) -> None:
    project.plugin("user", placed("needs=frozenset({'user'})"))
    project.plugin("auth", placed("provides=frozenset({'user'})"))
    said = findings(project, chain('["user", "auth"]'))
    assert "FILE:3:12: sockets.public.message[0]: 'user' needs 'user', which nothing before it" in said
    project.config(chain('["auth", "user"]'))
    assert project.run("check").returncode == 0


CONNECTS = GOOD.replace("eventbus_message", "eventbus_connect")
LEAVES = GOOD.replace("eventbus_message", "eventbus_disconnect")


def chains(connect: str, message: str = "[]", disconnect: str = "[]", more: str = "") -> str:
    """A socket with those chains, on lines 2, 3 and 4."""
    lists = f"connect = {connect}\nmessage = {message}\ndisconnect = {disconnect}"
    return f"[sockets.public]\n{lists}\n{more}"


def known(project: Project) -> None:
    """Plugins that say who a connection is, in connect or in message, and some that want to know."""
    asks, says = "needs=frozenset({'identity'})", "provides=frozenset({'identity'})"
    placement = "\n@hookimpl\ndef eventbus_placement():\n    return Placement({})\n"
    project.plugin("login", CONNECTS + placement.format(says))
    project.plugin("early", CONNECTS + placement.format(asks))
    project.plugin("late", GOOD + placement.format(says))
    project.plugin("mine", GOOD + placement.format(asks))
    project.plugin("bye", LEAVES + placement.format(asks))


def test_an_identity_of_the_connect_chain_is_there_in_the_later_chains(project: Project) -> None:
    known(project)
    routes = '[sockets.public.routes]\nkey = "type"\njoin = ["mine"]\n'
    project.config(chains('["login", "early"]', '["mine"]', '["bye"]', routes))
    done = project.run("check")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_one_each_chain_that_needs_it_has_a_finding(project: Project) -> None:
    known(project)
    routes = '[sockets.public.routes]\nkey = "type"\njoin = ["mine"]\n'
    said = findings(project, chains("[]", '["mine"]', '["bye"]', routes))
    why = "needs 'identity', which nothing in the connect chain provides"
    assert f"FILE:3:12: sockets.public.message[0]: 'mine' {why}" in said
    assert f"FILE:4:15: sockets.public.disconnect[0]: 'bye' {why}" in said
    assert f"FILE:7:9: sockets.public.routes.join[0]: 'mine' {why}" in said


def test_in_the_connect_chain_itself_the_order_counts(project: Project) -> None:
    known(project)
    said = findings(project, chains('["early", "login"]', '["mine"]'))
    assert "FILE:2:12: sockets.public.connect[0]: 'early' needs 'identity', which nothing before it" in said
    assert said.endswith("1 finding\n")


def test_an_identity_of_the_message_chain_or_of_another_socket_does_not_count(project: Project) -> None:
    known(project)
    other = "[sockets.other]\nconnect = ['login']\nmessage = []\ndisconnect = []\n"
    said = findings(project, chains("[]", '["late", "mine"]', more=other))
    assert "FILE:3:20: sockets.public.message[1]: 'mine' needs 'identity', which nothing in the" in said


def test_what_else_the_connect_chain_provides_is_for_itself_alone(project: Project) -> None:
    project.plugin(
        "login", placed("provides=frozenset({'cart'})").replace("eventbus_message", "eventbus_connect")
    )
    project.plugin("mine", placed("needs=frozenset({'cart'})"))
    said = findings(project, chains('["login"]', '["mine"]'))
    assert "FILE:3:12: sockets.public.message[0]: 'mine' needs 'cart', which nothing before it in" in said


def test_after_is_checked_against_the_list(project: Project) -> None:
    project.plugin("late", placed("after=frozenset({'early', 'absent'})"))
    project.plugin("early", GOOD)
    said = findings(project, chain('["late", "early"]'))
    assert (
        "FILE:3:12: sockets.public.message[0]: 'late' must come after 'early' (move it down the list)" in said
    )
    assert "absent" not in said


def test_a_route_continues_the_message_chain_for_what_a_link_needs(project: Project) -> None:
    project.plugin("user", placed("needs=frozenset({'user'})"))
    project.plugin("auth", placed("provides=frozenset({'user'})"))
    project.config(chain('["auth"]') + '[sockets.public.routes]\nkey = "type"\njoin = ["user"]\n')
    assert project.run("check").returncode == 0
    said = findings(project, chain("[]") + '[sockets.public.routes]\nkey = "type"\njoin = ["user"]\n')
    assert "FILE:7:9: sockets.public.routes.join[0]: 'user' needs 'user'" in said


def test_wrong_options_are_found_where_they_stand(project: Project) -> None:
    project.plugin("limited", LIMITED)
    config = chain('[{ use = "limited", limt = 3 }]') + '[plugins.limited]\nsecret = "x"\nlimit = "many"\n'
    said = findings(project, config)
    assert "FILE:7:1: plugins.limited.limit: expected an integer, got a string" in said
    assert 'FILE:3:31: sockets.public.message[0].limt: unknown key (did you mean "limit"?)' in said


def test_a_plugin_in_many_chains_has_each_finding_once(project: Project) -> None:
    project.plugin("limited", LIMITED)
    said = findings(
        project, chain('["limited", "limited"]') + '[plugins.limited]\nlimit = "many"\nsecret = "x"\n'
    )
    assert said.count("plugins.limited.limit") == 1


def test_options_of_a_plugin_that_takes_none_are_a_finding(project: Project) -> None:
    project.plugin("good", GOOD)
    said = findings(project, chain('[{ use = "good", x = 1 }]'))
    assert "FILE:3:28: sockets.public.message[0].x: takes no options" in said


def test_a_missing_environment_variable_is_a_finding(project: Project) -> None:
    project.plugin("limited", LIMITED)
    said = findings(project, chain('["limited"]') + '[plugins.limited]\nsecret = { env = "PLANTED" }\n')
    assert 'FILE:6:1: plugins.limited.secret: the environment variable "PLANTED" is not set' in said


def test_no_command_and_no_log_shows_a_secret(project: Project) -> None:
    project.plugin("limited", LIMITED)
    good = chain('["limited"]') + '[plugins.limited]\nsecret = { env = "PLANTED" }\n'
    project.config(good)
    for command in (
        ["check"],
        ["check", "--json"],
        ["chains"],
        ["chains", "--json"],
        ["plugins"],
        ["schema"],
    ):
        done = project.run(*command, PLANTED=SECRET)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    server = project.serve("--log-level", "debug", PLANTED=SECRET)
    server.reload()
    assert server.stop() == 0
    assert SECRET not in server.text()
    assert SECRET not in findings(project, good + "limit = 'x'\n", PLANTED=SECRET)


@pytest.mark.parametrize(
    ("source", "use", "said"),
    [
        ("", "shop:handle", "AttributeError: module 'shop' has no attribute 'handle'"),
        ("", "shap:handle", "ModuleNotFoundError: No module named 'shap'"),
        ("raise OSError('no disk')", "shop:handle", "its import failed: OSError: no disk"),
        ("def handle(ctx, call_next): ...", "shop:handle", "it is a sync function"),
        ("async def handle(ctx): ...", "shop:handle", "a function that does not take (ctx, call_next)"),
        ("handle = 3", "shop:handle", "it is int, which is no middleware"),
    ],
)
def test_a_middleware_of_the_application_is_checked(
    project: Project, source: str, use: str, said: str
) -> None:
    project.write("shop.py", source)
    found = findings(project, chain(f'["{use}"]'))
    assert f"FILE:3:12: sockets.public.message[0]: middleware '{use}' can't be used: " in found
    assert said in found


def test_all_findings_come_in_one_run_in_the_order_of_the_file(project: Project) -> None:
    project.plugin("broken", "raise ValueError('boom')")
    project.plugin("limited", LIMITED)
    project.config("""\
        [server]
        prot = 1
        [sockets.public]
        connect = ["missing"]
        message = ["broken", "limited", "shop:gone"]
        [plugins.limited]
        secret = { env = "PLANTED" }
        [storage]
        """)
    done = project.run("check", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 2
    keys = [found["key"] for found in report["findings"]]
    assert keys == [
        "server.prot",
        "sockets.public.disconnect",
        "sockets.public.connect[0]",
        "sockets.public.message[0]",
        "sockets.public.message[2]",
        "plugins.limited.secret",
        "storage",
    ]
    assert report["file"] == str(project.folder / "eventbus.toml")
    assert [found["line"] for found in report["findings"]] == [2, 3, 4, 5, 5, 7, 8]


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        ("after='early'", "a Placement with Expected `array`, got `str` - at `$.after`"),
        ("needs={3}", "a Placement with Expected `str`, got `int`"),
        ("also={'open'}", "eventbus_placement asks for 'open', which is no event"),
        ("last='yes'", "a Placement with Expected `bool`, got `str` - at `$.last`"),
    ],
)
def test_a_placement_of_wrong_types_is_a_finding(project: Project, asks: str, said: str) -> None:
    project.plugin("bad", placed(asks))
    assert said in findings(project, chain('["bad"]'))


def test_an_application_s_own_middleware_may_provide_what_a_plugin_needs(project: Project) -> None:
    project.plugin("user", placed("needs=frozenset({'user'})"))
    project.plugin("mine", placed("needs=frozenset({'identity'})"))
    project.write("shop.py", "async def login(ctx, call_next): return await call_next(ctx)\n")
    project.config(chains('["shop:login"]', '["shop:login", "user", "mine"]'))
    done = project.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    said = findings(project, chains("[]", '["user", "shop:login", "mine"]'))
    assert "'user' needs 'user', which nothing before it" in said
    assert "'mine' needs 'identity', which nothing in the connect chain" in said


@pytest.mark.parametrize(
    ("observer", "said"),
    [
        ("3", "returned int, which is no sync function"),
        ("Async()", "returned Async, which is no sync function"),
        ("lambda: None", "a function that does not take (outcome)"),
    ],
)
def test_an_observer_is_a_sync_function_of_one_argument(project: Project, observer: str, said: str) -> None:
    head = "class Async:\n    async def __call__(self, outcome): ...\n"
    project.plugin("bad", f"{head}@hookimpl\ndef eventbus_observe(options):\n    return {observer}\n")
    assert said in findings(project, chain("[]") + "[plugins.bad]\n")


BROKER = """
class Mine:
    async def start(self{start}): ...
    async def stop(self): ...
    async def publish(self, publication): ...

@hookimpl
def eventbus_broker(options):
    return Mine()
"""


def test_a_back_end_whose_methods_take_something_else(project: Project) -> None:
    project.plugin("mine", BROKER.format(start=""))
    project.plugin("fine", BROKER.format(start=", receiver, *more"))
    said = findings(project, chain("[]") + '[broker]\ntype = "mine"\n')
    assert "FILE:6:1: broker.type: plugin 'mine': eventbus_broker returned Mine, which is no broker: " in said
    assert "its start does not take (receiver)" in said
    project.config(chain("[]") + '[broker]\ntype = "fine"\n')
    assert project.run("check").returncode == 0
