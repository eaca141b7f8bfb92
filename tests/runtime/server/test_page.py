"""The web page in Chromium: with a mouse, with the keyboard, on a phone."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from bark_onnx.runtime import Bark
from tests.runtime.server.test_speech import LONG, LONG_SECONDS
from tests.support.scripted_bark import SECONDS, ScriptedBark
from tests.support.server_process import WAIT_SECONDS, RunningServer, running_server, wait_until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not installed: make test-browser"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(argument)
    folder = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    chrome.downloads = folder  # type: ignore[attr-defined]
    yield chrome
    chrome.quit()


class Page:
    """The page after its voices are loaded."""

    def __init__(self, chrome: Chrome, url: str) -> None:
        self.chrome = chrome
        chrome.get(url)
        self.wait_until(lambda: len(self.find("voice").find_elements(By.TAG_NAME, "option")) > 1)

    def find(self, name: str) -> WebElement:
        return self.chrome.find_element(By.ID, name)

    def wait_until(self, holds: Any) -> None:
        WebDriverWait(self.chrome, WAIT_SECONDS, 0.05).until(lambda _: holds())

    def type_into(self, name: str, text: str) -> None:
        self.find(name).clear()
        self.find(name).send_keys(text)

    def wait_for_status(self, start: str) -> None:
        self.wait_until(lambda: self.find("status").text.startswith(start))

    def run(self, script: str) -> Any:
        return self.chrome.execute_script(script)


@pytest.fixture
def page(browser: Chrome, server: RunningServer) -> Page:
    return Page(browser, server.url)


def test_page_generates_plays_draws_and_downloads_speech(page: Page, bark: ScriptedBark) -> None:
    page.type_into("text", LONG)
    page.find("voice").send_keys("v2/en_speaker_0")
    page.type_into("seed", "5")
    page.type_into("temperature", "0.6")
    page.find("speak").click()
    page.wait_for_status(f"Done: {LONG_SECONDS:.2f} s")
    assert " ".join(future.text for future in bark.futures) == LONG
    assert bark.futures[0].voice.name == "v2/en_speaker_0"
    assert bark.futures[0].seed == 5
    assert bark.futures[0].options.semantic_temperature == 0.6
    assert page.find("audio-seconds").text == f"{LONG_SECONDS:.2f} s"
    assert page.find("used-seed").text == "5"
    for name in ("first-seconds", "total-seconds"):
        assert float(page.find(name).text.removesuffix(" s")) >= 0
    assert float(page.find("factor").text) >= 0
    # The waveform is high during speech and flat during silence.
    heights = page.run(
        "const c = document.getElementById('waveform');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return Array.from({length: c.width}, (_, x) => { let n = 0;"
        "for (let y = 0; y < c.height; y++) n += d[4 * (y * c.width + x) + 3] > 0; return n; })"
    )
    column = len(heights) / LONG_SECONDS
    assert heights[round(0.5 * SECONDS * column)] > 50
    assert heights[round((SECONDS + 0.125) * column)] < 5
    # The player plays the file.
    page.wait_until(lambda: page.run("return document.getElementById('player').readyState >= 2"))
    duration = page.run("return document.getElementById('player').duration")
    assert duration == pytest.approx(LONG_SECONDS, abs=0.05)
    page.run("document.getElementById('player').play()")
    page.wait_until(lambda: page.run("return document.getElementById('player').currentTime > 0"))
    page.find("download").click()
    path = Path(page.chrome.downloads) / "speech.wav"  # type: ignore[attr-defined]
    page.wait_until(path.exists)
    samples, rate = soundfile.read(io.BytesIO(path.read_bytes()))
    assert (len(samples), rate) == (round(LONG_SECONDS * 24_000), 24_000)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)


def test_page_plays_words(browser: Chrome, recognition: Callable[[str], ModuleType]) -> None:
    text = "Hello! The weather is warm and sunny today."
    with running_server(lambda: Bark.load("demo")) as server:
        page = Page(browser, server.url)
        page.type_into("text", text)
        page.find("voice").send_keys("v2/en_speaker_0")
        page.type_into("seed", "1")
        page.find("speak").click()
        page.wait_for_status("Done")
        page.run("document.getElementById('player').play()")
        page.wait_until(
            lambda: page.run("return document.getElementById('player').currentTime > 0")
        )
        path = Path(browser.downloads) / "speech.wav"  # type: ignore[attr-defined]
        path.unlink(missing_ok=True)
        page.find("download").click()
        page.wait_until(path.exists)
    heard = recognition("recognizers").WhisperRecognizer().recognize(*soundfile.read(path))
    assert recognition("word_errors").word_errors(text, heard).errors <= 2


def test_page_works_with_the_keyboard_alone(page: Page, bark: ScriptedBark) -> None:
    order = []
    for _ in range(5):
        ActionChains(page.chrome).send_keys(Keys.TAB).perform()
        order.append(page.chrome.switch_to.active_element.get_attribute("id"))
        outline = page.chrome.switch_to.active_element.value_of_css_property("outline-style")
        assert outline != "none"
    assert order == ["text", "voice", "seed", "temperature", "speak"]
    page.type_into("text", "Typed")
    page.find("text").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait_for_status("Done")
    assert [future.text for future in bark.futures] == ["Typed"]


def test_stop_cancels_the_request(page: Page, bark: ScriptedBark) -> None:
    bark.completes = False
    page.find("speak").click()
    (future,) = bark.wait_for_futures(1)
    page.wait_for_status("Waiting")
    page.find("stop").click()
    page.wait_for_status("Stopped")
    wait_until(future.cancelled)
    assert not page.find("stop").is_enabled()


def test_page_shows_the_message_of_an_error(page: Page, bark: ScriptedBark) -> None:
    bark.max_queue = 0
    page.find("speak").click()
    page.wait_for_status("The queue is full")


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(str(2**53 + 1), 2**53 + 1), (str(2**63 - 1), 2**63 - 1), ("007", 7), ("2e3", 2000)],
)
def test_seed_is_not_rounded(page: Page, bark: ScriptedBark, seed: str, expected: int) -> None:
    page.type_into("seed", seed)
    page.find("speak").click()
    page.wait_for_status("Done")
    assert bark.plans[-1].seed == expected
    assert page.find("used-seed").text == str(expected)


def test_seed_that_is_too_large_is_refused(page: Page, bark: ScriptedBark) -> None:
    page.type_into("seed", str(2**63))
    page.find("speak").click()
    page.wait_for_status("seed: ")
    assert bark.plans == []


def test_page_requests_the_key_when_the_server_needs_one(
    browser: Chrome, bark: ScriptedBark
) -> None:
    with running_server(lambda: bark, api_key="secret") as server:
        browser.get(server.url)
        box = browser.find_element(By.ID, "key")
        WebDriverWait(browser, WAIT_SECONDS).until(lambda _: box.is_displayed())
        page = Page.__new__(Page)
        page.chrome = browser
        page.wait_for_status("This server needs an API key")
        box.send_keys("wrong\t")
        page.wait_for_status("This API key is not valid")
        box.clear()
        box.send_keys("secret\t")
        page.wait_until(lambda: len(page.find("voice").find_elements(By.TAG_NAME, "option")) > 1)
        page.find("speak").click()
        page.wait_for_status("Done")
        browser.get("about:blank")  # closes its connections


@pytest.mark.parametrize("size", [(320, 640), (390, 844), (1280, 800)])
def test_page_fits_on_every_screen(
    browser: Chrome, server: RunningServer, size: tuple[int, int]
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": size[0] < 500},
    )
    page = Page(browser, server.url)
    page.find("speak").click()
    page.wait_for_status("Done")
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    for name in ("text", "voice", "seed", "speak", "stop", "download"):
        assert page.find(name).size["height"] >= 40, name
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_fields_have_accessible_names_and_the_console_is_empty(page: Page) -> None:
    for tag in ("textarea", "select", "input", "button"):
        for element in page.chrome.find_elements(By.TAG_NAME, tag):
            if element.is_displayed():
                assert element.accessible_name
    assert page.find("status").get_attribute("aria-live") == "polite"
    page.chrome.get_log("browser")
    page.chrome.refresh()
    page.find("speak").click()
    page.wait_for_status("Done")
    assert page.chrome.get_log("browser") == []


def test_page_loads_nothing_from_other_sites(page: Page, server: RunningServer) -> None:
    page.chrome.get_log("performance")
    page.chrome.refresh()
    page.find("speak").click()
    page.wait_for_status("Done")
    names = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert len(names) >= 4
    assert all(name.startswith((server.url, "data:", "blob:")) for name in names)
