"""The page that speaks in the browser, in Chromium: WebAssembly, and WebGPU in software."""

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.embedding.test_javascript import GREEDY, PACKAGE, ROOT, node  # noqa: F401 (a fixture)

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="Chromium is not installed: make test-browser"
    ),
]

LOAD_SECONDS, SPEAK_SECONDS = 120, 240
CASE = "early-end"
CASES = ROOT / "tests" / "golden" / "demo" / "int8" / "cases.json"


class QuietHandler(SimpleHTTPRequestHandler):
    """Any static server will do."""

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Address of the repository on a static server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(ROOT)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def chrome_with(*arguments: str, downloads: Path) -> Chrome:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *arguments):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


class Page:
    """The page once the bundle is loaded."""

    def __init__(self, chrome: Chrome, address: str, options: dict[str, Any]) -> None:
        self.chrome = chrome
        chrome.get(f"{address}/js/demo/index.html?{urlencode({'options': json.dumps(options)})}")
        self.wait_for_status("Ready", LOAD_SECONDS)

    def find(self, name: str) -> Any:
        return self.chrome.find_element(By.ID, name)

    def wait_for_status(self, start: str, seconds: float) -> str:
        def has_ended(_: Chrome) -> bool:
            status = self.find("status")
            return status.text.startswith(start) or "error" in status.get_attribute("class")

        WebDriverWait(self.chrome, seconds, 0.1).until(has_ended)
        text = str(self.find("status").text)
        assert text.startswith(start), (text, self.chrome.get_log("browser"))
        return text

    def speak(self, text: str) -> tuple[str, dict[str, Any]]:
        """The status at the end, and the tokens."""
        self.find("text").clear()
        self.find("text").send_keys(text)
        self.find("speak").click()
        status = self.wait_for_status("Done", SPEAK_SECONDS)
        return status, json.loads(self.find("tokens").get_property("textContent"))


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    cases = json.loads(CASES.read_text("utf-8"))["cases"]
    return next(each for each in cases if each["name"] == CASE)


def in_camel_case(options: dict[str, Any]) -> dict[str, Any]:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    return {camel(name): value for name, value in options.items()}


def test_webassembly_says_the_tokens_of_python(
    node: str,  # noqa: F811
    address: str,
    case: dict[str, Any],
    tmp_path: Path,
) -> None:
    chrome = chrome_with(downloads=tmp_path)
    try:
        page = Page(chrome, address, in_camel_case(case["options"]))
        assert not page.find("player").get_attribute("src")
        assert not chrome.find_element(By.CSS_SELECTOR, "option[value=webgpu]").is_enabled()
        page.find("voice").send_keys(case["voice"])
        status, tokens = page.speak(case["text"])
        assert tokens["semantic"] == case["semantic_tokens"]
        assert tokens["coarse"] == case["coarse_tokens"]
        assert tokens["fine"] == case["fine_tokens"]
        seconds = case["samples"]["count"] / case["samples"]["sample_rate_hz"]
        assert status.startswith(f"Done: {seconds:.2f} s")
        page.find("download").click()
        path = tmp_path / "speech.wav"
        WebDriverWait(chrome, LOAD_SECONDS, 0.1).until(lambda _: path.exists())
        samples, rate = soundfile.read(path)
        assert (len(samples), rate) == (case["samples"]["count"], case["samples"]["sample_rate_hz"])
        tolerance = case["samples"]["tolerance"] + 2**-15
        assert samples[:8] == pytest.approx(case["samples"]["first"], abs=tolerance)
        assert samples[-8:] == pytest.approx(case["samples"]["last"], abs=tolerance)
        messages = [each["message"] for each in chrome.get_log("browser")]
        assert [each for each in messages if not each.endswith("No available adapters.")] == []
    finally:
        chrome.quit()


def test_webgpu_speaks_where_there_is_an_adapter(
    node: str,  # noqa: F811
    address: str,
    case: dict[str, Any],
    tmp_path: Path,
) -> None:
    chrome = chrome_with(
        "--use-webgpu-adapter=swiftshader", "--enable-unsafe-webgpu", downloads=tmp_path
    )
    options = {**in_camel_case(GREEDY), "semanticMaxNewTokens": 2}
    try:
        page = Page(chrome, address, options)
        option = chrome.find_element(By.CSS_SELECTOR, "option[value=webgpu]")
        if not option.is_enabled():
            pytest.skip("this Chromium has no WebGPU adapter, not even SwiftShader")
        option.click()
        page.wait_for_status("Ready: int8 on webgpu", LOAD_SECONDS)
        status, tokens = page.speak(case["text"])
        assert len(tokens["semantic"]) == 2
        seconds = len(tokens["fine"][0]) * 320 / 24_000
        assert status.startswith(f"Done: {seconds:.2f} s")
    finally:
        chrome.quit()
