// One photograph's way through the network: choose or drop one, see each layer's numbers, open a unit.

function waySection(view) {
  const picker = h("div", { class: "picker", role: "group", "aria-label": "photographs to choose from" });
  const chosen = h("div", { class: "chosen" });
  const rows = h("div", { class: "layers" });
  const detail = h("div", { class: "detail", id: "unit", "aria-live": "polite" }); // stands below its layer
  const message = h("p", { class: "message", role: "status" });
  const isPicture = view.data.input.isPicture;
  view.message = message;
  let pressed; // the unit that stays open when another photograph is chosen

  const choose = (layer, unit) => {
    pressed = `${layer.path}/${unit}`;
    for (const button of rows.querySelectorAll("[data-unit]")) button.setAttribute("aria-pressed", String(button.dataset.unit === pressed));
    detail.replaceChildren(...unitDetail(view, layer, unit).flat(Infinity));
    rows.children[view.engine.top.indexOf(layer)].append(detail);
  };
  view.onPhotograph(() => chosen.replaceChildren(...chosenOf(view)));
  view.afterAnswer(() => {
    rows.replaceChildren(...view.engine.top.map((layer) => layerRow(layer, view.forward.step(layer.path), choose)));
    const again = pressed && rows.querySelector(`[data-unit="${CSS.escape(pressed)}"]`);
    if (again) again.click();
  });

  if (view.exact.length) picker.append(...view.exact.map((entry, i) => pickerButton(view, picker, entry, i)));
  const parts = [message, chosen, h("h3", {}, "Layer by layer"), quiet("Each cell is one number: ", h("b", { class: "positive" }, "orange"), " above 0, ", h("b", { class: "negative" }, "blue"), " below, white 0; each layer has a scale of its own. Choose one to see its formula with the real numbers in it."), rows];
  return section("way", isPicture ? "One photograph’s way through" : "One sample’s way through",
    quiet(exactText(view)), view.exact.length ? asOneStop(picker) : [], isPicture ? dropZone(view) : [], parts);
}

function exactText(view) {
  const { exact, data } = view;
  if (!exact.length) return data.input.isPicture ? "No test photographs were given: choose one of your own." : "No samples were given.";
  const all = data.photographs.total;
  const what = data.input.isPicture ? "photographs" : "samples";
  return `${exact.length} of the ${whole(all)} ${what} kept apart are in this page without loss, so that the network answers here what it answered in Python.`;
}

function pickerButton(view, picker, entry, i) {
  const { names } = view.data.photographs;
  const label = `${names[entry.place]}${labelText(view, entry.place)}`;
  const button = h("button", { type: "button", class: "thumb", "aria-pressed": "false", "aria-label": label, title: names[entry.place],
    onclick: async () => {
      press(picker, button);
      await view.showExact(i);
    } }, view.sheet.canvas(entry.place));
  entry.button = button;
  return button;
}

function labelText(view, place) {
  const { labels } = view.data.photographs;
  return labels ? `, ${view.data.classes[labels[place]]}` : "";
}

function dropZone(view) {
  const input = h("input", { type: "file", accept: "image/*", id: "own", onchange: () => {
    if (input.files.length) view.showFile(input.files[0]);
    input.value = "";
  } });
  const zone = h("label", { class: "drop", for: "own" }, h("span", {}, "Drop a photograph of your own here, or choose a file"), input);
  const inside = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, inside);
  document.addEventListener("dragleave", (event) => event.relatedTarget || zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) view.showFile(event.dataTransfer.files[0]);
  });
  return zone;
}

// The photograph as the network sees it, its answer, and the truth where that is known.
function chosenOf(view) {
  const { photo, forward, data } = view;
  const { probabilities } = forward;
  const says = probabilities.indexOf(Math.max(...probabilities));
  const verdict = photo.label === null ? [] : [
    h("span", { class: says === photo.label ? "right" : "wrong" }, says === photo.label ? "✓ right" : "✗ wrong"),
    says === photo.label ? "" : [": it is ", nameOf(data.classes[photo.label])]];
  return [
    h("div", { class: "seen" }, pictureOf(view)),
    h("div", { class: "answer" },
      h("p", { class: "name" }, nameOf(photo.name)),
      h("p", { class: "says", id: "says", "data-probabilities": probabilities.join(" ") }, nameOf(data.classes[says]), " ", h("span", { class: "faint" }, probability(probabilities[says]))),
      h("p", {}, ...verdict),
      h("div", { class: "chances" }, chancesOf(data.classes, probabilities)),
      photo.milliseconds === undefined ? [] : h("p", { class: "faint" }, `Resized to ${data.input.shape[1]} × ${data.input.shape[0]} and answered in ${Math.max(1, Math.round(photo.milliseconds))} ms.`)),
  ];
}

function pictureOf(view) {
  const { photo, engine } = view;
  if (view.data.input.isPicture) return named(canvasOf(photo.pixels, engine.shape[0], engine.shape[1], engine.shape[2]), `the photograph, ${shapeText(engine.shape)} numbers`);
  if (engine.shape.length === 1) return stripOf(photo.x);
  const [height, width, channels] = [...engine.shape, 1];
  return named(mapOf(photo.x, [height, width, channels]), `the sample, ${shapeText(engine.shape)} numbers`);
}

// The most probable classes, at most five, each with a bar.
function chancesOf(classes, probabilities) {
  const order = [...probabilities.keys()].sort((i, j) => probabilities[j] - probabilities[i]).slice(0, 5);
  return order.map((k) => h("div", { class: "chance" }, h("span", { class: "chance-name" }, nameOf(classes[k])),
    svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": true },
      svg("rect", { width: 100, height: 6, class: "empty" }), svg("rect", { width: 100 * probabilities[k], height: 6, class: "filled" })),
    h("span", { class: "figure" }, probability(probabilities[k]))));
}
