"""Bundles as earlier versions wrote them, with contract 1 or 2."""

from pathlib import Path

import onnx

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.contract import METADATA_KEY, STAGES, graph_contract
from bark_onnx.graphs.precisions import float_dtype
from tests.support.manifests import rewrite_manifest


def use_contract(folder: Path, version: int) -> None:
    """Change the graphs and the manifest of a bundle to those of an earlier contract."""
    bundle = Bundle(folder)
    manifest = bundle.manifest
    paths = []
    for precision in manifest.precisions:
        for stage in STAGES:
            contract = graph_contract(
                stage,
                manifest.shapes,
                bundle.attention,
                float_dtype=float_dtype(precision),
                version=version,
            )
            graphs = (bundle.graph(precision, stage), bundle.prefill_graph(precision, stage))
            for path in filter(None, graphs):
                model = onnx.load(path, load_external_data=False)
                names = [tensor.name for tensor in contract.outputs]
                kept = [value for value in model.graph.output if value.name in names]
                del model.graph.output[:]
                model.graph.output.extend(kept)
                for values, tensors in (
                    (model.graph.input, contract.inputs),
                    (model.graph.output, contract.outputs),
                ):
                    for value, tensor in zip(values, tensors, strict=True):
                        value.CopyFrom(
                            onnx.helper.make_tensor_value_info(
                                tensor.name,
                                onnx.helper.np_dtype_to_tensor_dtype(tensor.numpy_dtype),
                                tensor.shape,
                            )
                        )
                onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
                path.write_bytes(model.SerializeToString())
                paths.append(path)

    def change(data: dict[str, object]) -> None:
        records = {path.relative_to(folder).as_posix(): vars(hash_file(path)) for path in paths}
        data["contract_version"] = version
        data["files"] = {**data["files"], **records}  # type: ignore[dict-item]

    rewrite_manifest(folder, change)
