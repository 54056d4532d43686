"""Does the page at / show what is true now, in a real browser? Chromium looks at a server of the demo's data, which this script
starts, ends and starts again, and at one that asks who calls.

    python page.py BAROGRAPH DATA SETTINGS TOKEN [PICTURES]

DATA is a folder filled by `barograph demo --once`. SETTINGS make a server that asks who calls and knows TOKEN. With
PICTURES, a folder, each view is kept as a PNG.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import requests
from playwright.sync_api import expect, sync_playwright

from browser import chromium
from checks import Checks, equal

CHECKS = Checks()
PARIS, TOKYO = 2988507, 1850147
# What a slow machine may take.
PATIENCE_MS = 120_000
READY = "() => window.barograph?.map.land && window.barograph.model.received > 0"
# The bytes of a first view, and of it what the page itself is.
FIRST_VIEW_BYTES_MAX = 1_000_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self, binary, data, arguments=()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [binary, "serve", "--data", data, "--listen", f"127.0.0.1:{self.port}", *arguments]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            assert self.process.poll() is None, "the server ended"
            try:
                if requests.get(self.url + "/ready", timeout=10).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def put(self, **values):
        row = {"city_id": PARIS, "reading_at": minute(), **values}
        reply = requests.post(self.url + "/api/v1/tables/readings", json=[row])
        equal(reply.json()["accepted"], 1)


def minute():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() // 60 * 60))


class Subject:
    def __init__(self, browser, server, guarded, token, pictures):
        self.browser, self.server, self.guarded, self.token = browser, server, guarded, token
        self.pictures = pictures

    def page(self, address="/", server=None, **options):
        """A page in a browser of its own, which fails if anything is written to its console as an error."""
        usual = {"viewport": {"width": 1360, "height": 860}, "locale": "en-US"}
        context = self.browser.new_context(**{**usual, **options})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
        if address:
            page.goto((server or self.server).url + address)
        return page

    def ready(self, address="/", **options):
        page = self.page(address, **options)
        page.wait_for_function(READY)
        return page

    def keep(self, page, name):
        if self.pictures:
            page.screenshot(path=os.path.join(self.pictures, f"{name}.png"))

    def end(self, page):
        equal(page.faults, [], "faults that the browser tells")
        page.context.close()


def seen(page, selector):
    return page.locator(selector).inner_text()


@CHECKS.check
def the_map_is_drawn_with_all_places_and_a_legend(subject):
    page = subject.ready()
    places = page.evaluate("() => [barograph.model.places.length, barograph.model.received]")
    assert places[0] == 15_000 and places[1] > 14_000, places
    page.wait_for_function("() => barograph.map.tookMs > 0 && barograph.map.pixels?.some((pixel) => pixel !== 0)")
    assert "Temperature" in seen(page, "#legend-title")
    assert page.locator("#ticks span").count() >= 3
    assert "places" in seen(page, "#legend-note")
    assert "Newest reading" in seen(page, "#state-text")
    # The highest and lowest stand beside it, as words.
    equal(page.locator("#side table tbody tr").count(), 16)
    drawn = "() => barograph.map.pixels.reduce((sum, pixel) => (sum * 31 + pixel) | 0, 7)"
    before = page.evaluate(drawn)
    page.select_option("#column", "humidity")
    expect(page.locator("#legend-title")).to_contain_text("Humidity")
    page.wait_for_function(f"(before) => ({drawn})() !== before", arg=before)
    for computed in ("~age", "~completeness", "~flags"):
        page.select_option("#column", computed)
        page.wait_for_function("(name) => barograph.model.column.name === name", arg=computed)
        page.wait_for_function("() => !barograph.model.isReading")
        expect(page.locator("#legend-note")).not_to_have_class(re.compile("failed"))
    subject.keep(page, "map")
    subject.end(page)


@CHECKS.check
def a_first_view_is_small(subject):
    sent = []
    page = subject.page(None)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    page.goto(subject.server.url)
    page.wait_for_function(f"() => ({READY})() && barograph.map.tookMs > 0")
    took = page.evaluate("() => performance.now()")
    assert 100_000 < sum(sent) <= FIRST_VIEW_BYTES_MAX, f"{sum(sent)} bytes were sent"
    print(f"a first view is {sum(sent):,} bytes in {len(sent)} answers, and took {took:.0f} ms")
    subject.end(page)


@CHECKS.check
def a_place_shows_its_last_day_and_year(subject):
    page = subject.ready()
    page.fill("#search", "pari")
    page.locator("#found li").first.wait_for()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_have_text("Paris, FR")
    page.locator("#side .uplot").nth(1).wait_for()
    day = page.locator("#side .plot").first.get_attribute("aria-label")
    assert day.startswith("Last day") and "Paris: from" in day and "°C" in day, day
    expect(page.locator("#side .cells .cell")).to_have_count(24)
    expect(page.locator("#side")).to_contain_text("Completeness")
    expect(page.locator("#side")).to_contain_text("Quality flags")
    assert f"keys={PARIS}" in page.evaluate("() => location.hash")
    # The chart as a table, for those who do not see it.
    page.locator("#side details summary").first.click()
    expect(page.locator("#side details tbody tr").first).to_be_visible()
    subject.keep(page, "place")
    subject.end(page)


@CHECKS.check
def a_click_on_the_map_chooses_a_place(subject):
    page = subject.ready()
    find = "(key) => { const { map, model } = barograph; const index = model.indexOf.get(key); map.show(index); map.view.scale = map.least() * 60; map.view.x = map.x[index]; map.view.y = map.y[index]; map.limit(); map.draw(); const box = map.frame.getBoundingClientRect(); const [x, y] = map.at(index); return [box.left + x / map.ratio, box.top + y / map.ratio]; }"
    x, y = page.evaluate(find, TOKYO)
    page.mouse.move(x, y)
    page.locator("#tip").wait_for()
    page.mouse.click(x, y)
    page.locator("#chosen").wait_for()
    name = seen(page, "#chosen")
    assert name.endswith(", JP"), name
    page.mouse.wheel(0, 600)
    page.mouse.down()
    page.mouse.move(x + 80, y + 40, steps=4)
    page.mouse.up()
    equal(seen(page, "#chosen"), name)
    subject.end(page)


@CHECKS.check
def places_are_compared(subject):
    page = subject.ready(f"/#map?keys={PARIS},{TOKYO}")
    expect(page.locator(".chips li")).to_have_count(2)
    expect(page.locator("#chosen")).to_have_text("2 places")
    page.locator("#side .uplot").nth(1).wait_for()
    described = page.locator("#side .plot").first.get_attribute("aria-label")
    assert "Paris: from" in described and "Tokyo: from" in described, described
    page.get_by_role("button", name="Remove Tokyo, JP").click()
    expect(page.locator("#chosen")).to_have_text("Paris, FR")
    subject.end(page)


@CHECKS.check
def a_reading_that_comes_is_shown(subject):
    page = subject.ready(f"/#map?keys={PARIS}")
    page.locator("#side table tbody tr").first.wait_for()
    subject.server.put(temperature=-41.25)
    expect(page.locator("#side table").first).to_contain_text("41.3")
    page.wait_for_function(
        "(key) => { const { model } = barograph; return model.values[model.indexOf.get(key)] === -41.25; }", arg=PARIS
    )
    # The map comes by itself, too, without a place being followed.
    other = subject.ready()
    subject.server.put(temperature=-42.5)
    other.wait_for_function(
        "(key) => { const { model } = barograph; return model.values[model.indexOf.get(key)] === -42.5; }", arg=PARIS
    )
    for one in (page, other):
        subject.end(one)


@CHECKS.check
def statements_are_completed_and_answered(subject):
    page = subject.ready("/#sql")
    statement = page.locator("#statement")
    statement.fill("SELECT name, temperature FROM latest('readings') JOIN cit")
    completed = page.locator("#words li", has_text="cities")
    page.wait_for_timeout(50)
    while completed.count() == 0:
        statement.press("Control+Space")
        page.wait_for_timeout(100)
    subject.keep(page, "completion")
    statement.press("Enter")
    assert statement.input_value().endswith("JOIN cities"), statement.input_value()
    statement.press("End")
    statement.type(" USING (city_id) ORDER BY dew_po")
    page.locator("#words li", has_text="dew_point").first.wait_for()
    statement.press("Escape")
    statement.fill("SELECT name, temperature FROM latest('readings') JOIN cities USING (city_id) ORDER BY population DESC LIMIT 7")
    statement.press("Control+Enter")
    expect(page.locator("#answer .scroll tbody tr")).to_have_count(7)
    expect(page.locator("#answer .bars li")).to_have_count(7)
    expect(page.locator("#asked")).to_contain_text("7 rows")
    page.select_option("#examples", "Hourly means of a city")
    page.locator("#answer .uplot").wait_for()
    subject.keep(page, "sql")
    for name, head in (("CSV", b"hour,mean"), ("Parquet", b"PAR1")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {name}").click()
        with open(download.value.path(), "rb") as file:
            assert file.read().startswith(head), name
    equal(page.faults, [])
    statement.fill("SELECT nothing FROM readings")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#failed")).to_contain_text("nothing")
    statement.fill("SELECT * FROM generate_series(1, 50000)")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#asked")).to_contain_text("The first 10,000 rows")
    page.context.close()


@CHECKS.check
def the_server_shows_itself(subject):
    reply = requests.post(
        subject.server.url + "/api/v1/tables/readings",
        json=[{"city_id": 1, "reading_at": minute(), "temperature": 1.0}],
    )
    equal(reply.json()["rejected"], 1)
    page = subject.ready("/#server")
    for text in ("Rows appended", "engine.tail_bytes_max", "compact", "city_id = 1 is not known", "readings"):
        expect(page.locator("#cards")).to_contain_text(text)
    subject.keep(page, "server")
    subject.end(page)


@CHECKS.check
def who_calls_is_asked_for_a_token(subject):
    page = subject.page(server=subject.guarded)
    dialog = page.locator("#sign-in")
    dialog.wait_for()
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-why")).to_contain_text("does not know this token")
    page.fill("#token", subject.token)
    page.keyboard.press("Enter")
    page.wait_for_function("() => barograph.model.places.length === 15000")
    expect(dialog).to_be_hidden()
    expect(page.locator("#account")).to_have_text("Sign out")
    equal(page.evaluate("() => [sessionStorage.length > 0, localStorage.length, document.cookie]"), [True, 0, ""])
    assert subject.token not in page.url
    page.reload()
    page.wait_for_function("() => barograph.model.places.length === 15000")
    page.click("#account")
    dialog.wait_for()
    page.context.close()


@CHECKS.check
def nothing_is_loaded_from_elsewhere(subject):
    asked = []
    page = subject.page(None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(subject.server.url)
    page.wait_for_function(READY)
    strangers = [url for url in asked if not url.startswith(subject.server.url)]
    equal(strangers, [])
    assert len(asked) > 10
    # A script that is slipped in does not run.
    page.evaluate("() => { const made = document.createElement('script'); made.textContent = 'window.slipped = 1'; document.body.append(made); }")
    equal(page.evaluate("() => window.slipped ?? null"), None)
    page.context.close()


@CHECKS.check
def the_keyboard_reaches_everything(subject):
    page = subject.ready()
    focused = "() => document.activeElement.id || document.activeElement.textContent.trim()"
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focused))
    for name in ("Map", "SQL", "Server", "account", "column", "search", "world", "nearer"):
        assert name in reached, f"{name} is not among {reached}"
    page.focus("#world")
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    while not page.evaluate("() => barograph.map.hovered >= 0"):
        page.keyboard.press("-")
        page.wait_for_timeout(20)
    expect(page.locator("#spoken")).not_to_be_empty()
    page.keyboard.press("Enter")
    page.locator("#chosen").wait_for()
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, textarea')].filter((of) => of.checkVisibility() && !(of.getAttribute('aria-label') || of.textContent.trim() || of.labels?.length)).map((of) => of.id)"
    )
    equal(unnamed, [])
    subject.end(page)


@CHECKS.check
def it_fits_a_phone_and_the_dark(subject):
    for scheme in ("light", "dark"):
        for view in ("map", "sql", "server"):
            address = f"/#{view}" if view != "map" else f"/#map?keys={PARIS}"
            page = subject.ready(address, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
            page.wait_for_timeout(500)
            wide = page.evaluate("() => document.querySelector('main').scrollWidth - innerWidth")
            assert wide <= 0, f"{view} is {wide} pixels wider than a phone"
            subject.keep(page, f"phone-{view}-{scheme}")
            subject.end(page)
    dark = subject.ready(color_scheme="dark")
    equal(dark.evaluate("() => getComputedStyle(document.body).backgroundColor"), "rgb(16, 21, 28)")
    subject.keep(dark, "dark")
    subject.end(dark)


@CHECKS.check
def a_server_that_goes_away_comes_back(subject):
    page = subject.ready(f"/#map?keys={PARIS}")
    page.locator("#side table tbody tr").first.wait_for()
    subject.server.stop()
    expect(page.locator("#banner")).to_contain_text("does not answer")
    expect(page.locator("#state-text")).to_contain_text("does not answer")
    subject.keep(page, "away")
    # What is there stays to be read.
    assert page.locator("#side table tbody tr").count() > 3
    subject.server.start()
    expect(page.locator("#banner")).to_be_hidden()
    subject.server.put(temperature=-43.75)
    expect(page.locator("#side table").first).to_contain_text("43.8")
    page.context.close()


def main(binary, data, settings, token, pictures=None):
    path, environment = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(binary, data)
        guarded = Server(binary, folder, ["--config", settings])
        browser = playwright.chromium.launch(
            executable_path=path, env=environment, args=["--no-sandbox", "--disable-gpu", "--headless=shell"]
        )
        try:
            return CHECKS.run(Subject(browser, server, guarded, token, pictures), os.environ.get("ONLY"))
        finally:
            browser.close()
            for one in (server, guarded):
                one.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
