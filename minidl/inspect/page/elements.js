// Elements made of text and attributes, never of HTML: a name is shown as it is written, whatever is in it.

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
  return node;
}

function h(tag, attributes = {}, ...children) {
  return make(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// A name from outside, which may be written from right to left: it must not turn the text around it.
function nameOf(text) {
  return h("bdi", {}, text);
}

// A section of the page under its heading, which names it for screen readers.
function section(id, title, ...children) {
  const heading = h("h2", { id: `${id}-title` }, title);
  return h("section", { id, "aria-labelledby": heading.id }, heading, ...children);
}

function quiet(...children) {
  return h("p", { class: "quiet" }, ...children);
}

// Numbers as they are read: about four digits, a true minus, powers of ten apart.
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  let text = value.toPrecision(3);
  if (size >= 1e5 || size < 1e-3) {
    const [digits, power] = value.toExponential(2).split("e");
    text = `${digits}·10${superscript(Number(power))}`;
  } else if (size >= 1000) text = value.toFixed(0);
  return text.replaceAll("-", "−");
}

// A number where there is room for seven characters.
function short(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5) || !Number.isFinite(value)) return number(value);
  const [digits, power] = value.toExponential(0).split("e");
  return `${digits}·10${superscript(Number(power))}`.replaceAll("-", "−");
}

function superscript(power) {
  return [...String(power)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])).join("");
}

function whole(count) {
  return count.toLocaleString("en-US");
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function probability(p) {
  if (p > 0 && p < 5e-4) return "< 0.001";
  if (p < 1 && p > 0.9995) return "> 0.999";
  return p.toFixed(3);
}

function shapeText(shape) {
  return shape.length ? shape.map(whole).join(" × ") : "1";
}

// Several controls as one stop of the Tab key: the arrow keys, Home and End go from one to the next.
function asOneStop(group, selector = "button") {
  const items = () => [...group.querySelectorAll(selector)];
  const choose = (item) => items().forEach((other) => (other.tabIndex = other === item ? 0 : -1));
  group.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const target = { Home: 0, End: all.length - 1 }[event.key] ?? (step ? at + step : undefined);
    if (at < 0 || target === undefined) return;
    event.preventDefault();
    const next = all[Math.min(Math.max(target, 0), all.length - 1)];
    choose(next);
    next.focus();
  });
  group.addEventListener("focusin", (event) => items().includes(event.target) && choose(event.target));
  choose(items().find((item) => item.getAttribute("aria-pressed") === "true") ?? items()[0]);
  return group;
}

function press(group, chosen, selector = "button") {
  for (const item of group.querySelectorAll(selector)) {
    item.setAttribute("aria-pressed", String(item === chosen));
    item.tabIndex = item === chosen ? 0 : -1;
  }
}

// Draw now, and again whenever the width has changed.
function drawnToWidth(container, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (container.clientWidth === width || container.clientWidth === 0) return;
    width = container.clientWidth;
    container.replaceChildren(draw(width));
  }).observe(container);
  return container;
}

// A select of texts; `change` is called with the place of the one chosen.
function choice(label, texts, change, chosen = 0) {
  const select = h("select", { onchange: () => change(select.selectedIndex) }, texts.map((text) => h("option", {}, text)));
  select.selectedIndex = chosen;
  return h("label", { class: "field" }, h("span", {}, label), select);
}
