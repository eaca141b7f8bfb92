"""API keys: several at once, and a file of them that changes."""

import logging
import os
from pathlib import Path

import httpx2
import pytest

import bark_onnx.runtime.server.api_keys as api_keys
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.server.api_keys import ApiKeys
from tests.runtime.server.test_speech import refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import running_server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# of the office\nfirst\n\n  second  \r\n")
    return path


@pytest.fixture
def checks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file at every request."""
    monkeypatch.setattr(api_keys, "_CHECK_SECONDS", -1.0)


def replace(file: Path, text: str) -> None:
    """Replace a file as an editor does, with another time than before."""
    file.with_suffix(".new").write_text(text)
    os.utime(file.with_suffix(".new"), ns=(0, file.stat().st_mtime_ns + 1_000_000))
    file.with_suffix(".new").replace(file)


def is_valid(keys: ApiKeys, key: str) -> bool:
    return keys.find(f"Bearer {key}") is not None


def test_each_key_gives_access_and_has_a_name_of_its_own(file: Path) -> None:
    keys = ApiKeys("zero", file)
    names = [keys.find(f"{scheme} {key}") for scheme in ("Bearer", "bEaReR") for key in
             ("zero", "first", "second")]  # fmt: skip
    assert names[:3] == names[3:]
    assert len({*names[:3]}) == 3
    for name in names:
        assert name is not None
        assert not any(key in name for key in ("zero", "first", "second"))
    for wrong in ("", "Bearer", "Bearer ", "Bearer third", "Basic first", "first", "Bearer # of"):
        assert keys.find(wrong) is None


def test_no_key_is_required_without_any() -> None:
    keys = ApiKeys(None, None)
    assert not keys.is_required
    assert keys.find("Bearer first") is None


def test_keys_are_rotated_without_a_restart(
    file: Path, checks_always: None, log_records: list[logging.LogRecord]
) -> None:
    keys = ApiKeys("zero", file)
    replace(file, "second\nthird\n")
    assert [is_valid(keys, key) for key in ("zero", "first", "second", "third")] == [
        *(True, False),
        *(True, True),
    ]
    assert [record.getMessage() for record in log_records] == ["API keys were read again"]
    assert "third" not in str(vars(log_records[0]))


@pytest.mark.parametrize("text", ["", "# none\n", "schlüssel\n", "two words\n", None])
def test_former_keys_stay_valid_while_the_file_is_malformed(
    file: Path, checks_always: None, log_records: list[logging.LogRecord], text: str | None
) -> None:
    keys = ApiKeys(None, file)
    if text is None:
        file.unlink()
    else:
        replace(file, text)
    assert is_valid(keys, "first")
    assert is_valid(keys, "second")  # and the error is logged once
    assert [record.levelname for record in log_records] == ["ERROR"]
    assert_one_line(log_records[0].fields["error"], str(file))  # type: ignore[attr-defined]
    file.with_suffix(".new").write_text("third")
    file.with_suffix(".new").replace(file)
    assert is_valid(keys, "third")


def test_the_file_is_not_read_at_every_request(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ApiKeys(None, file)
    monkeypatch.setattr(api_keys, "_signature", None)  # a call would raise
    assert is_valid(keys, "first")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("no API key",)),
        (b"\n# only a comment\n", ("no API key",)),
        (b"good\n\xff\n", ("UTF-8",)),
        ("good\nschlüssel\n".encode(), ("line 2", "printable ASCII")),
        (b"good\nhalf half\n", ("line 2", "without spaces")),
        (b"good\n\nsec\0ret", ("line 3",)),
    ],
)
def test_malformed_file_is_a_one_line_error_without_the_key(
    tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(OptionsError) as caught:
        ApiKeys(None, path)
    assert_one_line(caught.value, str(path), *words)
    for secret in ("schl", "half", "ret"):
        assert secret not in str(caught.value)


def test_missing_file_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        ApiKeys(None, tmp_path / "none")
    assert_one_line(caught.value, "none", "cannot be read")


def test_server_accepts_the_keys_of_its_file(
    bark: ScriptedBark, file: Path, checks_always: None
) -> None:
    with running_server(lambda: bark, api_key_file=file) as server:

        def get(key: str) -> httpx2.Response:
            headers = {"authorization": f"Bearer {key}"}
            return server.http.get("/v1/models", headers=headers)

        assert get("first").status_code == get("second").status_code == 200
        refused(get("third"), 401)
        replace(file, "third")
        assert get("third").status_code == 200
        refused(get("first"), 401)
        document = server.http.get("/openapi.json").json()
        assert "security" in document["paths"]["/v1/models"]["get"]
