"""The specification: its code repeats the conformance kit, its tables are those of the product."""

import math
import re
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.export.checkpoints.generation import SUNO_GENERATION
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import GraphContract, graph_contract
from bark_onnx.graphs.generation_config import Sampling
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.runtime import GenerationOptions
from tests.support.kits import DEMO_KIT, has_exact_int8_products, read_array, read_kit

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "specification.md").read_text("utf-8")
CODE = re.findall(r"<!-- run -->\n```text\n(.*?)```", PAGE, re.DOTALL)
KIT = read_kit(DEMO_KIT, "kit.json")
CASES = read_kit(DEMO_KIT, "int8/cases.json")["cases"]
BARK_SMALL = ModelShapes(
    semantic=CausalShape(12, 12, 64, 1024, 129_600, 0, 10_001),
    coarse=CausalShape(12, 12, 64, 1024, 12_096, 10_000, 2_096),
    fine=FineShape(12, 12, 64, 1024, 1056, 8, 1, 1024),
    codec=CodecShape(8, 1024, 320, 24_000),
)


def single(number: float) -> float:
    return float(np.float32(number))


def program(**settings: Any) -> dict[str, Any]:
    """The code of the page, run with the settings that it reads."""
    names: dict[str, Any] = {
        "single": single,
        "floor": math.floor,
        "exp": math.exp,
        "round_half_even": round,
        "first_largest": lambda values: max(range(len(values)), key=values.__getitem__),
        **settings,
    }
    for block in CODE:
        exec(compile(block, "specification.md", "exec"), names)
    return names


def settings_of(bundle: Bundle) -> dict[str, Any]:
    generation = bundle.manifest.generation
    parts = (generation, generation.semantic, generation.coarse, generation.fine)
    return {field.name: getattr(part, field.name) for part in parts for field in fields(part)}


@dataclass
class Cache:
    """A causal stage with the rules of the section on the cache, in ONNX Runtime."""

    bundle: Bundle
    stage: Any
    length: int = 0

    def __post_init__(self) -> None:
        session = import_onnxruntime().InferenceSession
        decode = self.bundle.graph("int8", self.stage)
        prefill = self.bundle.prefill_graph("int8", self.stage)
        self.decode, self.prefill = (
            session(path, providers=["CPUExecutionProvider"]) for path in (decode, prefill)
        )
        shape = getattr(self.bundle.manifest.shapes, self.stage)
        self.null_id = shape.input_vocabulary
        size = (1, shape.num_heads, shape.context_length, shape.head_size)
        self.buffers = {
            each.name: np.zeros(size, np.float32)
            for each in self.decode.get_inputs()
            if each.name.startswith("past_key_values.")
        }

    def run(self, ids: list[int], past: int, history: list[int] | None = None) -> list[float]:
        if past == self.length > 0 and len(ids) == 1 and history is None:
            return self.part(self.decode, ids, past, None)
        parts = math.ceil(len(ids) / 300)
        bounds = [math.floor(index * len(ids) / parts) for index in range(parts + 1)]
        for begin, end in pairwise(bounds):
            added = None if history is None else history[begin:end]
            logits = self.part(self.prefill, ids[begin:end], past + begin, added)
        return logits

    def part(self, session: Any, ids: list[int], past: int, history: Any) -> list[float]:
        self.length = past + len(ids)
        inputs = {
            "input_ids": np.array([ids]),
            "position_ids": np.array([range(past, self.length)]),
            "seqlens_k": np.array([self.length - 1], np.int32),
            "total_sequence_length": np.array(self.length, np.int32),
            **self.buffers,
        }
        if self.stage == "semantic":
            inputs["history_ids"] = np.array([history or [self.null_id] * len(ids)])
        logits, *buffers = session.run(None, inputs)
        self.buffers = dict(zip(self.buffers, buffers, strict=True))
        return logits[0].tolist()


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return Bundle("demo")


@pytest.fixture(scope="module")
def caches(demo: Bundle) -> dict[str, Cache]:
    return {stage: Cache(demo, stage) for stage in ("semantic", "coarse")}


def read_voice(demo: Bundle, name: str | None) -> Any:
    if name is None:
        return None
    keys = ("semantic_prompt", "coarse_prompt", "fine_prompt")
    arrays = VoiceFile.read(demo.folder / f"voices/{name}.npz").arrays(keys)
    return SimpleNamespace(**{key: array.tolist() for key, array in arrays.items()})


def options_of(case: dict[str, Any]) -> dict[str, Any]:
    resolved = dict(case["resolved"])
    for stage in ("semantic", "coarse", "fine"):
        resolved[f"{stage}_sampling"] = SimpleNamespace(**resolved.pop(stage))
    return resolved


@pytest.mark.skipif(
    not has_exact_int8_products(),
    reason="this processor has no VNNI, and without it int8 products saturate",
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_code_of_the_page_repeats_the_kit(
    case: dict[str, Any], demo: Bundle, caches: dict[str, Cache]
) -> None:
    fine, codec = (
        import_onnxruntime().InferenceSession(
            demo.graph("int8", stage), providers=["CPUExecutionProvider"]
        )
        for stage in ("fine", "codec")
    )

    def run_fine(window: list[list[int]], book: int, frames: range) -> list[list[float]]:
        inputs = {
            "codes": np.array([window]),
            "codebook_index": np.array(book),
            "frame_indices": np.array(frames),
        }
        return fine.run(None, inputs)[0][0].tolist()

    for cache in caches.values():
        cache.length = 0
    page = program(
        **settings_of(demo),
        **options_of(case),
        null_id=demo.manifest.shapes.semantic.input_vocabulary,
        run_semantic=caches["semantic"].run,
        run_coarse=caches["coarse"].run,
        run_fine=run_fine,
    )
    generator, drawn = page["new_generator"](case["seed"]), []

    def next_uniform() -> float:
        drawn.append(page["next_double"](generator))
        return drawn[-1]

    page["next_uniform"] = next_uniform
    voice = read_voice(demo, case["voice"])
    input_ids, history_ids = page["semantic_prompt"](case["text_ids"], voice)
    assert {"input_ids": input_ids, "history_ids": history_ids} == case["prompt"]
    semantic = page["semantic_stage"](input_ids, history_ids)
    assert semantic == case["semantic_tokens"]
    coarse = page["coarse_stage"](semantic, voice)
    assert [coarse[0::2], coarse[1::2]] == case["coarse_tokens"]
    frames = [list(frame) for frame in zip(coarse[0::2], coarse[1::2], strict=True)]
    codes = page["fine_stage"](frames, voice)
    assert [list(row) for row in zip(*codes, strict=True)] == case["fine_tokens"]
    assert len(drawn) == case["uniforms"]["count"]
    assert drawn[: len(case["uniforms"]["first"])] == case["uniforms"]["first"]
    (samples,) = codec.run(None, {"codes": np.array(codes).T[None]})
    every = read_array(DEMO_KIT, case["samples"]["every_step"])
    np.testing.assert_allclose(samples[0][:: case["samples"]["step"]], every, rtol=0, atol=2e-3)


@pytest.fixture
def page(demo: Bundle) -> dict[str, Any]:
    return program(**settings_of(demo))


def test_random_numbers_of_the_page_are_those_of_numpy(page: dict[str, Any]) -> None:
    for row in KIT["random"]:
        seed = int(row["seed"])
        state = page["seed_sequence"](seed, [], 4)
        assert [f"{word:016x}" for word in state] == row["state"]
        generator = page["new_generator"](seed)
        assert [f"{page['next_word'](generator):016x}" for _ in row["outputs"]] == row["outputs"]
        generator = page["new_generator"](seed)
        assert [page["next_double"](generator) for _ in row["uniforms"]] == row["uniforms"]
    for row in KIT["segment_seeds"]:
        found = page["segment_seed"](int(row["seed"]), row["index"], row["attempt"])
        assert str(found) == row["segment_seed"]


def test_lengths_and_positions_of_the_page_are_those_of_the_kit(demo: Bundle) -> None:
    for rates in KIT["rounding"]:
        names = ("semantic_rate_hz", "coarse_rate_hz", "n_coarse_codebooks", "max_coarse_history")
        page = program(**settings_of(demo) | {name: rates[name] for name in names})
        assert page["ratio"] == rates["semantic_to_coarse_ratio"]
        assert page["max_semantic_history"] == rates["max_semantic_history"]
        for count, expected in rates["coarse_tokens"]:
            assert page["coarse_length"](count) == expected
        for generated, position in rates["window_positions"]:
            assert page["round_half_even"](generated / page["ratio"]) == position


def test_precision_of_the_coarse_length_matters() -> None:
    """As the page says: 333 tokens at 49.95 Hz."""
    (rates,) = (each for each in KIT["rounding"] if each["semantic_rate_hz"] == 49.95)
    assert [333, 1000] in rates["coarse_tokens"]
    assert math.floor(333 * rates["semantic_to_coarse_ratio"] / 2) == 499


def test_sampling_of_the_page_is_that_of_the_kit(demo: Bundle) -> None:
    for kind, rows in KIT["sampling"].items():
        for row in rows:
            sampling = SimpleNamespace(**{"do_sample": True, "top_k": 0, "top_p": 1.0} | row)
            page = program(**settings_of(demo), fine_sampling=sampling)
            generator = page["new_generator"](row["seed"])
            page["next_uniform"] = lambda page=page, generator=generator: page["next_double"](
                generator
            )
            logits, count = row["logits"], len(row["indices"])
            if kind == "codes":
                assert page["choose_codes"]([logits] * count) == row["indices"]
                continue
            kept, shares = page["distribution"](logits, sampling)
            assert kept == row["kept"]
            np.testing.assert_allclose(shares, row["probabilities"], rtol=1e-12)
            found = [page["choose_token"](logits, sampling) for _ in range(count)]
            assert found == row["indices"]


# Tables


def rows_of(section: str, page: str = PAGE) -> list[list[str]]:
    """Cells of the first table of a section, without the header."""
    text = page.split(f" {section}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    lines = table.group().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_settings_of_the_page_are_those_of_suno() -> None:
    suno = {
        "codebook_size": SUNO_GENERATION["codebook_size"],
        "sample_rate_hz": SUNO_GENERATION["sample_rate"],
        "semantic_pad_token": SUNO_GENERATION["semantic_config"]["eos_token_id"],
        **SUNO_GENERATION["semantic_config"],
        **SUNO_GENERATION["coarse_acoustics_config"],
        **SUNO_GENERATION["fine_acoustics_config"],
    }
    rows = rows_of("Settings")
    for name, _, value in rows:
        assert float(value) == suno[name.strip("`")], name
    read = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", "".join(CODE)))
    options = {field.name for field in fields(Sampling)}
    assert (read & suno.keys()) - options <= {name.strip("`") for name, *_ in rows}


def test_settings_of_the_page_lie_where_it_says(demo: Bundle) -> None:
    for name, part, _ in rows_of("Settings"):
        where: Any = demo.manifest.generation
        if part:
            where = getattr(where, part.strip("`"))
        assert hasattr(where, name.strip("`")), name


def test_options_of_the_page_are_those_of_the_library() -> None:
    named = {name for row in rows_of("Options") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == {field.name for field in fields(GenerationOptions)}


def test_sampling_of_suno_is_that_of_the_library() -> None:
    given = {
        name: value for name, value in vars(GenerationOptions.suno()).items() if value is not None
    }
    (case,) = (case for case in CASES if case["name"] == "suno")
    assert {key: case["options"][key] for key in given} == given


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine", "codec"])
def test_inputs_and_outputs_of_the_graphs_page_are_those_of_the_contract(stage: Any) -> None:
    page = (DOCS / "graphs.md").read_text("utf-8")
    contract = graph_contract(stage, BARK_SMALL, "fused")
    described = {}
    for way, names, form, _ in rows_of(f"{stage}.onnx", page):
        for name in expand(names):
            described[way, name] = form
    expected = {
        (way, re.sub(r"\.\d+\.", ".N.", tensor.name)): shape_of(tensor)
        for way, tensors in (("in", contract.inputs), ("out", contract.outputs))
        for tensor in tensors
    }
    assert described.keys() == expected.keys()
    for key, form in described.items():
        assert form in ("", expected[key]), key
    check_ids(page, stage, contract)


def expand(names: str) -> list[str]:
    """`a.N.key`, `.value` are a.N.key and a.N.value; `a.N.*` are the same."""
    found: list[str] = []
    for name in re.findall(r"`([^`]+)`", names):
        if name.startswith("."):
            found.append(found[-1].rpartition(".")[0] + name)
        elif name.endswith(".*"):
            found += [name[:-1] + part for part in ("key", "value")]
        else:
            found.append(name)
    return found


def shape_of(tensor: Any) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def check_ids(page: str, stage: str, contract: GraphContract) -> None:
    """Numbers in the meanings of the contract are those of the page."""
    section = page.split(f"### {stage}.onnx", 1)[1].split("\n##", 1)[0]
    for tensor in (*contract.inputs, *contract.outputs):
        if "past_key" in tensor.name or "present" in tensor.name:
            continue
        if f"`{tensor.name}`, `" in section:  # described for another stage
            continue
        numbers = re.findall(r"\d{2,}", tensor.meaning)
        assert all(number in section for number in numbers), tensor
