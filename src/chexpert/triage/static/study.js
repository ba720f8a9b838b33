// Answers: one key per finding. What is sent is what the reader says is there, never whether the model was right.
"use strict";

const study = document.getElementById("study");
const list = document.getElementById("list");
const rows = [...list.children];
const signButton = document.getElementById("sign");
const base = `/api/studies/${study.dataset.study}`;
const who = { reader: study.dataset.reader, role: study.dataset.role };
const WORDS = { p: "present", n: "absent", u: "uncertain", s: "skipped" };
let current = 0;
let armed = null;
let writable = false;
let pending = Promise.resolve();

function paint(row) {
  const word = row.dataset.answer;
  row.querySelectorAll(".ans button").forEach((one) => one.setAttribute("aria-pressed", one.dataset.word === word));
  row.querySelector(".given").textContent = word ? (word === "skipped" ? "skipped" : `you: ${word}`) : "";
  const said = rows.filter((one) => one.dataset.answer && one.dataset.answer !== "skipped").length;
  document.getElementById("answered").textContent = `${said} of 14 answered`;
}

function choose(number) {
  rows[current].classList.remove("cur");
  rows[current].setAttribute("aria-selected", "false");
  current = Math.max(0, Math.min(rows.length - 1, number));
  rows[current].classList.add("cur");
  rows[current].setAttribute("aria-selected", "true");
  rows[current].scrollIntoView({ block: "nearest" });
}

function complain(error) {
  document.getElementById("answered").textContent = error.message;
  document.getElementById("answered").className = "bad";
}

/** Answers go one after the other, so that the last key pressed is the last one stored. */
function answer(row, word) {
  if (!writable || !word) return;
  disarm();
  const before = row.dataset.answer;
  row.dataset.answer = word;
  paint(row);
  pending = pending.then(() => send(`${base}/answers`, { ...who, answers: { [row.dataset.observation]: word } }))
    .catch((error) => { row.dataset.answer = before; paint(row); complain(error); });
}

function disarm() {
  clearTimeout(armed);
  armed = null;
  signButton.classList.remove("armed");
  signButton.firstChild.data = "Sign ";
}

/** Twice: a single key must not close a study by accident. */
async function sign() {
  if (!writable) return;
  if (armed === null) {
    signButton.classList.add("armed");
    signButton.firstChild.data = "Sign now? ";
    armed = setTimeout(disarm, 4000);
    return;
  }
  disarm();
  await close("sign", {});
}

async function close(how, more) {
  await pending;
  try {
    await send(`${base}/${how}`, { ...who, ...more });
    writable = false;
    location.href = "/";
  } catch (error) { complain(error); }
}

/** An image counts as opened once it is on the screen; the first one takes the study for this reader. */
async function opened(image, takeOver = false) {
  if (!who.reader || image.hidden || image.dataset.opened) return;
  try {
    const answer = await send(`${base}/open`, { ...who, image: image.dataset.sha256, take_over: takeOver });
    image.dataset.opened = "yes";
    writable = Boolean(study.dataset.waiting);
    document.getElementById("locked").hidden = true;
    if (writable) document.getElementById("state").textContent = ` · ${answer.state} · you`;
  } catch (error) {
    if (error.status !== 409) return complain(error);
    const locked = document.getElementById("locked");
    locked.querySelector("p").textContent = error.message.split(":")[0].replace(/^study \S+ is/, "It is") + ".";
    locked.hidden = false;
  }
}

/** Without its image a study is not this reader's, and takes no answers. */
function unseen() {
  const problem = document.getElementById("image-problem");
  problem.textContent = "The image could not be shown, so the study was not opened. Reload the page, or tell whoever keeps the images.";
  problem.hidden = false;
}

for (const image of viewer.images) {
  const seen = () => {
    if (image.complete && image.naturalWidth) opened(image);
    else if (image.complete) unseen();
  };
  image.addEventListener("load", seen);
  image.addEventListener("error", unseen);
  new MutationObserver(seen).observe(image, { attributeFilter: ["hidden"] });
  seen();
}

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const key = event.key.toLowerCase();
  const row = rows[current];
  if (event.shiftKey && key.startsWith("arrow")) return;
  if (key === "j" || key === "arrowdown") choose(current + 1);
  else if (key === "k" || key === "arrowup") choose(current - 1);
  else if (key === "a" || key === "d") {
    answer(row, row.querySelector(`[data-key=${key}]`)?.dataset.word);
    if (row.dataset.said) choose(current + 1);
  } else if (key in WORDS) { answer(row, WORDS[key]); choose(current + 1); }
  else if (key === "enter" && (event.target === signButton || !event.target.closest("a, button, summary"))) sign();
  else if (key === "m") moveThis();
  else if (key === "escape" && armed === null) location.href = "/";
  else if (key === "escape") disarm();
  else return;
  event.preventDefault();
});
list.addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row) return;
  choose(rows.indexOf(row));
  const button = event.target.closest("button");
  if (button) { answer(row, button.dataset.word); button.blur(); }
});
const moveThis = () => { if (study.dataset.waiting) move(study.dataset.study, document.querySelector(".top h1").textContent); };
document.getElementById("move").addEventListener("click", moveThis);
signButton.addEventListener("click", sign);
document.getElementById("take-over").addEventListener("click", () => opened(viewer.current(), true));
const rejecting = document.getElementById("rejecting");
document.getElementById("reject").addEventListener("click", () => { if (writable) rejecting.showModal(); });
rejecting.addEventListener("close", () => {
  const reason = document.getElementById("reason").value.trim();
  if (rejecting.returnValue === "reject" && reason) close("reject", { reason });
  rejecting.returnValue = "";
});
rows.forEach(paint);
choose(Math.max(0, rows.findIndex((row) => row.classList.contains("hot"))));
