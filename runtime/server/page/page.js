// Requests raw samples, plays and draws them as they arrive, and offers them as a WAV file.

const RATE_HZ = 24000;
const WAV_HEADER_BYTES = 44;

const find = (id) => document.getElementById(id);
const seconds = (value) => `${value.toFixed(2)} s`;

let running = null; // AbortController of the current request
let audioContext = null;
let playback = null; // Playback of the current request
let fileUrl = null; // object URL of the finished file

function headers() {
  const key = find("key").value;
  return key ? { authorization: `Bearer ${key}` } : {};
}

function showStatus(message, isError = false) {
  find("status").textContent = message;
  find("status").classList.toggle("error", isError);
}

async function errorMessage(response) {
  if (response.status === 401) {
    const given = find("key").value;
    find("key-box").hidden = false;
    find("key").focus();
    return given ? "This API key is not valid. Enter another one." : "This server needs an API key. Enter it above.";
  }
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server responded with status ${response.status}`;
  }
}

async function loadVoices() {
  const response = await fetch("v1/audio/voices", { headers: headers() });
  if (!response.ok) {
    showStatus(await errorMessage(response), true);
    return;
  }
  const chosen = find("voice").value;
  const { voices } = await response.json();
  const options = voices.map(({ id, name }) => new Option(name, id));
  find("voice").replaceChildren(new Option("The model chooses", ""), ...options);
  find("voice").value = chosen;
  showStatus("");
}

// A seed as an integer in JSON: numbers of JavaScript are rounded from 2^53 on.
function withSeed(json, seed) {
  return /^\d+$/.test(seed) ? json.replace(/}$/, `,"seed":${BigInt(seed)}}`) : json;
}

function requestBody() {
  const body = { input: find("text").value, response_format: "pcm", stream_format: "audio" };
  if (find("voice").value) body.voice = find("voice").value;
  const seed = find("seed").value;
  if (seed && !/^\d+$/.test(seed)) body.seed = Number(seed);
  if (find("temperature").value) body.temperature = Number(find("temperature").value);
  return withSeed(JSON.stringify(body), seed);
}

// Samples of a stream whose chunks may end in the middle of a sample.
async function* samplesOf(stream) {
  const reader = stream.getReader();
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(rest.length + value.length);
    bytes.set(rest);
    bytes.set(value, rest.length);
    const whole = bytes.length - (bytes.length % 2);
    rest = bytes.slice(whole);
    const view = new DataView(bytes.buffer, 0, whole);
    yield Float32Array.from({ length: whole / 2 }, (_, i) => view.getInt16(2 * i, true) / 32768);
  }
}

// Schedules parts one after the other, without gaps while they arrive in time.
class Playback {
  constructor() {
    audioContext ??= new AudioContext();
    audioContext.resume();
    this.next = 0;
    this.sources = [];
  }

  add(samples) {
    if (!samples.length) return;
    const buffer = audioContext.createBuffer(1, samples.length, RATE_HZ);
    buffer.copyToChannel(samples, 0);
    const source = audioContext.createBufferSource();
    source.buffer = buffer;
    source.connect(audioContext.destination);
    this.next = Math.max(this.next, audioContext.currentTime + 0.05);
    source.start(this.next);
    this.next += buffer.duration;
    this.sources.push(source);
  }

  stop() {
    for (const source of this.sources) source.stop();
  }
}

function draw(parts) {
  const canvas = find("waveform");
  const context = canvas.getContext("2d");
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const peaks = new Float32Array(canvas.width);
  let index = 0;
  for (const part of parts) {
    for (const sample of part) {
      const column = Math.floor((index++ / count) * canvas.width);
      peaks[column] = Math.max(peaks[column], Math.abs(sample));
    }
  }
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas).color;
  peaks.forEach((peak, column) => {
    const height = Math.max(1, peak * canvas.height);
    context.fillRect(column, (canvas.height - height) / 2, 1, height);
  });
}

function wavOf(parts) {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const view = new DataView(new ArrayBuffer(WAV_HEADER_BYTES + 2 * count));
  const write = (offset, text) => [...text].forEach((c, i) => view.setUint8(offset + i, c.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, WAV_HEADER_BYTES - 8 + 2 * count, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, 2 * RATE_HZ, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  write(36, "data");
  view.setUint32(40, 2 * count, true);
  let offset = WAV_HEADER_BYTES;
  for (const part of parts) {
    for (const sample of part) {
      view.setInt16(offset, Math.round(sample * 32768), true);
      offset += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

function offerFile(parts) {
  if (fileUrl) URL.revokeObjectURL(fileUrl);
  fileUrl = URL.createObjectURL(wavOf(parts));
  find("player").src = fileUrl;
  find("download").href = fileUrl;
  find("download").hidden = false;
}

function showTimes({ count, first, total }) {
  const audio = count / RATE_HZ;
  find("audio-seconds").textContent = seconds(audio);
  find("first-seconds").textContent = seconds(first);
  find("total-seconds").textContent = seconds(total);
  find("factor").textContent = audio ? (total / audio).toFixed(2) : "–";
}

async function receive(response, started) {
  const parts = [];
  let count = 0;
  let first = null;
  for await (const samples of samplesOf(response.body)) {
    first ??= (performance.now() - started) / 1000;
    parts.push(samples);
    count += samples.length;
    playback.add(samples);
    find("result").hidden = false;
    draw(parts);
    showTimes({ count, first, total: (performance.now() - started) / 1000 });
    showStatus(`Generating: ${seconds(count / RATE_HZ)} so far`);
  }
  offerFile(parts);
  showStatus(`Done: ${seconds(count / RATE_HZ)} of audio`);
}

async function speak() {
  running?.abort();
  const controller = (running = new AbortController());
  const current = (playback = new Playback());
  controller.signal.addEventListener("abort", () => current.stop());
  find("stop").disabled = false;
  find("download").hidden = true;
  find("player").pause();
  showStatus("Waiting …");
  const started = performance.now();
  try {
    const response = await fetch("v1/audio/speech", {
      method: "POST",
      headers: { ...headers(), "content-type": "application/json" },
      body: requestBody(),
      signal: controller.signal,
    });
    if (response.ok) {
      find("used-seed").textContent = response.headers.get("x-bark-seed");
      await receive(response, started);
    } else {
      showStatus(await errorMessage(response), true);
    }
  } catch (error) {
    if (running === controller) showStatus(controller.signal.aborted ? "Stopped" : `Interrupted: ${error.message}`, !controller.signal.aborted);
  } finally {
    if (running === controller) find("stop").disabled = true;
  }
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  speak();
});
find("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("form").requestSubmit();
});
find("stop").addEventListener("click", () => running?.abort());
find("player").addEventListener("play", () => playback?.stop());
find("key").addEventListener("change", loadVoices);
loadVoices();
