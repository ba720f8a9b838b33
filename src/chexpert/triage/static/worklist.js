// Worklist: moves by keys, refreshes in place, never reorders under the reader: new studies wait above until asked for.
"use strict";

const REFRESH_MS = 2000;
const table = document.getElementById("worklist");
const button = document.getElementById("new");
const rows = () => [...table.tBodies[0].rows];
const selected = () => table.querySelector("tr[aria-selected=true]");
const memory = `selected:${table.dataset.show}`;
let upcoming = null;

function select(row, { scroll = true } = {}) {
  selected()?.removeAttribute("aria-selected");
  if (!row) return;
  row.setAttribute("aria-selected", "true");
  sessionStorage.setItem(memory, row.dataset.study);
  if (scroll) row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const all = rows();
  const at = all.indexOf(selected());
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  if (at + by >= all.length && document.getElementById("following")) location.href = document.getElementById("following").href;
  select(next);
}

function open(row) {
  if (row) location.href = row.querySelector("a").href;
}

function moveSelected() {
  const row = selected();
  if (row && table.dataset.show !== "signed") move(row.dataset.study, row.querySelector("a").textContent);
}

/** Text of rows that are on the page changes in place; rows that left are dimmed; rows that came wait for N. */
function take(page) {
  const fresh = new Map([...page.querySelectorAll("#worklist tbody tr")].map((row) => [row.dataset.study, row]));
  const here = new Map(rows().map((row) => [row.dataset.study, row]));
  for (const [study, row] of here) {
    const now = fresh.get(study);
    row.classList.toggle("gone", !now);
    if (now && now.innerHTML !== row.innerHTML) row.innerHTML = now.innerHTML;
  }
  document.getElementById("counts").replaceChildren(...page.getElementById("counts").childNodes);
  const order = [...fresh.keys()];
  const came = order.filter((study) => !here.has(study));
  const mark = Math.max(0, order.indexOf(selected()?.dataset.study));
  const above = came.filter((study) => order.indexOf(study) < mark || !selected()).length;
  const known = [...here.keys()].filter((study) => fresh.has(study));
  const moved = came.length === 0 && known.join() !== order.join();
  upcoming = came.length || moved ? page : null;
  if (here.size === 0 && came.length) return show();
  button.hidden = !upcoming;
  const what = above ? `${above} new ${above === 1 ? "study" : "studies"} above` : came.length ? `${came.length} new` : "The order changed";
  const words = `${what}: show `;
  if (button.firstChild?.data !== words) button.replaceChildren(words, Object.assign(document.createElement("kbd"), { textContent: "N" }));
}

function show() {
  if (!upcoming) return;
  const keep = selected()?.dataset.study;
  const before = new Set(rows().map((row) => row.dataset.study));
  const top = selected()?.getBoundingClientRect().top;
  table.tBodies[0].replaceWith(document.adoptNode(upcoming.querySelector("#worklist tbody")));
  upcoming = null;
  button.hidden = true;
  document.getElementById("empty")?.remove();
  rows().filter((row) => before.size && !before.has(row.dataset.study)).forEach((row) => row.classList.add("fresh"));
  select(rows().find((row) => row.dataset.study === keep) || rows()[0], { scroll: false });
  if (keep && top !== undefined && selected() && scrollY > 0) scrollBy(0, selected().getBoundingClientRect().top - top);
}

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (response.status === 401) location.reload();  // the session ended: the page itself leads to the login
    if (response.ok) take(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch { /* the site is away: what is shown stays, the next turn asks again */ }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.id === "search") return event.target.blur();
  if (isTyping(event)) return;
  const key = event.key.toLowerCase();
  if (key === "j" || key === "arrowdown") step(1);
  else if (key === "k" || key === "arrowup") step(-1);
  else if (key === "enter" && !event.target.closest("a, button, summary")) open(selected());
  else if (key === "n") show();
  else if (key === "m") moveSelected();
  else if (key === "g") { select(rows()[0]); scrollTo(0, 0); }
  else if (key === "/") document.getElementById("search").select();
  else if ("1234".includes(key)) location.href = document.querySelectorAll(".bar .seg a")[key - 1].href;
  else return;
  event.preventDefault();
});
table.addEventListener("click", (event) => {
  const row = event.target.closest("tbody tr");
  if (!row) return;
  select(row);
  if (!event.target.closest("a")) open(row);
});
button.addEventListener("click", show);
select(rows().find((row) => row.dataset.study === sessionStorage.getItem(memory)) || rows()[0], { scroll: true });
if (table.dataset.live) setInterval(refresh, REFRESH_MS);
