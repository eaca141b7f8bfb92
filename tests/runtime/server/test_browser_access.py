"""What pages of other origins, and of a name that was pointed to the server, reach in Chromium."""

import base64
import shutil
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import Chrome, ChromeOptions

from tests.runtime.server.test_failures import voice_file
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import WAIT_SECONDS, RunningServer, running_server

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not installed: make test-browser"
)

# Sends what an attacker's page would send; returns the status of each response, 0 if it is opaque
# and -1 if the browser refused.
ATTACK = """
const [url, voice, done] = arguments;
const bytes = Uint8Array.from(atob(voice), (c) => c.charCodeAt(0));
const form = (name) => {
  const data = new FormData();
  data.append("name", name);
  data.append("file", new Blob([bytes]), "me.npz");
  return data;
};
const body = JSON.stringify({input: "Hello"});
const json = {"content-type": "application/json"};
const requests = {
  list: ["/v1/audio/voices", {}],
  metrics: ["/metrics", {}],
  upload: ["/v1/audio/voices", {method: "POST", body: form("me")}],
  "upload without cors": [
    "/v1/audio/voices", {method: "POST", body: form("you"), mode: "no-cors"}],
  speak: ["/v1/audio/speech", {method: "POST", body, headers: json}],
  "speak as text": ["/v1/audio/speech", {method: "POST", body, mode: "no-cors"}],
  "speak without a type": [
    "/v1/audio/speech", {method: "POST", body: new Blob([body]), mode: "no-cors"}],
  delete: ["/v1/audio/voices/me", {method: "DELETE"}],
};
(async () => {
  const found = {};
  for (const [name, [path, options]] of Object.entries(requests)) {
    found[name] = await fetch(url + path, options).then((r) => r.status, () => -1);
  }
  done(found);
})();
"""

FORM = """
const [url, done] = arguments;
document.body.innerHTML = `<iframe name="target"></iframe>
  <form method="post" enctype="text/plain" target="target" action="${url}/v1/audio/speech">
  <input name='{"input": "Hello", "instructions": "' value='"}'></form>`;
document.querySelector("iframe").onload = () => done(true);
document.forms[0].submit();
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Attacker</title><body></body>")

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def attacker_port() -> Iterator[int]:
    """Port of another server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found.server_address[1]
        found.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"),
        "--host-resolver-rules=MAP attacker.example 127.0.0.1",
    ):
        options.add_argument(argument)
    chrome = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    chrome.set_script_timeout(WAIT_SECONDS)
    yield chrome
    chrome.quit()


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def upload_server(bark: ScriptedBark, uploads: Path) -> Iterator[RunningServer]:
    with running_server(lambda: bark, uploads=uploads) as found:
        yield found


def attack(browser: Chrome, page: str, url: str) -> dict[str, int]:
    """Statuses of an attack by a page."""
    with tempfile.TemporaryDirectory() as folder:
        voice = base64.b64encode(voice_file(Path(folder))).decode()
    browser.get(page)
    found: dict[str, int] = browser.execute_async_script(ATTACK, url, voice)
    return found


def test_own_page_reaches_everything(
    browser: Chrome, upload_server: RunningServer, bark: ScriptedBark
) -> None:
    found = attack(browser, upload_server.url, "")
    texts = {name: found.pop(name) for name in ("speak as text", "speak without a type")}
    assert set(texts.values()) == {400}
    expected = {"list": 200, "metrics": 200, "upload": 201, "speak": 200, "delete": 200}
    assert found == {**expected, "upload without cors": 201}
    assert len(bark.futures) == 1
    browser.get("about:blank")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_page_of_another_port_reaches_nothing(
    browser: Chrome,
    upload_server: RunningServer,
    attacker_port: int,
    uploads: Path,
    bark: ScriptedBark,
    host: str,
) -> None:
    url = upload_server.url.replace("127.0.0.1", host)
    for page in ("127.0.0.1", "localhost", "attacker.example"):
        found = attack(browser, f"http://{page}:{attacker_port}/", url)
        assert set(found.values()) <= {-1, 0}, "only opaque or refused responses"
        browser.execute_async_script(FORM, url)
    browser.get("about:blank")
    assert [*uploads.iterdir()] == []
    assert bark.futures == []


def test_page_of_a_rebound_name_reaches_nothing(
    browser: Chrome, upload_server: RunningServer, uploads: Path, bark: ScriptedBark
) -> None:
    """The name points to the server: for the browser, its page has the server's own origin."""
    page = upload_server.url.replace("127.0.0.1", "attacker.example")
    found = attack(browser, page, page)
    assert set(found.values()) == {421}
    browser.get("about:blank")
    assert [*uploads.iterdir()] == []
    assert bark.futures == []
