// Score on this device: the model comes once, then the page gives up its right to connect, then an image may be chosen.
import { decode, preprocess } from "/static/on_device_preprocess.js";

const main = document.getElementById("on-device");
const input = document.getElementById("file");
const drop = document.getElementById("drop");
const status = document.getElementById("status");
const spec = { size: Number(main.dataset.size), low: Number(main.dataset.low), high: Number(main.dataset.high) };

function say(words, failed = false) {
  status.textContent = words;
  status.className = failed ? "problem" : "quiet";
}

async function download(url, title) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the site answered ${response.status} instead of the ${title}`);
  const total = Number(response.headers.get("content-length"));
  const parts = [];
  let received = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    received += value.length;
    say(`Loading the ${title}: ${(received / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function open() {
  const model = await download(main.dataset.model, `model ${main.dataset.version}`);
  say("Loading the runtime");
  const ort = await import("/on-device/runtime/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const run = async (pixels) => {
    const answer = await session.run({ pixels: new ort.Tensor("uint8", pixels, [1, 1, spec.size, spec.size]) });
    return answer.scores.data;
  };
  await run(new Uint8Array(spec.size * spec.size)); // threads and memory are there before the connection goes
  return { run, threads: ort.env.wasm.numThreads };
}

/** From here on the browser itself refuses every request of this page, whoever makes it. */
function shut() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; script-src 'wasm-unsafe-eval'";
  document.head.append(policy);
}

function show(pixels, scores) {
  const canvas = document.getElementById("seen");
  canvas.width = canvas.height = spec.size;
  const picture = new ImageData(spec.size, spec.size);
  pixels.forEach((level, at) => picture.data.set([level, level, level, 255], 4 * at));
  canvas.getContext("2d").putImageData(picture, 0, 0);
  document.querySelectorAll("#scores tr").forEach((row, at) => {
    const score = scores[at];
    row.querySelector(".fill").setAttribute("width", `${(100 * score).toFixed(1)}%`);
    row.querySelector(".num").textContent = score.toFixed(2).replace(/^0/, "");
    row.querySelector(".word").textContent = row.dataset.mark && score >= Number(row.dataset.mark) ? "over its point" : "";
    row.classList.toggle("hot", Boolean(row.querySelector(".word").textContent));
  });
}

async function score(file, model) {
  const started = performance.now();
  const before = performance.getEntriesByType("resource").length;
  try {
    const pixels = preprocess(await decode(file), spec);
    const prepared = performance.now();
    const scores = await model.run(pixels);
    const ended = performance.now();
    show(pixels, scores);
    const sent = performance.getEntriesByType("resource").length - before;
    say(`${file.name}: prepared in ${Math.round(prepared - started)} ms, scored in ${Math.round(ended - prepared)} ms on ${model.threads} ${model.threads === 1 ? "thread" : "threads"}; ${sent} requests were sent`);
    main.dataset.scores = JSON.stringify([...scores]);
  } catch (error) {
    say(`${file.name}: ${error.message}`, true);
  }
}

try {
  const model = await open();
  shut();
  document.getElementById("shut").hidden = false;
  input.disabled = false;
  say("No image chosen.");
  input.addEventListener("change", () => { if (input.files.length) score(input.files[0], model); });
  for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over-it"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over-it"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files.length) score(event.dataTransfer.files[0], model); });
} catch (error) {
  say(`This browser cannot score: ${error.message}`, true);
}
