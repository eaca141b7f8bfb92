"""Provenance with a value in every field."""

from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef

PROVENANCE = Provenance(
    software="bark-onnx 1.2.3",
    text="Hello,\nworld",
    seed=2**63,
    bundle=BundleRef(
        "bundles/größe", "suno/bark-small", "int8", "0123456789abcdef", 24_000, "cpu", "1.3"
    ),
    voice=VoiceRef("me.npz", "ab" * 32),
    speakers={"Anna": VoiceRef("v2/en_speaker_6", "cd" * 32), "Ben": None},
    generation={"semantic_temperature": 0.1 + 0.2, "semantic_top_k": 0, "fine_do_sample": True},
    stream={"history": "previous"},
    segment=3,
)
