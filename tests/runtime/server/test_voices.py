"""Voices of the server: names, aliases, uploads, and malicious uploads."""

import io
import json
import logging
import os
import pickle
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from bark_onnx.graphs.errors import BarkError, OptionsError, VoiceError
from bark_onnx.runtime import Bark, Voice
from bark_onnx.runtime.server.aliases import OPENAI_VOICES, read_aliases
from bark_onnx.runtime.server.settings import MAX_UPLOADS
from bark_onnx.runtime.server.uploads import UploadFolder, stored_bytes
from bark_onnx.runtime.server.voices import VoiceRegistry
from tests.runtime.server.test_speech import refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import (
    WAIT_SECONDS,
    Background,
    RunningServer,
    running_server,
)

VOICES = "/v1/audio/voices"


def archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    codes = np.arange(80).reshape(8, 10)
    usual = {"semantic_prompt": np.arange(20), "coarse_prompt": codes[:2], "fine_prompt": codes}
    np.savez(file, **{**usual, **arrays})
    return file.getvalue()


def registry(names: list[str] | None = None, **settings: Any) -> VoiceRegistry:
    usual: dict[str, Any] = {"check": lambda voice: None, "aliases": {}, "uploads": None}
    return VoiceRegistry(names or [], **{**usual, **settings})


def folder(path: Path, **limits: int) -> UploadFolder:
    return UploadFolder(path, **{"max_file_bytes": 1 << 20, "max_bytes": 1 << 30, **limits})


def voice_bytes(tokens: int) -> bytes:
    """A voice of which one array has so many tokens; packed, it is small."""
    file = io.BytesIO()
    codes = np.zeros((8, 10), np.uint8)
    np.savez_compressed(
        file,
        semantic_prompt=np.zeros(tokens, np.uint8),
        coarse_prompt=codes[:2],
        fine_prompt=codes,
    )
    return file.getvalue()


def upload(
    server: RunningServer, data: bytes, name: str = "me", file: str = "me.npz"
) -> httpx2.Response:
    return server.http.post(VOICES, data={"name": name}, files={"file": (file, data)})


@pytest.fixture(scope="module")
def shared_uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "deep" / "uploads"


@pytest.fixture(scope="module")
def shared_upload_server(
    shared_bark: ScriptedBark, shared_uploads: Path
) -> Iterator[RunningServer]:
    with running_server(lambda: shared_bark, uploads=shared_uploads) as found:
        yield found


@pytest.fixture
def uploads(shared_uploads: Path) -> Path:
    """The empty folder of uploads."""
    shutil.rmtree(shared_uploads.parents[1], ignore_errors=True)
    shared_uploads.mkdir(parents=True)
    return shared_uploads


@pytest.fixture
def upload_server(
    shared_upload_server: RunningServer, bark: ScriptedBark, uploads: Path
) -> RunningServer:
    """A server that accepts uploads."""
    return shared_upload_server


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Names


def test_aliases_and_bundle_voices_are_listed(server: RunningServer) -> None:
    entries = server.http.get(VOICES).json()["voices"]
    assert all(set(entry) == {"id", "name", "language"} for entry in entries)
    ids = [entry["id"] for entry in entries]
    assert ids == [*OPENAI_VOICES, "v2/en_speaker_0", "v2/en_speaker_6"]
    assert entries[0] == {"id": "alloy", "name": "alloy (v2/en_speaker_6)", "language": "en"}
    assert entries[-1] == {"id": "v2/en_speaker_6", "name": "v2/en_speaker_6", "language": "en"}


def test_openai_names_map_to_other_presets_when_theirs_are_missing() -> None:
    names = ["alloy", "me", "v2/de_speaker_3", "v2/en_speaker_0", "v2/en_speaker_1"]
    labels = registry(names, aliases=None).labels()
    assert labels["echo"] == "echo (v2/en_speaker_0)"
    assert labels["ash"] == "ash (v2/en_speaker_1)"
    assert labels["ballad"] == "ballad (v2/en_speaker_0)"
    assert labels["alloy"] == "alloy"
    german = registry(["me", "v2/de_speaker_3"], aliases=None).labels()
    assert german["nova"] == "nova (v2/de_speaker_3)"


@pytest.mark.parametrize("names", [[], ["me"], ["me", "grandmother", "one/two"]])
def test_openai_names_never_stand_for_private_voices(names: list[str]) -> None:
    found = registry(names, aliases=None)
    assert all(found.labels()[name].endswith("(the model chooses)") for name in OPENAI_VOICES)
    assert all(found.resolve(name) is None for name in OPENAI_VOICES)


@pytest.mark.parametrize("voice", ["mine", {"id": "mine"}, "v2/en_speaker_0"])
def test_request_names_its_voice(bark: ScriptedBark, voice: Any) -> None:
    with running_server(lambda: bark, aliases={"mine": "v2/en_speaker_0", "any": None}) as server:
        assert server.speak(voice=voice).status_code == 200
        assert bark.futures[-1].voice.name == "v2/en_speaker_0"
        assert server.speak(voice="any").status_code == 200
        assert bark.futures[-1].voice is None
        refused(server.speak(voice="alloy"), 400, "'alloy' not found")


@pytest.mark.parametrize(
    ("voice", "expected"),
    [("english", "v2/en_speaker_6"), ("EN", "v2/en_speaker_6"), ("en-0", "v2/en_speaker_0")],
)
def test_request_names_a_language(
    server: RunningServer, bark: ScriptedBark, voice: str, expected: str
) -> None:
    assert server.speak(voice=voice).status_code == 200
    assert bark.futures[-1].voice.name == expected


@pytest.mark.parametrize(
    ("voice", "words"),
    [("german", "no German voice"), ("en-3", "no v2/en_speaker_3"), ("klingon", "not found")],
)
def test_language_without_a_voice_is_a_one_line_error(
    server: RunningServer, voice: str, words: str
) -> None:
    error = refused(server.speak(voice=voice), 400, words)
    assert (error["code"], error["param"]) == ("voice_not_found", "voice")


def test_alias_stands_for_a_language(bark: ScriptedBark) -> None:
    with running_server(lambda: bark, aliases={"narrator": "english"}) as server:
        assert server.speak(voice="narrator").status_code == 200
        assert bark.futures[-1].voice.name == "v2/en_speaker_6"
        entry = server.http.get(VOICES).json()["voices"][0]
    assert entry == {"id": "narrator", "name": "narrator (english)", "language": "en"}
    with pytest.raises(VoiceError) as caught:
        registry(["v2/en_speaker_0"], aliases={"narrator": "german"})
    assert_one_line(caught.value, '"german"', "no German voice")


def test_alias_table_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "voices.json"
    path.write_text('{"alloy": "v2/en_speaker_6", "any": null}', encoding="utf-8")
    assert read_aliases(path) == {"alloy": "v2/en_speaker_6", "any": None}


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "not JSON"), ("[]", "an object"), ('{"a": 1}', "'a' is 1"), (b"\xff", "not JSON")],
)
def test_malformed_alias_table_is_a_one_line_error(
    tmp_path: Path, text: str | bytes, word: str
) -> None:
    path = tmp_path / "voices.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OptionsError) as caught:
        read_aliases(path)
    assert_one_line(caught.value, str(path), word)


def test_missing_alias_table_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        read_aliases(tmp_path / "none.json")
    assert_one_line(caught.value, "none.json", "cannot be read")


@pytest.mark.parametrize(
    ("aliases", "words"), [({"a": "unknown"}, ("'a'", "'unknown'")), ({"one": None}, ("hides",))]
)
def test_alias_of_an_unknown_voice_or_over_a_known_one_is_refused(
    aliases: dict[str, str | None], words: tuple[str, ...]
) -> None:
    with pytest.raises(OptionsError) as caught:
        registry(["one"], aliases=aliases)
    assert_one_line(caught.value, *words)


# Uploads


def test_uploads_are_off_by_default(server: RunningServer) -> None:
    assert refused(upload(server, archive()), 403, "--uploads")["code"] == "uploads_off"
    refused(server.http.delete(f"{VOICES}/me"), 403, "--uploads")


def test_uploaded_voice_is_available_until_deleted(
    upload_server: RunningServer, bark: ScriptedBark, uploads: Path
) -> None:
    response = upload(upload_server, archive())
    me = {"id": "me", "name": "me", "language": None}
    assert (response.status_code, response.json()) == (201, me)
    assert files_under(uploads) == {"me.npz"}
    assert me in upload_server.http.get(VOICES).json()["voices"]
    assert upload_server.speak(voice="me").status_code == 200
    assert isinstance(bark.futures[0].voice, Voice)
    np.testing.assert_array_equal(bark.futures[0].voice.semantic_prompt, np.arange(20))
    deleted = upload_server.http.delete(f"{VOICES}/me")
    assert deleted.json() == {"id": "me", "object": "voice", "deleted": True}
    assert files_under(uploads) == set()
    refused(upload_server.speak(voice="me"), 400, "'me' not found")
    refused(upload_server.http.delete(f"{VOICES}/me"), 404, "'me' not found")


def test_upload_stores_only_the_arrays_of_a_voice(
    upload_server: RunningServer, uploads: Path
) -> None:
    data = io.BytesIO(archive())
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("../../evil.npy", b"evil")
        file.writestr("evil.py", b"evil")
    assert upload(upload_server, data.getvalue()).status_code == 201
    with zipfile.ZipFile(uploads / "me.npz") as file:
        assert set(file.namelist()) == {
            f"{key}_prompt.npy" for key in ("semantic", "coarse", "fine")
        }
    assert files_under(uploads.parents[1]) == {"deep/uploads/me.npz"}


@pytest.mark.parametrize(
    "name",
    ["", "../me", "/tmp/me", "a/b", "a\\b", "me.npz", ".me", "me\n", "me\0", "C:me", "é", "a" * 65],
)
def test_invalid_upload_names_are_refused(
    upload_server: RunningServer, uploads: Path, name: str
) -> None:
    refused(upload(upload_server, archive(), name=name), 400)
    assert files_under(uploads.parents[1]) == set()


def test_file_name_of_an_upload_is_ignored(upload_server: RunningServer, uploads: Path) -> None:
    assert upload(upload_server, archive(), file="../../../etc/passwd").status_code == 201
    assert files_under(uploads.parents[1]) == {"deep/uploads/me.npz"}


@pytest.mark.parametrize("name", ["alloy", "ALLOY", "me", "Me"])
def test_taken_upload_names_are_refused(upload_server: RunningServer, name: str) -> None:
    assert upload(upload_server, archive()).status_code == 201
    refused(upload(upload_server, archive(), name=name), 409, "exists")


RESERVED = ["german", "Deutsch", "de", "EN", "de-3", "polski_2", "mandarin", "en_speaker_6"]
RESERVED += ["zh_speaker_12", "CON", "nul", "Com1", "lpt9"]


@pytest.mark.parametrize("name", RESERVED)
def test_names_of_languages_presets_and_devices_belong_to_no_upload(
    upload_server: RunningServer, uploads: Path, name: str
) -> None:
    error = refused(upload(upload_server, archive(), name=name), 400)
    assert error["param"] == "name"
    assert "reserved" in error["message"]
    assert files_under(uploads) == set()


def test_names_of_openai_are_reserved_beside_other_aliases(uploads: Path) -> None:
    found = registry(["v2/en_speaker_0"], aliases={"any": None}, uploads=folder(uploads))
    for name in (*OPENAI_VOICES, "NOVA"):
        with pytest.raises(BarkError, match="reserved"):
            found.add(name, archive())
    with pytest.raises(BarkError, match="exists"):
        found.add("ANY", archive())


def test_file_with_a_reserved_name_is_ignored_and_logged(
    uploads: Path, log_records: list[logging.LogRecord]
) -> None:
    for name in ("german", "nul", "me"):
        (uploads / f"{name}.npz").write_bytes(archive())
    found = registry(["v2/de_speaker_3"], uploads=folder(uploads))
    assert set(found.labels()) == {"me", "v2/de_speaker_3"}
    assert found.resolve("german") == "v2/de_speaker_3"
    ignored = [record.fields["file"] for record in log_records]  # type: ignore[attr-defined]
    assert ignored == ["german.npz", "nul.npz"]


class MaliciousPickle:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("semantic_prompt.npy", b"\0" * (32 << 20))
    assert file.tell() < 1 << 20
    return file.getvalue()


def lying_header() -> bytes:
    """An array whose header states 10^12 tokens."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        array = io.BytesIO()
        header = {"descr": "<i8", "fortran_order": False, "shape": (10**12,)}
        np.lib.format.write_array_header_1_0(array, header)
        packed.writestr("semantic_prompt.npy", array.getvalue())
    return file.getvalue()


@pytest.mark.parametrize(
    "kind", ["nothing", "noise", "pickle", "objects", "bomb", "lie", "floats", "negative", "cut"]
)
def test_malformed_uploads_are_refused(
    upload_server: RunningServer, uploads: Path, tmp_path: Path, kind: str
) -> None:
    evil = MaliciousPickle(tmp_path / "evil")
    data = {
        "nothing": b"",
        "noise": b"\x93NUMPY" + os.urandom(1000),
        "pickle": pickle.dumps(evil),
        "objects": archive(semantic_prompt=np.array([evil], dtype=object)),
        "bomb": bomb(),
        "lie": lying_header(),
        "floats": archive(semantic_prompt=np.ones(5)),
        "negative": archive(semantic_prompt=-np.arange(5)),
        "cut": archive()[:-40],
    }[kind]
    error = refused(upload(upload_server, data), 400)
    assert str(uploads) not in error["message"]
    assert not (tmp_path / "evil").exists()
    assert files_under(tmp_path) == set()


def test_upload_over_the_body_limit_is_refused(bark: ScriptedBark, uploads: Path) -> None:
    with running_server(lambda: bark, uploads=uploads, max_body_bytes=1000) as server:
        refused(upload(server, archive()), 413, "1000 bytes")
    assert files_under(uploads) == set()


def test_number_of_uploads_is_limited(uploads: Path) -> None:
    full = registry(uploads=folder(uploads))
    for number in range(MAX_UPLOADS):
        (uploads / f"v{number}.npz").touch()
    with pytest.raises(BarkError) as caught:
        full.add("me", archive())
    assert_one_line(caught.value, str(MAX_UPLOADS), "delete one")


def test_small_upload_that_would_be_a_large_file_is_refused(
    upload_server: RunningServer, uploads: Path
) -> None:
    data = voice_bytes(1 << 20)  # a MiB unpacked, 8 MiB as Voice.save writes it
    assert len(data) < 10_000
    error = refused(upload(upload_server, data), 400)
    assert error["param"] == "file"
    assert files_under(uploads) == set()


@pytest.mark.parametrize(("tokens", "is_stored"), [(1000, True), (1001, False)])
def test_size_of_a_stored_voice_is_limited(uploads: Path, tokens: int, is_stored: bool) -> None:
    limit = stored_bytes(Voice.read(io.BytesIO(voice_bytes(1000)), name="me"))
    found = registry(uploads=folder(uploads, max_file_bytes=limit))
    if is_stored:
        found.add("me", voice_bytes(tokens))
        assert 0 < (uploads / "me.npz").stat().st_size <= limit
    else:
        with pytest.raises(BarkError) as caught:
            found.add("me", voice_bytes(tokens))
        assert_one_line(caught.value, str(limit), "--max-body-bytes", "cut the rest off")


def test_sum_of_uploads_is_limited(uploads: Path) -> None:
    size = stored_bytes(Voice.read(io.BytesIO(voice_bytes(1000)), name="me"))
    found = registry(uploads=folder(uploads, max_bytes=size))
    found.add("a", voice_bytes(1000))
    with pytest.raises(BarkError) as caught:
        found.add("b", voice_bytes(1000))
    assert_one_line(caught.value, str(size), "--max-uploads-bytes", "delete one")
    found.remove("a")
    found.add("b", voice_bytes(1000))
    assert sum(path.stat().st_size for path in uploads.iterdir()) <= size


def test_one_of_many_uploads_of_a_name_at_once_is_stored(
    upload_server: RunningServer, uploads: Path
) -> None:
    with Background(8) as background:
        answers = [background(upload, upload_server, archive()) for _ in range(16)]
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [201] + [409] * 15
    assert files_under(uploads) == {"me.npz"}


def test_server_responds_while_an_upload_is_checked(
    bark: ScriptedBark, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, has_begun = threading.Event(), threading.Event()

    def wait(voice: Any) -> None:
        has_begun.set()
        assert may_end.wait(WAIT_SECONDS)

    monkeypatch.setattr(bark, "voice", wait)
    with (
        running_server(lambda: bark, uploads=uploads) as server,
        Background(1) as background,
    ):
        try:
            uploading = background(upload, server, archive())
            assert has_begun.wait(WAIT_SECONDS)
            assert server.http.get("/health").status_code == 200
        finally:
            may_end.set()
        assert uploading.result().status_code == 201


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"noise"])
def test_error_of_a_file_names_its_field(upload_server: RunningServer, data: bytes) -> None:
    assert refused(upload(upload_server, data), 400)["param"] == "file"


def test_folder_that_cannot_be_written_is_an_error_of_the_server(
    upload_server: RunningServer, uploads: Path, log_records: list[logging.LogRecord]
) -> None:
    shutil.rmtree(uploads)
    uploads.write_bytes(b"a file, not a folder")
    try:
        error = refused(upload(upload_server, archive()), 500, "its log has the cause")
        assert str(uploads) not in error["message"]
        (logged,) = [each for each in log_records if each.levelname == "ERROR"]
        assert "Not a directory" in logged.fields["error"]  # type: ignore[attr-defined]
    finally:
        uploads.unlink()


def test_upload_of_another_checkpoint_is_refused(random_bundle: Path, uploads: Path) -> None:
    with Bark.load(random_bundle) as random_bark:
        checked = registry(check=random_bark.voice, uploads=folder(uploads))
        with pytest.raises(VoiceError) as caught:
            checked.add("me", archive(semantic_prompt=np.array([10_000])))
        checked.add("me", archive())
    assert_one_line(caught.value, "semantic_prompt holds 10000")
    assert files_under(uploads) == {"me.npz"}


def test_symbolic_links_in_the_uploads_folder_are_ignored(uploads: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.npz"
    outside.write_bytes(archive())
    linked = registry(uploads=folder(uploads))
    (uploads / "link.npz").symlink_to(outside)
    assert linked.labels() == {}
    with pytest.raises(BarkError, match="not found"):
        linked.resolve("link")
    with pytest.raises(BarkError, match="not found"):
        linked.remove("link")
    assert outside.exists()


@pytest.mark.parametrize("name", ["alloy", "v2/en_speaker_6", "v2%2Fen_speaker_6"])
def test_only_uploaded_voices_can_be_deleted(upload_server: RunningServer, name: str) -> None:
    refused(upload_server.http.delete(f"{VOICES}/{name}"), 403, "cannot be deleted")


@pytest.mark.parametrize("name", ["..%2F..%2Fme", "%2Fetc%2Fpasswd", "me%00", "..", "me.npz"])
def test_deletion_stays_inside_the_uploads_folder(
    upload_server: RunningServer, uploads: Path, name: str
) -> None:
    outside = uploads.parents[1] / "me.npz"
    outside.touch()
    response = upload_server.http.delete(f"{VOICES}/{name}")
    assert response.status_code in (404, 405)
    assert outside.exists()


def test_uploads_folder_that_cannot_be_created_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VoiceError) as caught:
        folder(tmp_path / "file" / "uploads")
    assert_one_line(caught.value, "uploads", "cannot be created")


def test_damaged_upload_is_reported_without_its_path(
    upload_server: RunningServer, uploads: Path
) -> None:
    (uploads / "bad.npz").write_bytes(b"bad")
    error = refused(upload_server.speak(voice="bad"), 400)
    assert json.dumps(str(uploads))[1:-1] not in error["message"]


def test_voice_is_seen_at_once_by_every_server_of_a_folder(
    bark: ScriptedBark, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    with (
        running_server(lambda: bark, uploads=uploads) as one,
        running_server(lambda: bark, uploads=uploads) as other,
    ):
        assert upload(one, archive(), "mine").status_code == 201
        assert "mine" in [
            each["id"] for each in other.http.get("/v1/audio/voices").json()["voices"]
        ]
        assert other.speak(voice="mine").status_code == 200
        assert other.http.delete("/v1/audio/voices/mine").status_code == 200
        assert one.speak(voice="mine").status_code == 400
