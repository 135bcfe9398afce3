// The numbers of the run, and the curve of its cost with a mark that a slider moves.

function runNumbers(data) {
  const { train, test } = data.run;
  const what = data.input.isPicture ? "photographs" : "samples";
  const parts = [[`${what} trained on`, train], [`${what} kept apart`, test]].filter(([, part]) => part);
  if (!parts.some(([, part]) => part.accuracy !== undefined)) return [];
  return parts.map(([name, part]) =>
    part.accuracy === undefined
      ? h("div", { class: "number" }, h("strong", {}, whole(part.count)), h("span", {}, name))
      : h("div", { class: "number" },
          h("strong", {}, percent(part.accuracy)),
          h("span", {}, `right of ${whole(part.count)} ${name}`),
          bar(part)));
}

// The accuracy as a bar with a mark where the baseline is: always answering the most frequent class.
function bar({ accuracy, baseline }) {
  const drawing = svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": true },
    svg("rect", { width: 100, height: 6, class: "empty" }),
    svg("rect", { width: 100 * accuracy, height: 6, class: "filled" }),
    svg("rect", { x: Math.max(0, 100 * baseline - 0.3), width: 0.6, height: 6, class: "mark" }));
  return [drawing, h("span", { class: "faint" }, `${percent(baseline)} by always answering the most frequent class`)];
}

function headerOf(data, engine) {
  const { curves, train } = data.run;
  const names = data.classes.map((name, i) => [i ? (i === data.classes.length - 1 ? " or " : ", ") : "", nameOf(name)]);
  const times = curves ? [`, trained for ${whole(curves.epochs)} ${curves.epochs === 1 ? "epoch" : "epochs"}`] : [];
  const on = train && curves ? [` on ${whole(train.count)} ${data.input.isPicture ? "photographs" : "samples"}`] : [];
  const took = curves?.seconds ? [` in ${duration(curves.seconds)}`] : [];
  return h("header", {},
    h("h1", {}, nameOf(data.title)),
    h("p", { class: "lead" }, "A network that answers ", data.classes.length > 6 ? `one of ${data.classes.length} classes` : names,
      ...times, ...on, ...took, ". It runs in this page: nothing leaves your computer."),
    h("div", { class: "numbers" }, runNumbers(data)));
}

function duration(seconds) {
  if (seconds < 120) return `${number(seconds)} seconds`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}

// The curve over epochs, which are spaced like a logarithm. `marker.to(epoch)` moves the mark.
function curveOf(curves, marker) {
  const height = 230;
  const [left, top, bottom, right] = [46, 12, 30, 10];
  const values = [...curves.cost, ...(curves.validation ?? [])].filter((value) => value !== null);
  const high = values.length ? Math.max(...values) : 1;
  const low = values.length ? Math.min(...values) : 0;
  const draw = (width) => {
    const x = (epoch) => left + ((width - left - right) * Math.log(Math.max(epoch, 1))) / Math.log(Math.max(curves.epochs, 2));
    const y = (cost) => top + ((height - top - bottom) * (high - cost)) / (high - low || 1);
    const line = (costs, kind) => svg("path", { class: `curve ${kind}`, d: pathOf(curves.at, costs, x, y) });
    const mark = svg("g", { class: "mark" }, svg("line", { y1: top, y2: height - bottom }), svg("circle", { r: 4.5 }));
    marker.to = (epoch) => {
      const cost = costAt(curves, epoch);
      mark.firstChild.setAttribute("x1", x(epoch));
      mark.firstChild.setAttribute("x2", x(epoch));
      mark.lastChild.setAttribute("cx", x(epoch));
      mark.lastChild.setAttribute("cy", y(cost ?? high));
    };
    marker.to(marker.epoch);
    const powers = [1, 10, 100, 1000, 10000, 100000].filter((epoch) => epoch <= curves.epochs);
    if (curves.epochs / powers.at(-1) > 1.8) powers.push(curves.epochs);
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": curveText(curves) },
      [low, low + (high - low) / 2, high].map((cost) => [
        svg("line", { x1: left, x2: width - right, y1: y(cost), y2: y(cost), class: "rule" }),
        svg("text", { x: left - 8, y: y(cost) + 4, "text-anchor": "end" }, number(cost)),
      ]),
      powers.map((epoch, i) => svg("text", { x: x(epoch), y: height - 8, "text-anchor": i && epoch === curves.epochs ? "end" : "middle" }, whole(epoch))),
      line(curves.cost, "training"), curves.validation ? line(curves.validation, "validation") : [], mark);
  };
  return drawnToWidth(h("div", { class: "drawing curve-drawing" }), draw);
}

function pathOf(at, costs, x, y) {
  let begins = true;
  return costs
    .map((cost, i) => {
      if (cost === null) begins = true;
      if (cost === null) return "";
      const text = `${begins ? "M" : "L"}${x(at[i]).toFixed(1)} ${y(cost).toFixed(1)}`;
      begins = false;
      return text;
    })
    .join("");
}

function curveText(curves) {
  const last = curves.cost.at(-1);
  return `The cost over ${whole(curves.epochs)} epochs: ${number(curves.cost[0])} at first, ${number(last)} at last`;
}

function costAt(curves, epoch) {
  const after = curves.at.findIndex((each) => each >= epoch);
  return curves.cost[after < 0 ? curves.cost.length - 1 : after];
}
