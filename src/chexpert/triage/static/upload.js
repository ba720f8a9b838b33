// Upload: every file gets its line, and its line says what became of it.
"use strict";

const form = document.getElementById("upload");
const input = document.getElementById("files");
const drop = document.getElementById("drop");
const results = document.getElementById("results");
const summary = document.getElementById("summary");
const limit = Number(form.dataset.limitMb) * 1e6;

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function line(file) {
  const item = document.createElement("li");
  item.innerHTML = '<span class="sign-of" aria-hidden="true"></span><span class="name"></span><span class="faint num"></span><small></small>';
  item.querySelector(".name").textContent = file.name;
  item.querySelector(".num").textContent = megabytes(file.size);
  results.append(item);
  return (kind, words, study) => {
    item.className = kind;
    item.querySelector(".sign-of").textContent = { good: "✓", bad: "✕", busy: "…" }[kind];
    const note = item.querySelector("small");
    note.textContent = words;
    if (study) note.append(" ", Object.assign(document.createElement("a"), { href: `/studies/${study}`, textContent: "open" }));
  };
}

async function sendStudy(files, says) {
  const body = new FormData(form);
  body.delete("images");
  body.delete("as");
  files.forEach((file) => body.append("images", file, file.name));
  says.forEach((say) => say("busy", "being sent"));
  let answer;
  try {
    const response = await fetch(form.action, { method: "POST", body });
    answer = await response.json();
  } catch (error) {
    says.forEach((say) => say("bad", `not sent, the site did not answer (${error.message}): try again`));
    return 0;
  }
  const refused = new Map((answer.refused || []).map((one) => [one.file, one.reason]));
  files.forEach((file, number) => {
    if (refused.has(file.name)) says[number]("bad", `refused: ${refused.get(file.name)}`);
    else if (!answer.study) says[number]("bad", `refused: ${answer.error}`);
    else says[number]("good", answer.known ? "was here already, listed once" : "listed", answer.study);
  });
  return answer.study ? files.length - refused.size : 0;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("send");
  button.disabled = true;
  results.replaceChildren();
  const files = [...input.files];
  const small = files.filter((file) => {
    if (file.size > limit) line(file)("bad", `refused: larger than ${form.dataset.limitMb} MB`);
    return file.size <= limit;
  });
  const together = form.elements.as.value === "one";
  const studies = together ? [small] : small.map((file) => [file]);
  const says = studies.map((study) => study.map(line));
  let taken = 0;
  for (const [number, study] of studies.entries()) {
    if (study.length) taken += await sendStudy(study, says[number]);
    summary.textContent = `${taken} of ${files.length} files taken`;
  }
  button.disabled = false;
  input.value = "";
});
input.addEventListener("change", () => {
  const count = input.files.length;
  summary.textContent = count ? `${count} ${count === 1 ? "file" : "files"}, ${megabytes([...input.files].reduce((sum, file) => sum + file.size, 0))}` : "No file chosen.";
});
for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over-it"); });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over-it"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change"));
});
