"use strict";
// Sliders, the choice of a picture, the filters of a fleet, and prompts of the reader's own. Without this script the
// page shows the same pictures side by side. Texts are set as text, never as HTML.

const part = (root, rule) => root.querySelector(rule);
const say = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function show(figure, before, after, words, small) {
  const old = part(figure, ".old"), fresh = part(figure, ".new"), caption = part(figure, "figcaption");
  old.src = before;
  old.alt = `before: ${words}`;
  fresh.src = after;
  fresh.alt = `after: ${words}`;
  fresh.onload = () => figure.classList.toggle("fine", fresh.naturalWidth >= 128);
  const more = document.createElement("small");
  more.textContent = small;
  caption.replaceChildren(words, more);
  figure.hidden = false;
}

for (const figure of document.querySelectorAll(".compare")) {
  const slider = part(figure, "input"), shots = part(figure, ".shots");
  const move = () => {
    figure.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % of the width shows the picture before the edit`);
  };
  const drag = (event) => {
    if (event.buttons !== 1) return;
    const box = shots.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    move();
  };
  slider.addEventListener("input", move);
  shots.addEventListener("pointerdown", drag);
  shots.addEventListener("pointermove", drag);
  shots.addEventListener("dragstart", (event) => event.preventDefault());
  move();
}

for (const look of document.querySelectorAll(".look")) {
  const figure = part(look, ".compare"), choices = look.querySelectorAll("input[type=radio]");
  const choose = (choice) => {
    const images = choice.parentElement.querySelectorAll("img"), about = choice.dataset;
    show(figure, images[0].src, images[1].src, about.about, `seed ${about.seed}${about.seen ? `: ${about.seen}` : ""}`);
  };
  for (const hidden of look.querySelectorAll(".choice [hidden]")) hidden.hidden = false;
  for (const choice of choices) choice.addEventListener("change", () => choose(choice));
  choices[0].checked = true;
  choose(choices[0]);
  look.classList.add("ready");
}

const reach = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", reach);
window.addEventListener("resize", reach);
reach();

const filters = part(document, ".filters");
if (filters) {
  const rows = [...document.querySelectorAll(".cells tbody tr")], told = part(filters, "[role=status]");
  const sift = () => {
    const state = part(filters, "input[type=radio]:checked").value, sought = part(filters, "input[type=search]").value;
    const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !((state === "" || row.dataset.state === state) && words.every((word) => text.includes(word)));
    }
    told.textContent = `${rows.filter((row) => !row.hidden).length} of ${say(rows.length, "cell")} shown`;
  };
  filters.addEventListener("input", sift);
  filters.hidden = false;
  sift();
}

const trial = part(document, ".try");
if (trial) {
  const form = part(trial, "form"), stop = form.elements.stop, bar = part(trial, "progress");
  const told = part(trial, "[role=status]"), figure = part(trial, ".compare"), beside = part(trial, ".beside");
  let running = null;

  const tell = (text, bad) => {
    told.textContent = text;
    told.classList.toggle("bad", Boolean(bad));
  };

  const hear = (message, found) => {
    if (message.error) throw new Error(message.error);
    if (message.stage) {
      bar.hidden = false;
      if (message.of) { bar.max = message.of; bar.value = message.done; } else bar.removeAttribute("value");
      if (told.textContent !== message.stage) tell(message.stage);
    }
    if (message.part) found[message.part] = message.text ?? message.image;
    if (message.part !== "after") return;
    const about = form.elements.prompt.value || "the empty prompt";
    if ("text" in message) {
      part(beside, ".old").textContent = found.before;
      part(beside, ".new").textContent = found.after;
      beside.hidden = false;
    } else show(figure, found.before, found.after, about, `seed ${form.elements.seed.value}`);
    tell("Done.");
  };

  const read = async (answer) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(), found = {};
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) hear(JSON.parse(line), found);
    }
    if (!found.after) throw new Error("the answer broke off: is `editc view` still running?");
  };

  const ask = async () => {
    running = new AbortController();
    const asked = { page: trial.dataset.page, prompt: form.elements.prompt.value, seed: Number(form.elements.seed.value) };
    const given = { method: "POST", headers: { "Content-Type": "application/json" }, signal: running.signal };
    form.elements[2].disabled = true;
    stop.disabled = false;
    tell("Starting …");
    try {
      const root = trial.dataset.page.includes("/") ? "../try" : "try";
      const answer = await fetch(root, { ...given, body: JSON.stringify(asked) });
      if (!answer.ok) throw new Error(await answer.text());
      await read(answer);
    } catch (error) {
      if (error.name === "AbortError") tell("Stopped.");
      else tell(error instanceof TypeError ? "No answer: is `editc view` still running?" : error.message, true);
    }
    running = null;
    bar.hidden = true;
    form.elements[2].disabled = false;
    stop.disabled = true;
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) ask();
  });
  stop.addEventListener("click", () => running?.abort());
  window.addEventListener("pagehide", () => running?.abort());
}
