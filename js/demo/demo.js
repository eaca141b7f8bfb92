/**
 * Says a text with a bundle in this browser. `?bundle=ADDRESS` names another bundle than the demo's,
 * and `?options=JSON` adds options of `speak`.
 */

import { Bark, BarkError } from "bark-onnx";

/** @import { Bark as LoadedBark, SpeakOptions, Speech } from "../index.d.ts" */

const DRAW_MILLISECONDS = 100; // between two drawings of the status

const parameters = new URLSearchParams(location.search);
const address = parameters.get("bundle") ?? "../../graphs/demo/";
/** @type {SpeakOptions} */
const extraOptions = JSON.parse(parameters.get("options") ?? "{}");

/**
 * @template {HTMLElement} [Kind=HTMLInputElement]
 * @param {string} id
 * @returns {Kind}
 */
const find = (id) => /** @type {Kind} */ (document.getElementById(id));

/** @type {LoadedBark | undefined} */
let bark;
let aborter = new AbortController();

/** Load the bundle on the chosen device. */
async function load() {
  find("speak").disabled = true;
  show("Loading…");
  await bark?.close();
  bark = undefined;
  bark = await Bark.load(new URL(address, location.href), {
    device: find("device").value,
    onWarning: (message) => console.info(message),
  });
  const voice = find("voice");
  const names = bark.voices.map((name) => new Option(name, name, false, name === voice.value));
  voice.replaceChildren(new Option("The model chooses", ""), ...names);
  find("speak").disabled = false;
  show(`Ready: ${bark.precision} on ${bark.device}`);
}

async function speak() {
  if (!bark) return;
  aborter = new AbortController();
  find("speak").disabled = find("device").disabled = true;
  find("stop").disabled = false;
  const begin = performance.now();
  try {
    const speech = await bark.speak(find("text").value, {
      voice: find("voice").value || null,
      seed: find("seed").value ? BigInt(find("seed").value) : null,
      onProgress: progress(),
      signal: aborter.signal,
      ...extraOptions,
    });
    present(speech);
    const seconds = (performance.now() - begin) / 1000;
    show(`Done: ${speech.seconds.toFixed(2)} s of sound in ${seconds.toFixed(1)} s`);
  } finally {
    find("speak").disabled = find("device").disabled = false;
    find("stop").disabled = true;
  }
}

/** A callback that shows the progress, and lets the browser draw the page now and then. */
function progress() {
  let drawn = 0;
  return async (/** @type {string} */ stage, /** @type {number} */ done, /** @type {number} */ total) => {
    if (performance.now() - drawn < DRAW_MILLISECONDS) return;
    show(`Speaking: ${stage} ${done} of at most ${total}`);
    await new Promise((resolve) => setTimeout(resolve));
    drawn = performance.now();
  };
}

/** @param {Speech} speech */
function present(speech) {
  const address = URL.createObjectURL(new Blob([speech.toWav()], { type: "audio/wav" }));
  const player = find("player");
  URL.revokeObjectURL(player.src);
  player.src = address;
  /** @type {HTMLAnchorElement} */ (find("download")).href = address;
  find("tokens").textContent = JSON.stringify({
    seed: String(speech.seed),
    semantic: [...speech.semanticTokens],
    coarse: speech.coarseTokens.map((codes) => [...codes]),
    fine: speech.fineTokens.map((codes) => [...codes]),
  });
  find("result").hidden = false;
}

/**
 * @param {string} message
 * @param {boolean} isError
 */
function show(message, isError = false) {
  find("status").textContent = message;
  find("status").classList.toggle("error", isError);
}

/** @param {() => Promise<void>} run */
async function guarded(run) {
  try {
    await run();
  } catch (error) {
    if (aborter.signal.aborted && error === aborter.signal.reason) return show("Stopped");
    show(error instanceof Error ? error.message : String(error), true);
    if (!(error instanceof BarkError)) throw error;
  }
}

/** Offer WebGPU where the browser has an adapter. */
async function offerDevices() {
  const adapter = await /** @type {any} */ (navigator).gpu?.requestAdapter();
  /** @type {any} */ (document.querySelector("option[value=webgpu]")).disabled = !adapter;
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(speak);
});
find("stop").addEventListener("click", () => aborter.abort());
find("device").addEventListener("change", () => guarded(load));
await guarded(async () => {
  await offerDevices();
  await load();
});
