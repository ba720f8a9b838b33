// Keys every page has. Nothing here knows a page.
"use strict";

/** Whether the event belongs to a field or a dialog, not to the page's keys. */
function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null ||
    event.target.closest("input, select, textarea, details.reader form") !== null;
}

/** Send JSON; resolves to the answer, throws its {"error"} as an Error with `.status`. */
async function send(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.error || `the site answered ${response.status}`), { status: response.status });
  return answer;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "?" && !isTyping(event)) {
    document.getElementById("keys").showModal();
    event.preventDefault();
  } else if (event.key === "Escape") {
    document.querySelectorAll("details.reader[open]").forEach((one) => one.removeAttribute("open"));
  }
});
