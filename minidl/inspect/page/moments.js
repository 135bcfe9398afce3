// The run played back: a slider over what was recorded, the first layer's weights and the activations as they were.

async function runSection(data, engine) {
  const { curves } = data.run;
  const recorded = data.moments?.moments ?? [];
  if (!curves && !recorded.length) {
    return section("run", "The run", quiet("No history of the run was given, so its cost is not known here."));
  }
  const marker = { epoch: 1, to: () => {} };
  const epochs = recorded.length ? recorded.map(({ epoch }) => epoch) : curves.at;
  const then = h("div", { class: "then" });
  const show = recorded.length ? await playback(data, engine, then) : () => {};
  const output = h("output", { id: "moment-text", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: 0, max: epochs.length - 1, value: epochs.length - 1, id: "moment" });
  const update = () => {
    const place = Number(slider.value);
    marker.epoch = epochs[place];
    marker.to(epochs[place]);
    const cost = recorded.length ? recorded[place].cost : costAt(curves, epochs[place]);
    const text = epochs[place] === 0 ? "before training" : `after ${whole(epochs[place])} of ${whole(curves?.epochs ?? epochs.at(-1))} epochs`;
    output.textContent = cost === null ? text : `${text}: cost ${number(cost)}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    show(place);
  };
  slider.addEventListener("input", update);
  update();
  return section("run", "The run",
    curves ? quiet("The cost ", curves.validation ? "of training, and dashed of validation, " : "", "by epoch. Epochs are spaced like a logarithm: most happens early.") : [],
    curves ? curveOf(curves, marker) : [],
    h("div", { class: "player" }, playButton(slider, update), h("label", { class: "slider" }, h("span", {}, "Moment of the run"), slider), output),
    missingMoments(data), then);
}

function missingMoments(data) {
  if (data.moments?.moments.length) return [];
  return quiet(data.moments
    ? "The recorder has kept no moment: it was not among the callbacks of a run."
    : "No recorder was among the callbacks of the run, so weights and activations on the way are not known.");
}

// A button that moves the slider from its start to its end.
function playButton(slider, update) {
  let timer;
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    button.textContent = "Play";
  };
  const advance = () => {
    if (Number(slider.value) >= Number(slider.max)) return stop();
    slider.value = Number(slider.value) + 1;
    return update();
  };
  const step = () => Math.max(1, Math.round(Number(slider.max) / 40));
  const button = h("button", { type: "button", class: "plain", onclick: () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    update();
    button.textContent = "Stop";
    timer = setInterval(() => { for (let i = 0; i < step(); i++) advance(); }, 160);
    return undefined;
  } }, "Play");
  slider.addEventListener("pointerdown", () => timer && stop());
  slider.addEventListener("keydown", () => timer && stop());
  return button;
}

// Build what shows one moment, and return the function that fills it.
async function playback(data, engine, container) {
  const { weights, moments } = data.moments;
  const parts = [];
  if (weights) {
    const sheet = await Sheet.of(weights.sheet);
    const canvases = Array.from({ length: weights.units }, (_, unit) => sheet.canvas(unit));
    container.append(h("h3", {}, "What the first layer looks for"),
      quiet("One picture a unit: weights as colours around grey, which is 0; each picture has a scale of its own."),
      h("div", { class: "pictures" }, canvases.map((canvas, unit) => {
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `weights of unit ${unit + 1}`);
        return canvas;
      })));
    parts.push((place) => canvases.forEach((canvas, unit) => sheet.drawOn(canvas, place * weights.units + unit)));
  }
  if (moments.some(({ activations }) => activations.length)) parts.push(await activationsThen(data, engine, container));
  const dead = h("p", { class: "quiet" });
  container.append(dead);
  parts.push((place) => (dead.textContent = deadText(moments[place].dead)));
  return (place) => parts.forEach((part) => part(place));
}

function deadText(dead) {
  const layers = dead.filter(([, count]) => count);
  if (!dead.length) return "";
  if (!layers.length) return "Then, no unit was dead: each ReLU unit was above 0 for some of the photographs looked at.";
  return `Then, dead units, which were 0 for all photographs looked at: ${layers.map(([path, count, of]) => `${count} of ${of} in layer ${path}`).join(", ")}.`;
}

async function activationsThen(data, engine, container) {
  const { moments, photographs } = data.moments;
  const sheet = await Sheet.of(photographs);
  let [photo, place] = [0, moments.length - 1];
  const rows = h("div", { class: "layers" });
  const fill = () => rows.replaceChildren(...moments[place].activations.map(({ path, data: numbers, units }) => {
    const values = floatsOf(numbers).slice(photo * units, (photo + 1) * units);
    const layer = engine.layers.find((each) => each.path === path);
    return h("div", { class: "layer" }, h("div", { class: "layer-name" }, h("b", {}, layer?.kind ?? "layer"), h("span", {}, path)), stripOf(values));
  }));
  const picker = h("div", { class: "picker", role: "group", "aria-label": "recorded photographs" });
  picker.append(...Array.from({ length: photographs.count }, (_, i) => {
    const button = h("button", { type: "button", class: "thumb", "aria-pressed": String(i === 0), "aria-label": `recorded photograph ${i + 1}`,
      onclick: () => { photo = i; press(picker, button); fill(); } }, sheet.canvas(i));
    return button;
  }));
  container.append(h("h3", {}, "Its activations then"), asOneStop(picker), rows);
  return (chosen) => { place = chosen; fill(); };
}
