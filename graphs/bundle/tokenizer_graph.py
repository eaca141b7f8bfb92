"""Contract of tokenizer.onnx, which an export writes on request."""

from bark_onnx.graphs.contract import (
    CONTRACT_VERSION,
    HISTORY_IDS,
    INPUT_IDS,
    POSITION_IDS,
    GraphContract,
)
from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.tensor_contract import TensorContract

TEXT = "text"
TEXT_TOKENS = "text_tokens"


def tokenizer_contract(settings: SemanticSettings, shape: CausalShape) -> GraphContract:
    """Inputs and outputs of the graph; the outputs are inputs of semantic.onnx, by their names.

    Args:
        settings: Semantic settings of the checkpoint.
        shape: Shape of the semantic transformer.
    """
    prompt, most = (1, settings.prompt_length), settings.max_input_semantic_length
    return GraphContract(
        CONTRACT_VERSION,
        "tokenizer",
        "none",
        inputs=(TensorContract(TEXT, "string", (1,), "a text in UTF-8"),),
        outputs=(
            TensorContract(
                INPUT_IDS,
                "int64",
                prompt,
                f"prompt of semantic.onnx: ids of the text plus {settings.text_encoding_offset}, "
                f"{settings.text_pad_token} up to {most} ids, then {settings.semantic_infer_token}",
            ),
            TensorContract(
                HISTORY_IDS,
                "int64",
                prompt,
                f"history of semantic.onnx without a voice; the last {most} semantic tokens of a "
                "voice replace its beginning",
            ),
            TensorContract(POSITION_IDS, "int64", prompt, f"0 to {most}"),
            TensorContract(
                TEXT_TOKENS,
                "int64",
                (),
                f"ids of the text: 0 if nothing can be spoken; those beyond {most} are cut off",
            ),
        ),
    )
