"""Voices: their names, other names for them, uploads, and what an upload must not do."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from bark_onnx.graphs.errors import BarkError, OptionsError, VoiceError
from bark_onnx.runtime import Bark, Voice
from bark_onnx.runtime.server.settings import MAX_UPLOADS
from bark_onnx.runtime.server.voices import OPENAI_VOICES, VoiceRegistry, read_aliases
from tests.runtime.server.conftest import Running, running
from tests.runtime.server.test_speech import refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark

VOICES = "/v1/audio/voices"


def archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    codes = np.arange(80).reshape(8, 10)
    usual = {"semantic_prompt": np.arange(20), "coarse_prompt": codes[:2], "fine_prompt": codes}
    np.savez(file, **{**usual, **arrays})
    return file.getvalue()


def book(names: list[str] | None = None, **settings: Any) -> VoiceRegistry:
    usual: dict[str, Any] = {"check": lambda voice: None, "aliases": {}, "uploads": None}
    return VoiceRegistry(names or [], **{**usual, **settings})


def upload(served: Running, data: bytes, name: str = "me", file: str = "me.npz") -> httpx2.Response:
    return served.http.post(VOICES, data={"name": name}, files={"file": (file, data)})


@pytest.fixture(scope="module")
def shared_uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "deep" / "uploads"


@pytest.fixture(scope="module")
def shared_taking(shared_bark: ScriptedBark, shared_uploads: Path) -> Iterator[Running]:
    with running(lambda: shared_bark, uploads=shared_uploads) as found:
        yield found


@pytest.fixture
def uploads(shared_uploads: Path) -> Path:
    """The folder of uploads, empty."""
    shutil.rmtree(shared_uploads.parents[1], ignore_errors=True)
    shared_uploads.mkdir(parents=True)
    return shared_uploads


@pytest.fixture
def taking(shared_taking: Running, bark: ScriptedBark, uploads: Path) -> Running:
    """A server that takes uploads."""
    return shared_taking


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Names


def test_all_voices_are_listed_but_those_that_would_be_read_as_a_path(served: Running) -> None:
    entries = served.http.get(VOICES).json()["voices"]
    assert all(set(entry) == {"id", "name", "language"} for entry in entries)
    ids = [entry["id"] for entry in entries]
    assert ids == [*OPENAI_VOICES, "v2/en_speaker_0", "v2/en_speaker_6"]
    assert entries[0] == {"id": "alloy", "name": "alloy (v2/en_speaker_6)", "language": "en"}
    assert entries[-1] == {"id": "v2/en_speaker_6", "name": "v2/en_speaker_6", "language": "en"}


def test_openais_names_stand_for_the_bundles_voices_where_sunos_are_missing() -> None:
    names = book(["one", "two", "alloy"], aliases=None).names()
    assert names["ash"] == "ash (two)"
    assert names["ballad"] == "ballad (alloy)"
    assert names["coral"] == "coral (one)"
    assert names["alloy"] == "alloy"
    assert book([], aliases=None).names()["alloy"] == "alloy (the model chooses)"


@pytest.mark.parametrize("voice", ["mine", {"id": "mine"}, "v2/en_speaker_0"])
def test_a_request_names_its_voice(bark: ScriptedBark, voice: Any) -> None:
    with running(lambda: bark, aliases={"mine": "v2/en_speaker_0", "any": None}) as served:
        assert served.say(voice=voice).status_code == 200
        assert bark.jobs[-1].voice.name == "v2/en_speaker_0"
        assert served.say(voice="any").status_code == 200
        assert bark.jobs[-1].voice is None
        refused(served.say(voice="alloy"), 400, "'alloy' not found")


@pytest.mark.parametrize(
    ("voice", "spoken"),
    [("english", "v2/en_speaker_6"), ("EN", "v2/en_speaker_6"), ("en-0", "v2/en_speaker_0")],
)
def test_a_request_may_name_a_language(
    served: Running, bark: ScriptedBark, voice: str, spoken: str
) -> None:
    assert served.say(voice=voice).status_code == 200
    assert bark.jobs[-1].voice.name == spoken


@pytest.mark.parametrize(
    ("voice", "words"),
    [("german", "no German voice"), ("en-3", "no v2/en_speaker_3"), ("klingon", "not found")],
)
def test_a_language_without_a_voice_is_one_line(served: Running, voice: str, words: str) -> None:
    error = refused(served.say(voice=voice), 400, words)
    assert (error["code"], error["param"]) == ("voice_not_found", "voice")


def test_an_alias_may_stand_for_a_language(bark: ScriptedBark) -> None:
    with running(lambda: bark, aliases={"narrator": "english"}) as served:
        assert served.say(voice="narrator").status_code == 200
        assert bark.jobs[-1].voice.name == "v2/en_speaker_6"
        entry = served.http.get(VOICES).json()["voices"][0]
    assert entry == {"id": "narrator", "name": "narrator (english)", "language": "en"}
    with pytest.raises(VoiceError) as caught:
        book(["v2/en_speaker_0"], aliases={"narrator": "german"})
    assert_one_line(caught.value, '"german"', "no German voice")


def test_an_upload_that_is_called_like_a_language_wins(
    taking: Running, bark: ScriptedBark, uploads: Path
) -> None:
    assert upload(taking, archive(), name="english").status_code == 201
    assert taking.say(voice="english").status_code == 200
    assert isinstance(bark.jobs[-1].voice, Voice)


def test_an_alias_table_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "voices.json"
    path.write_text('{"alloy": "v2/en_speaker_6", "any": null}', encoding="utf-8")
    assert read_aliases(path) == {"alloy": "v2/en_speaker_6", "any": None}


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "not JSON"), ("[]", "an object"), ('{"a": 1}', "'a' is 1"), (b"\xff", "not JSON")],
)
def test_a_bad_alias_table_is_one_line(tmp_path: Path, text: str | bytes, word: str) -> None:
    path = tmp_path / "voices.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OptionsError) as caught:
        read_aliases(path)
    assert_one_line(caught.value, str(path), word)


def test_a_missing_alias_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        read_aliases(tmp_path / "none.json")
    assert_one_line(caught.value, "none.json", "cannot be read")


@pytest.mark.parametrize(
    ("aliases", "words"), [({"a": "nobody"}, ("'a'", "'nobody'")), ({"one": None}, ("hides",))]
)
def test_an_alias_must_stand_for_a_voice_and_hide_none(
    aliases: dict[str, str | None], words: tuple[str, ...]
) -> None:
    with pytest.raises(OptionsError) as caught:
        book(["one"], aliases=aliases)
    assert_one_line(caught.value, *words)


# Uploads


def test_uploads_are_off_unless_asked_for(served: Running) -> None:
    assert refused(upload(served, archive()), 403, "--uploads")["code"] == "uploads_off"
    refused(served.http.delete(f"{VOICES}/me"), 403, "--uploads")


def test_an_uploaded_voice_speaks_until_it_is_deleted(
    taking: Running, bark: ScriptedBark, uploads: Path
) -> None:
    response = upload(taking, archive())
    me = {"id": "me", "name": "me", "language": None}
    assert (response.status_code, response.json()) == (201, me)
    assert files_under(uploads) == {"me.npz"}
    assert me in taking.http.get(VOICES).json()["voices"]
    assert taking.say(voice="me").status_code == 200
    assert isinstance(bark.jobs[0].voice, Voice)
    np.testing.assert_array_equal(bark.jobs[0].voice.semantic_prompt, np.arange(20))
    deleted = taking.http.delete(f"{VOICES}/me")
    assert deleted.json() == {"id": "me", "object": "voice", "deleted": True}
    assert files_under(uploads) == set()
    refused(taking.say(voice="me"), 400, "'me' not found")
    refused(taking.http.delete(f"{VOICES}/me"), 404, "'me' not found")


def test_what_is_kept_is_only_what_a_voice_is(taking: Running, uploads: Path) -> None:
    data = io.BytesIO(archive())
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("../../evil.npy", b"evil")
        file.writestr("evil.py", b"evil")
    assert upload(taking, data.getvalue()).status_code == 201
    with zipfile.ZipFile(uploads / "me.npz") as file:
        assert set(file.namelist()) == {
            f"{key}_prompt.npy" for key in ("semantic", "coarse", "fine")
        }
    assert files_under(uploads.parents[1]) == {"deep/uploads/me.npz"}


@pytest.mark.parametrize(
    "name",
    ["", "../me", "/tmp/me", "a/b", "a\\b", "me.npz", ".me", "me\n", "me\0", "C:me", "é", "a" * 65],
)
def test_a_name_that_is_no_plain_word_is_refused(taking: Running, uploads: Path, name: str) -> None:
    refused(upload(taking, archive(), name=name), 400)
    assert files_under(uploads.parents[1]) == set()


def test_the_name_of_the_file_does_not_matter(taking: Running, uploads: Path) -> None:
    assert upload(taking, archive(), file="../../../etc/passwd").status_code == 201
    assert files_under(uploads.parents[1]) == {"deep/uploads/me.npz"}


@pytest.mark.parametrize("name", ["alloy", "ALLOY", "me", "Me"])
def test_a_name_that_is_taken_is_refused(taking: Running, name: str) -> None:
    assert upload(taking, archive()).status_code == 201
    refused(upload(taking, archive(), name=name), 409, "exists")


class Evil:
    """Makes a file when it is unpickled."""

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
    """An array that says it has a million million tokens."""
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
def test_what_is_no_voice_is_refused(
    taking: Running, uploads: Path, tmp_path: Path, kind: str
) -> None:
    evil = Evil(tmp_path / "evil")
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
    error = refused(upload(taking, data), 400)
    assert str(uploads) not in error["message"]
    assert not (tmp_path / "evil").exists()
    assert files_under(tmp_path) == set()


def test_an_upload_that_is_too_long_is_refused(bark: ScriptedBark, uploads: Path) -> None:
    with running(lambda: bark, uploads=uploads, max_body_bytes=1000) as served:
        refused(upload(served, archive()), 413, "1000 bytes")
    assert files_under(uploads) == set()


def test_there_is_an_end_to_uploads(uploads: Path) -> None:
    full = book(uploads=uploads)
    for number in range(MAX_UPLOADS):
        (uploads / f"v{number}.npz").touch()
    with pytest.raises(BarkError) as caught:
        full.add("me", archive())
    assert_one_line(caught.value, str(MAX_UPLOADS), "delete one")


def test_a_voice_of_another_checkpoint_is_refused(demo_bundle: Path, uploads: Path) -> None:
    with Bark.load(demo_bundle) as demo:
        checked = book(check=demo.voice, uploads=uploads)
        with pytest.raises(VoiceError) as caught:
            checked.add("me", archive(semantic_prompt=np.array([10_000])))
        checked.add("me", archive())
    assert_one_line(caught.value, "semantic_prompt holds 10000")
    assert files_under(uploads) == {"me.npz"}


def test_a_link_in_the_uploads_folder_is_no_voice(uploads: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.npz"
    outside.write_bytes(archive())
    linked = book(uploads=uploads)
    (uploads / "link.npz").symlink_to(outside)
    assert linked.names() == {}
    with pytest.raises(BarkError, match="not found"):
        linked.resolve("link")
    with pytest.raises(BarkError, match="not found"):
        linked.remove("link")
    assert outside.exists()


@pytest.mark.parametrize("name", ["alloy", "v2/en_speaker_6", "v2%2Fen_speaker_6"])
def test_only_uploaded_voices_can_go(taking: Running, name: str) -> None:
    refused(taking.http.delete(f"{VOICES}/{name}"), 403, "only uploaded ones")


@pytest.mark.parametrize("name", ["..%2F..%2Fme", "%2Fetc%2Fpasswd", "me%00", "..", "me.npz"])
def test_deleting_reaches_nothing_else(taking: Running, uploads: Path, name: str) -> None:
    outside = uploads.parents[1] / "me.npz"
    outside.touch()
    response = taking.http.delete(f"{VOICES}/{name}")
    assert response.status_code in (404, 405)
    assert outside.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VoiceError) as caught:
        book(uploads=tmp_path / "file" / "uploads")
    assert_one_line(caught.value, "uploads", "cannot be made")


def test_a_damaged_upload_is_the_servers_to_tell(taking: Running, uploads: Path) -> None:
    (uploads / "bad.npz").write_bytes(b"bad")
    error = refused(taking.say(voice="bad"), 400)
    assert json.dumps(str(uploads))[1:-1] not in error["message"]
