"""Suno's generation settings, and sizes of sub-models small enough for graphs by hand."""

from bark_onnx.graphs.generation_config import (
    CoarseSettings,
    FineSettings,
    GenerationSettings,
    Sampling,
    SemanticSettings,
)
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes

_SAMPLING = Sampling(do_sample=True, temperature=0.7, top_k=50, top_p=1.0)

SETTINGS = GenerationSettings(
    semantic=SemanticSettings(
        sampling=_SAMPLING,
        max_new_tokens=768,
        text_encoding_offset=10_048,
        text_pad_token=129_595,
        semantic_pad_token=10_000,
        semantic_infer_token=129_599,
        semantic_vocab_size=10_000,
        max_input_semantic_length=256,
        semantic_rate_hz=49.9,
    ),
    coarse=CoarseSettings(
        sampling=_SAMPLING,
        coarse_semantic_pad_token=12_048,
        coarse_infer_token=12_050,
        coarse_rate_hz=75.0,
        n_coarse_codebooks=2,
        max_coarse_input_length=256,
        max_coarse_history=630,
        sliding_window_len=60,
    ),
    fine=FineSettings(
        temperature=0.5,
        max_fine_history_length=512,
        max_fine_input_length=1024,
        n_fine_codebooks=8,
    ),
    codebook_size=1024,
    sample_rate_hz=24_000,
)

SHAPES = ModelShapes(
    semantic=CausalShape(
        num_layers=1,
        num_heads=2,
        head_size=4,
        context_length=1024,
        input_vocabulary=129_600,
        first_logit_id=0,
        num_logits=10_001,
    ),
    coarse=CausalShape(
        num_layers=2,
        num_heads=2,
        head_size=4,
        context_length=1024,
        input_vocabulary=12_096,
        first_logit_id=10_000,
        num_logits=2_096,
    ),
    fine=FineShape(
        num_layers=1,
        num_heads=2,
        head_size=4,
        context_length=1024,
        input_vocabulary=1056,
        num_codebooks=8,
        num_given_codebooks=2,
        num_logits=1024,
    ),
    codec=CodecShape(
        num_codebooks=8, codebook_size=1024, samples_per_frame=320, sample_rate_hz=24_000
    ),
)
