"""The page at `/`, in a real browser, against a real server."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.docs.blocks import block

CONTRASTS = """() => {
    const parse = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([red, green, blue]) => [red, green, blue]
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = element => {
        const colour = parse(getComputedStyle(element).backgroundColor);
        return colour[3] === 0 ? behind(element.parentElement) : colour;
    };
    return [...document.querySelectorAll("body *")]
        .filter(element => element.innerText?.trim() && !element.disabled)
        .map(element => {
            const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))];
            return [element.innerText, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
        });
}"""
"""The contrast of each text on the page with what is behind it."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def url(server: Any) -> str:
    """Where the page is."""
    return f"{server.url}/"


async def connected(browser: BrowserContext, url: str) -> Page:
    """A tab whose page is connected."""
    page = await browser.new_page()
    await page.goto(url)
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    return page


async def test_what_one_tab_publishes_arrives_in_the_other(browser: BrowserContext, url: str) -> None:
    reader, writer = await connected(browser, url), await connected(browser, url)
    await reader.fill("#channel", "weather")
    await reader.click("#subscribe")
    await expect(reader.locator("#channels")).to_have_text("weather")

    await writer.fill("#publish-channel", "weather")
    await writer.fill("#data", '{"sun": true}')
    await writer.click("#publish")

    arrived = reader.locator('#log [data-kind="in"] .text', has_text='"type":"message"')
    await expect(arrived).to_have_count(1)
    assert await arrived.evaluate("line => JSON.parse(line.textContent)") == {
        "type": "message",
        "channel": "weather",
        "data": {"sun": True},
    }
    await expect(writer.locator('#log [data-kind="in"] .text')).to_have_text(['{"type":"ack","id":1}'])


async def test_after_unsubscribing_only_the_acknowledgements_arrive(
    browser: BrowserContext, url: str
) -> None:
    page = await connected(browser, url)
    await page.click("#subscribe")
    await expect(page.locator("#channels")).to_have_text("news")
    await page.click("#unsubscribe")
    await expect(page.locator("#channels")).to_have_text("nothing")
    await page.click("#publish")
    await expect(page.locator('#log [data-kind="in"] .text')).to_have_text(
        ['{"type":"ack","id":1}', '{"type":"ack","id":2}', '{"type":"ack","id":3}']
    )


@pytest.mark.parametrize(
    ("typed", "data"), [("hello", "hello"), ('"hello"', "hello"), ("42", 42), ("", ""), ("[1,", "[1,")]
)
async def test_data_is_json_or_else_a_string(
    browser: BrowserContext, url: str, typed: str, data: object
) -> None:
    page = await connected(browser, url)
    await page.fill("#data", typed)
    await page.click("#publish")
    sent = page.locator('#log [data-kind="out"] .text')
    await expect(sent).to_have_count(1)
    assert (await sent.evaluate("line => JSON.parse(line.textContent)"))["data"] == data


async def test_an_error_answer_is_shown_as_one(browser: BrowserContext, url: str) -> None:
    page = await connected(browser, url)
    await page.fill("#raw", '{"id":7,"type":"dance"}')
    await page.click("#send-raw")
    answer = page.locator('#log [data-kind="error"] .text')
    await expect(answer).to_contain_text('"code":"unknown_type"')
    await expect(answer).to_contain_text('"id":7')
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")


async def test_the_close_code_is_shown_and_one_can_connect_again(browser: BrowserContext, url: str) -> None:
    page = await connected(browser, url)
    await page.click("#disconnect")
    await expect(page.locator("#state")).to_have_text("closed with code 1000: normal")
    await expect(page.locator("#log")).to_contain_text("closed with code 1000")
    await expect(page.locator("#subscribe")).to_be_disabled()
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")


async def test_what_the_server_says_when_it_stops_is_shown(
    browser: BrowserContext, url: str, server: Any
) -> None:
    page = await connected(browser, url)
    assert server.stop() == 0
    await expect(page.locator("#state")).to_contain_text("closed with code 1001")


async def test_a_page_of_another_site_is_refused(browser: BrowserContext, url: str) -> None:
    """The default configuration has the plugin `origin`; by another name, the same server is another site.

    Both names are this machine's, since browsers by themselves keep pages from elsewhere away from it.
    """
    own, foreign = await browser.new_page(), await browser.new_page()
    await own.goto(url)
    await foreign.goto(url.replace("127.0.0.1", "localhost"))
    connect = """address => new Promise(done => {
        const socket = new WebSocket(address);
        socket.onopen = () => done("open");
        socket.onclose = event => done(event.code);
    })"""
    address = f"{url.replace('http:', 'ws:')}public"
    complaints: list[str] = []
    foreign.on("console", lambda message: complaints.append(message.text))
    assert await own.evaluate(connect, address) == "open"
    assert await foreign.evaluate(connect, address) == 1006
    assert any("403" in complaint for complaint in complaints), complaints


async def test_markup_in_a_message_stays_text(browser: BrowserContext, url: str) -> None:
    page = await connected(browser, url)
    await page.fill("#channel", "<b>news</b>")
    await page.click("#subscribe")
    await expect(page.locator("#channels")).to_have_text("<b>news</b>")
    await page.fill("#publish-channel", "<b>news</b>")
    await page.fill("#data", "<img src=x onerror=document.title='pwned'>")
    await page.click("#publish")
    await expect(page.locator("#log")).to_contain_text('"type":"message"')
    assert await page.locator("#log img, #log b, #channels b").count() == 0
    assert await page.title() == "eventbus"


async def test_the_page_loads_without_a_complaint_of_the_browser(browser: BrowserContext, url: str) -> None:
    """Its content security policy lets through all that it needs; nothing comes from elsewhere."""
    page = await browser.new_page()
    complaints: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(url)
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    assert complaints == []
    assert [each for each in requested if not each.startswith((url, "data:"))] == []
    assert await page.locator("#socket option").all_text_contents() == ["public (/public)"]


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_the_page_fits_and_every_field_has_a_name(
    browser: BrowserContext, url: str, width: int
) -> None:
    page = await browser.new_page()
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(url)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = await page.eval_on_selector_all(
        "input, select, textarea, button",
        "all => all.filter(one => !(one.labels?.length || one.textContent.trim())).map(one => one.id)",
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_background(browser: BrowserContext, url: str, scheme: Any) -> None:
    """WCAG 2.2, success criterion 1.4.3: a contrast of at least 4.5."""
    page = await browser.new_page()
    await page.emulate_media(color_scheme=scheme)
    await page.goto(url)
    ratios = await page.evaluate(CONTRASTS)
    assert len(ratios) > 10
    assert {text: ratio for text, ratio in ratios if ratio < 4.5} == {}


SECRET = "a secret of this test, long enough for HS256"

WITH_TOKENS = f"""
[sockets.public]
path = "/public"
subprotocols = ["chat", "eventbus.jwt"]
connect    = ["origin", "jwt"]
message    = ["jwt", "channels"]
disconnect = ["jwt"]

[sockets.query]
connect    = ["jwt"]
message    = ["jwt", {{ use = "channels" }}]
disconnect = ["jwt"]

[plugins.jwt]
algorithms = ["HS256"]
secret = "{SECRET}"
from = ["subprotocol", "query"]
"""


@pytest.fixture
def guarded(start: Any, tmp_path: Path) -> str:
    """The page of a server that wants tokens."""
    config = tmp_path / "tokens.toml"
    config.write_text(WITH_TOKENS)
    return f"{start([sys.executable, '-m', 'eventbus', 'serve', config, '--port', '0'], tmp_path).url}/"


def token() -> str:
    """A token that is good."""
    return jwt.encode({"sub": "ada", "exp": int(time.time()) + 3600}, SECRET, "HS256")


async def state(page: Page) -> str:
    """What the page says after an attempt to connect."""
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "failed")
    await expect(page.locator("#hint")).not_to_be_empty()
    return await page.locator("#state").inner_text()


async def test_a_token_goes_into_a_subprotocol_or_the_query(browser: BrowserContext, guarded: str) -> None:
    page = await browser.new_page()
    await page.goto(guarded)
    places = page.locator("#token-place option")
    assert await places.all_text_contents() == [
        "subprotocol eventbus.jwt",
        "subprotocol chat",
        "query ?token=",
    ]
    await page.fill("#token", token())
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    await page.click("#disconnect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "closed")

    await page.select_option("#socket", "/query")
    assert await places.all_text_contents() == ["query ?token="]
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    assert token() not in await page.locator("main").inner_text()


async def test_the_status_of_a_refusal_and_what_it_means_are_shown(
    browser: BrowserContext, guarded: str
) -> None:
    page = await browser.new_page()
    await page.goto(guarded)
    assert (await state(page)).startswith("refused with status 401")
    await page.fill("#token", "not.a.token")
    assert (await state(page)).startswith("refused with status 401")
    await expect(page.locator("#hint")).to_contain_text("token")
    await expect(page.locator("#log")).to_contain_text("refused with status 401")
    await page.fill("#token", "no subprotocol, as it has spaces")
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_text("this token can't be sent as a subprotocol")
    await page.fill("#token", token())
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    await expect(page.locator("#hint")).to_be_empty()


async def test_a_page_of_another_site_is_told_of_the_403(browser: BrowserContext, url: str) -> None:
    page = await browser.new_page()
    await page.goto(url)
    # Its handshakes go to the other name, as they would from a page of another site.
    own = url.replace("http:", "ws:")
    await page.evaluate(
        """address => {
            const Real = WebSocket;
            window.WebSocket = class extends Real {
                constructor(url, ...rest) { super(url.replace(/^ws:..[^/]*[/]/, address), ...rest); }
            };
            window.WebSocket.OPEN = Real.OPEN;
        }""",
        own.replace("127.0.0.1", "localhost"),
    )
    assert (await state(page)).startswith("refused with status 403")
    await expect(page.locator("#hint")).to_contain_text("origin")


async def test_a_server_that_is_gone_is_not_blamed_for_a_status(
    browser: BrowserContext, url: str, server: Any
) -> None:
    page = await browser.new_page()
    await page.goto(url)
    assert await asyncio.to_thread(server.stop) == 0
    assert (await state(page)).startswith("closed with code 1006")
    await expect(page.locator("#hint")).to_contain_text("may not be reached")


async def test_on_a_phone_every_field_has_a_line_of_its_own(browser: BrowserContext, guarded: str) -> None:
    page = await browser.new_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(guarded)
    boxes = await page.eval_on_selector_all(
        "form input, form select, form textarea, form button",
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.width, box.height])",
    )
    assert len(boxes) > 10
    assert {round(left) for left, _, _ in boxes} == {round(boxes[0][0])}
    assert {round(width) for _, width, _ in boxes} == {round(boxes[0][1])}
    # WCAG 2.2, success criterion 2.5.5: what is touched is 44 pixels high.
    assert min(height for _, _, height in boxes) >= 44


async def test_everything_can_be_done_from_the_keyboard(browser: BrowserContext, url: str) -> None:
    page = await browser.new_page()
    await page.goto(url)
    await page.focus("#query")
    await page.keyboard.press("Enter")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    reached = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id"))
    wanted = ["disconnect", "channel", "subscribe", "unsubscribe", "publish-channel", "data", "publish"]
    assert [each for each in reached if each in wanted] == wanted
    await page.focus("#channel")
    await page.keyboard.press("Enter")
    await expect(page.locator("#channels")).to_have_text("news")


async def test_no_script_but_the_page_s_own_may_run(browser: BrowserContext, url: str) -> None:
    page = await browser.new_page()
    answer = await page.goto(url)
    assert answer is not None
    assert "unsafe" not in answer.headers["content-security-policy"]
    await page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'pwned'";
            document.body.append(script);
        }"""
    )
    assert await page.title() == "eventbus"


async def test_the_script_of_the_docs_connects_with_a_token(browser: BrowserContext, guarded: str) -> None:
    page = await browser.new_page()
    await page.goto(guarded)
    script = block("docs/deploying.md", "js", "function connect")
    opened = """new Promise((done) => {
        const socket = connect(address, token);
        socket.onopen = () => done(socket.protocol);
        socket.onclose = (closed) => done(closed.code);
    })"""
    address = f"{guarded.replace('http:', 'ws:')}public"
    run = f"([address, token]) => {{ {script}; return {opened}; }}"
    assert await page.evaluate(run, [address, token()]) == "eventbus.jwt"
    assert await page.evaluate(run, [address, "not.a.token"]) == 1006
