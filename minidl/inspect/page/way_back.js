// The way back: the cost's gradient layer by layer, the saliency over the photograph, and what one step would change.

function backSection(view) {
  const body = h("div", {});
  const state = { label: 0, rate: 0.01, opacity: 0.75 };
  const draw = () => {
    if (!view.engine.hasBackward) return body.replaceChildren(quiet("A layer of this network has no backward pass in the browser."));
    const back = view.engine.body.backward(view.forward.body, view.engine.costGradient(view.forward, state.label));
    return body.replaceChildren(...gradientRows(view, back, state.label), ...saliencyPart(view, state), ...stepPart(view, back, state));
  };
  const truth = choice("The right answer", view.data.classes, (place) => { state.label = place; draw(); });
  view.afterAnswer(() => {
    const { photo, forward } = view;
    state.label = photo.label ?? forward.probabilities.indexOf(Math.max(...forward.probabilities));
    truth.querySelector("select").selectedIndex = state.label;
    draw();
  });
  return section("back", "The way back",
    quiet("Training asks how the cost changes with each number, from the last layer to the first. A number in ", h("b", { class: "positive" }, "orange"),
      " should fall for the cost to fall, one in ", h("b", { class: "negative" }, "blue"), " should rise."),
    truth, body);
}

function gradientRows(view, back, label) {
  const rows = [...view.engine.body.top].reverse().flatMap((layer) => {
    const step = back.step(layer.path);
    if (!step) return [];
    const own = view.forward.step(layer.path);
    const name = h("div", { class: "layer-name" }, h("b", {}, `dL/d${layer.kind === "Dense" || layer.kind === "Conv2D" ? "z" : "a"}`), h("span", {}, layer.kind));
    return [h("div", { class: "layer" }, name, gradientOf(step.gradOutput, own.outputShape))];
  });
  const cost = view.engine.cost(view.forward, label);
  return [h("h3", {}, "Gradients"), h("p", {}, "Cost of this photograph: L = ", h("b", {}, number(cost))), h("div", { class: "layers" }, rows)];
}

function gradientOf(values, shape) {
  if (shape.length === 1) return stripOf(values);
  if (shape.length === 2) return named(heatMap(values, ...shape), "gradients");
  const [height, width, channels] = shape;
  if (channels === 3) return h("div", { class: "maps" }, named(colourMap(values, height, width), "gradients of each pixel"));
  const maps = Array.from({ length: Math.min(channels, MAPS) }, (_, channel) => named(heatMap(values, height, width, channels, channel), `gradients of map ${channel + 1}`));
  return h("div", { class: "maps" }, maps, channels > MAPS ? h("span", { class: "faint" }, `and ${channels - MAPS} more`) : []);
}

// The photograph in grey, and over it in orange how much each pixel moves the answer.
function saliencyPart(view, state) {
  if (view.engine.shape.length !== 3) return [];
  const [height, width, channels] = view.engine.shape;
  const gradient = view.engine.saliency(view.forward, state.label);
  const single = Float32Array.from({ length: height * width }, (_, i) => largestOf(gradient.subarray(i * channels, (i + 1) * channels)));
  const sizes = smoothed(single, height, width);
  const sorted = Float32Array.from(sizes).sort();
  const [half, strong] = [0.5, 0.995].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  for (let i = 0; i < sizes.length; i++) sizes[i] = Math.min(1, Math.max(0, (sizes[i] - half) / (strong - half || 1)));
  const frame = h("div", { class: "overlaid" });
  const lay = () => frame.replaceChildren(named(overlaid(view.photo, sizes, height, width, channels, state.opacity), "saliency over the photograph"));
  lay();
  const slider = h("input", { type: "range", min: 0, max: 100, value: 100 * state.opacity, id: "opacity", oninput: () => { state.opacity = slider.value / 100; lay(); } });
  return [h("h3", {}, "What the answer looks at"),
    h("div", { class: "side-by-side" }, frame, h("div", {},
      quiet("The stronger the orange, the more a small change of that pixel would move the answer towards or away from ", nameOf(view.data.classes[state.label]), ": the gradient of its logit, its size averaged over 5 × 5 pixels, without the weaker half."),
      h("label", { class: "slider" }, h("span", {}, "How strongly it is laid over"), slider)))];
}

// Means of the squares of five by five pixels around each: single pixels' gradients are too restless to be seen.
function smoothed(sizes, height, width) {
  const along = (values, step, ends) => values.map((_, i) => {
    const place = Math.floor(i / step) % ends;
    let [sum, count] = [0, 0];
    for (let d = -2; d <= 2; d++) {
      if (place + d < 0 || place + d >= ends) continue;
      sum += values[i + d * step];
      count += 1;
    }
    return sum / count;
  });
  return along(along(sizes, 1, width), width, height);
}

function overlaid(photo, sizes, height, width, channels, opacity) {
  const low = photo.pixels ?? photo.x;
  const scale = photo.pixels ? 1 : 255 / (largestOf(low) || 1);
  const pixels = new Uint8ClampedArray(3 * height * width);
  for (let i = 0; i < height * width; i++) {
    let grey = 0;
    for (let c = 0; c < channels; c++) grey += (scale * low[i * channels + c]) / channels;
    const share = opacity * sizes[i];
    for (let c = 0; c < 3; c++) pixels[3 * i + c] = (1 - share) * (128 + 0.5 * (grey - 128) + 30) + share * [235, 110, 20][c];
  }
  return canvasOf(pixels, height, width);
}

function stepPart(view, back, state) {
  const result = h("div", { "aria-live": "polite" });
  const show = () => {
    const { forward, changes } = view.engine.oneStep(view.photo.x, back, state.rate);
    const before = view.forward.probabilities[state.label];
    const rows = changes.map(({ layer, name, change, size }) => h("tr", {},
      h("th", { scope: "row" }, `${layer.kind} ${layer.path}, ${name}`), cellText(number(change)), cellText(size ? number(change / size) : "–")));
    result.replaceChildren(
      h("p", { class: "says", id: "step", "data-after": forward.probabilities.join(" ") }, probability(before), " → ", probability(forward.probabilities[state.label])),
      h("p", {}, "the probability of ", nameOf(view.data.classes[state.label]), `; the cost goes from ${number(view.engine.cost(view.forward, state.label))} to ${number(view.engine.cost(forward, state.label))}.`),
      h("div", { class: "scrolling" }, h("table", { class: "terms" },
        h("thead", {}, h("tr", {}, ["weights", "length of the step", "as a share of theirs"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows))));
  };
  const rate = h("input", { type: "number", min: 0, max: 10, step: "any", value: state.rate, id: "rate", onchange: () => {
    const value = Number(rate.value);
    state.rate = Number.isFinite(value) && value >= 0 ? Math.min(value, 10) : 0.01;
    rate.value = state.rate;
    show();
  } });
  show();
  return [h("h3", {}, "What one step would change"),
    quiet("One step of plain gradient descent on this photograph alone. The network of this page stays as it is."),
    h("label", { class: "field" }, h("span", {}, "Learning rate"), rate), result];
}
