// The image: window and level by an SVG filter (exact, and drawn by the compositor), zoom, pan, invert, reset.
"use strict";

const viewer = (() => {
  const view = document.getElementById("view");
  const images = [...view.querySelectorAll("img")];
  const channels = [...view.querySelectorAll("feFuncR, feFuncG, feFuncB")];
  const START = { centre: 128, width: 256, zoom: 1, x: 0, y: 0, invert: false };
  let state = { ...START };
  let tool = "window";
  let current = 0;
  let drag = null;

  function draw() {
    const sign = state.invert ? -1 : 1;
    const slope = (sign * 255) / state.width;
    const intercept = state.invert ? 0.5 + state.centre / state.width : 0.5 - state.centre / state.width;
    for (const one of channels) {
      one.setAttribute("slope", slope.toFixed(5));
      one.setAttribute("intercept", intercept.toFixed(5));
    }
    const image = images[current];
    images.forEach((one, number) => { one.hidden = number !== current; });
    image.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    const fit = Math.min(view.clientWidth / image.dataset.width, view.clientHeight / image.dataset.height);
    say("corner-image", [image.dataset.view, `${current + 1} / ${images.length}`, `${image.dataset.width} × ${image.dataset.height}`]);
    say("corner-window", [`C ${Math.round(state.centre)}  W ${Math.round(state.width)}${state.invert ? "  inverted" : ""}`, `${Math.round(100 * fit * state.zoom)} %`]);
    view.classList.toggle("pan", tool === "pan");
    view.querySelectorAll("[data-tool]").forEach((one) => one.setAttribute("aria-pressed", one.dataset.tool === tool));
    view.querySelector("[data-do=invert]").setAttribute("aria-pressed", state.invert);
  }

  function say(id, lines) {
    const place = document.getElementById(id);
    place.replaceChildren(...lines.filter(Boolean).flatMap((line) => [line, document.createElement("br")]));
  }

  function change(values) {
    state = { ...state, ...values };
    state.width = Math.max(4, Math.min(512, state.width));
    state.centre = Math.max(0, Math.min(255, state.centre));
    state.zoom = Math.max(0.5, Math.min(16, state.zoom));
    draw();
  }

  function zoom(factor, event) {
    const box = view.getBoundingClientRect();
    const x = event ? event.clientX - box.left - box.width / 2 : 0;
    const y = event ? event.clientY - box.top - box.height / 2 : 0;
    const next = Math.max(0.5, Math.min(16, state.zoom * factor));
    const grown = next / state.zoom; // the point under the pointer stays where it is
    change({ zoom: next, x: x - (x - state.x) * grown, y: y - (y - state.y) * grown });
  }

  const acts = {
    in: () => zoom(1.25),
    out: () => zoom(0.8),
    invert: () => change({ invert: !state.invert }),
    reset: () => change({ ...START }),
  };

  view.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    drag = { x: event.clientX, y: event.clientY, from: { ...state }, pan: tool === "pan" || event.button === 1 };
    view.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  view.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (drag.pan) change({ x: drag.from.x + dx, y: drag.from.y + dy });
    else change({ width: drag.from.width + dx * 0.6, centre: drag.from.centre + dy * 0.4 });
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { drag = null; });
  view.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event); }, { passive: false });
  view.addEventListener("dblclick", (event) => { if (!event.target.closest("button")) acts.reset(); });
  view.querySelectorAll("[data-do]").forEach((one) => one.addEventListener("click", () => acts[one.dataset.do]()));
  view.querySelectorAll("[data-tool]").forEach((one) => one.addEventListener("click", () => { tool = one.dataset.tool; draw(); }));
  addEventListener("resize", draw);

  document.addEventListener("keydown", (event) => {
    if (isTyping(event)) return;
    const key = event.key.toLowerCase();
    if (event.shiftKey && key.startsWith("arrow")) {
      const step = { arrowleft: { width: state.width - 12 }, arrowright: { width: state.width + 12 }, arrowup: { centre: state.centre - 6 }, arrowdown: { centre: state.centre + 6 } };
      change(step[key]);
    } else if (key === "w") { tool = "window"; draw(); }
    else if (key === "h") { tool = "pan"; draw(); }
    else if (key === "+" || key === "=" || key === "z") acts.in();
    else if (key === "-") acts.out();
    else if (key === "i") acts.invert();
    else if (key === "0") acts.reset();
    else if (key === "]" || key === "[") { current = (current + (key === "]" ? 1 : images.length - 1)) % images.length; draw(); }
    else return;
    event.preventDefault();
  });

  draw();
  return { images, current: () => images[current] };
})();
