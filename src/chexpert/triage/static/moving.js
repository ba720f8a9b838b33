// Moving a study by hand: asks for tier and reason, says what the site refused, reloads where it went.
"use strict";

const moving = document.getElementById("moving");

function move(study, called) {
  if (!study) return;
  if (!moving.dataset.reader) {
    document.querySelector("details.reader").open = true;
    document.querySelector("details.reader input[name=name]").focus();
    return;
  }
  moving.dataset.study = study;
  document.getElementById("moving-title").textContent = `Move ${called}`;
  document.getElementById("move-problem").hidden = true;
  moving.querySelector("form").reset();
  moving.showModal();
}

moving.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const body = { reader: moving.dataset.reader, role: moving.dataset.role, tier: form.get("tier"), reason: form.get("reason") };
  try {
    await send(`/api/studies/${moving.dataset.study}/move`, body);
    location.reload();
  } catch (error) {
    const problem = document.getElementById("move-problem");
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
document.getElementById("move-cancel").addEventListener("click", () => moving.close());
// The page's keys belong to the page again at once: the browser takes the focus off a closed dialog only a frame later.
moving.addEventListener("close", () => document.activeElement?.blur());
