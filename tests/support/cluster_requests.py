"""Mixed requests to a cluster: formats, voices, streams, long texts, dialogues, options."""

import hashlib
from typing import Any

import openai

SENTENCES = (
    "Hello!",
    "Good morning. How are you?",
    "The weather is warm and sunny today.",
    "I am happy to see you.",
)
FORMATS = ("wav", "mp3", "pcm", "flac", "opus", "aac")


def catalogue(voices: tuple[str, ...]) -> list[dict[str, Any]]:
    """Fifty different requests, which are short where nothing else is tried."""
    short = {"semantic_max_new_tokens": 12}
    made: list[dict[str, Any]] = []
    for number in range(50):
        fields: dict[str, Any] = {"seed": number, **short}
        request = {
            "input": SENTENCES[number % 4],
            "voice": voices[number % len(voices)],
            "response_format": FORMATS[number % 6],
            "extra_body": fields,
        }
        if number % 5 == 1:  # several segments, which all replicas say
            request["input"] = " ".join(SENTENCES)
            fields["max_seconds"] = 3
        if number % 5 == 2:
            fields |= {"sampling": "greedy", "speed": 1.25}
        if number % 5 == 3:
            request["input"] = "Anna: Hello!\nBob: Good morning.\nAnna: How are you?"
            fields["speakers"] = {"Anna": voices[0], "Bob": voices[1]}
        if number % 10 == 4:
            fields |= {"stream_format": "sse"}
        if number % 10 == 9:
            fields |= {"attempts": 2, "trim": True, "normalize_peak": 0.9, "crossfade_seconds": 0.1}
        made.append(request)
    return made


def speak(client: openai.OpenAI, request: dict[str, Any]) -> str:
    """Checksum of the whole response to a request."""
    with client.audio.speech.with_streaming_response.create(model="tts-1", **request) as response:
        digest = hashlib.sha256()
        for chunk in response.iter_bytes():
            digest.update(chunk)
        return digest.hexdigest()
