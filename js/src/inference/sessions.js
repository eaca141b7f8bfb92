/** Opens ONNX Runtime sessions and compares each graph with its contract. Knows nothing of stages. */

import { BundleError, ContractError, firstLine, ProviderError } from "../errors.js";

/** @import { InferenceSession as Session } from "onnxruntime-common" */
/** @import { GraphFiles } from "../bundle/bundle.js" */
/** @import { GraphContract, Runtime, TensorContract } from "../types.d.ts" */

/**
 * Open a graph that fulfills a contract.
 * @param {Runtime} runtime
 * @param {GraphFiles} files
 * @param {GraphContract} contract
 * @param {Session.SessionOptions} options Beyond those of the runtime.
 * @returns {Promise<Session>}
 */
export async function openSession(runtime, files, contract, options = {}) {
  let session;
  try {
    const { externalData } = files;
    const all = { ...runtime.options, ...options, ...(externalData.length ? { externalData } : {}) };
    const { InferenceSession } = runtime.ort;
    session = await (typeof files.model === "string"
      ? InferenceSession.create(files.model, all)
      : InferenceSession.create(files.model, all));
  } catch (error) {
    if (/adapter|no available backend/i.test(firstLine(error))) {
      throw new ProviderError(
        `device ${runtime.device} is not available (${firstLine(error)}); use another device`,
        { cause: error },
      );
    }
    throw new BundleError(
      `${files.where}: ONNX Runtime cannot load it (${firstLine(error)}); export the bundle again`,
      { cause: error },
    );
  }
  compare(session.inputMetadata, contract.inputs, files.where);
  compare(session.outputMetadata, contract.outputs, files.where);
  return session;
}

/**
 * @param {readonly Session.ValueMetadata[]} found
 * @param {TensorContract[]} expected
 * @param {string} where
 */
function compare(found, expected, where) {
  expected.forEach((tensor, index) => {
    const actual = found[index] ? describe(found[index]) : "nothing";
    const wanted = `${tensor.name}: ${tensor.dtype}[${axes(tensor.shape)}]`;
    if (actual !== wanted) {
      throw new ContractError(
        `${where}: found ${actual}, expected ${wanted}; export the bundle again`,
      );
    }
  });
  if (found.length !== expected.length) {
    throw new ContractError(
      `${where}: found ${found.length} inputs or outputs, expected ${expected.length}; ` +
        "export the bundle again",
    );
  }
}

/** @param {Session.ValueMetadata} value */
function describe(value) {
  if (!value.isTensor) return `${value.name}, which is not a tensor`;
  const shape = value.shape.map((axis) => (typeof axis === "number" ? axis : null));
  return `${value.name}: ${value.type}[${axes(shape)}]`;
}

/** @param {(number | null)[]} shape */
function axes(shape) {
  return shape.map((axis) => axis ?? "?").join(", ");
}
