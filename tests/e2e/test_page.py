"""The page at `/`, in a real browser, against a real server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def chromium() -> str:
    """The path of Debian's chromium. In CI it must be there."""
    found = shutil.which("chromium")
    if found is None:
        complain = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        complain("there is no chromium: apt-get install chromium")
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A browser with an empty profile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def url(server: Any) -> str:
    """Where the page is."""
    return f"{server.url}/"


async def connected(browser: Browser, url: str) -> Page:
    """A tab whose page is connected."""
    page = await browser.new_page()
    await page.goto(url)
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")
    return page


async def test_what_one_tab_publishes_arrives_in_the_other(browser: Browser, url: str) -> None:
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


async def test_after_unsubscribing_only_the_acknowledgements_arrive(browser: Browser, url: str) -> None:
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
async def test_data_is_json_or_else_a_string(browser: Browser, url: str, typed: str, data: object) -> None:
    page = await connected(browser, url)
    await page.fill("#data", typed)
    await page.click("#publish")
    sent = page.locator('#log [data-kind="out"] .text')
    await expect(sent).to_have_count(1)
    assert (await sent.evaluate("line => JSON.parse(line.textContent)"))["data"] == data


async def test_an_error_answer_is_shown_as_one(browser: Browser, url: str) -> None:
    page = await connected(browser, url)
    await page.fill("#raw", '{"id":7,"type":"dance"}')
    await page.click("#send-raw")
    answer = page.locator('#log [data-kind="error"] .text')
    await expect(answer).to_contain_text('"code":"unknown_type"')
    await expect(answer).to_contain_text('"id":7')
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")


async def test_the_close_code_is_shown_and_one_can_connect_again(browser: Browser, url: str) -> None:
    page = await connected(browser, url)
    await page.click("#disconnect")
    await expect(page.locator("#state")).to_have_text("closed with code 1000: normal")
    await expect(page.locator("#log")).to_contain_text("closed with code 1000")
    await expect(page.locator("#subscribe")).to_be_disabled()
    await page.click("#connect")
    await expect(page.locator("#state")).to_have_attribute("data-state", "open")


async def test_what_the_server_says_when_it_stops_is_shown(browser: Browser, url: str, server: Any) -> None:
    page = await connected(browser, url)
    assert server.stop() == 0
    await expect(page.locator("#state")).to_contain_text("closed with code 1001")


async def test_a_page_of_another_site_is_refused(browser: Browser, url: str) -> None:
    """The default configuration has the plugin `origin`: the same server by another name is another origin."""
    page = await browser.new_page()
    await page.goto(url)
    await page.route(
        "http://elsewhere.example/", lambda route: route.fulfill(body=foreign, content_type="text/html")
    )
    foreign = await page.content()
    port = re.search(r":(\d+)/", url)
    assert port is not None
    await page.goto("http://elsewhere.example/")
    refused = await page.evaluate(
        """url => new Promise(done => {
            const socket = new WebSocket(url);
            socket.onopen = () => done("open");
            socket.onclose = event => done(event.code);
        })""",
        f"ws://127.0.0.1:{port[1]}/public",
    )
    assert refused == 1006


async def test_markup_in_a_message_stays_text(browser: Browser, url: str) -> None:
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


async def test_the_page_loads_without_a_complaint_of_the_browser(browser: Browser, url: str) -> None:
    """The content security policy of the page lets through all that it needs, and nothing comes from elsewhere."""
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
async def test_the_page_fits_and_every_field_has_a_name(
    browser: Browser, url: str, scheme: Any, width: int
) -> None:
    page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    await page.goto(url)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = await page.eval_on_selector_all(
        "input, select, textarea, button",
        "all => all.filter(one => !(one.labels?.length || one.textContent.trim())).map(one => one.id)",
    )
    assert nameless == []
