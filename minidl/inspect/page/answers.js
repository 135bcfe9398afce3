// Right and wrong: the confusion matrix, and the photographs of it, filtered.

const AT_FIRST = 48; // photographs shown before "show more"
const IN_MATRIX = 30; // classes, at most, of which the matrix has room

function answersSection(view) {
  const { photographs, classes, run } = view.data;
  if (!photographs) return section("answers", "Right and wrong", quiet("No test photographs were given."));
  const filter = { result: 0, truth: 0, says: 0, order: 0, limit: AT_FIRST };
  const grid = h("div", { class: "grid", role: "group", "aria-label": "photographs" });
  const count = h("p", { class: "faint", role: "status" });
  const more = h("button", { type: "button", class: "plain", onclick: () => { filter.limit += 5 * AT_FIRST; draw(); } }, "Show more");
  const draw = () => {
    const found = filtered(photographs, filter);
    const shown = found.slice(0, filter.limit);
    count.textContent = `${whole(found.length)} ${found.length === 1 ? "photograph" : "photographs"}`;
    grid.replaceChildren(...shown.map((place) => answerOf(view, place)));
    if (shown.length) asOneStop(grid);
    more.hidden = shown.length === found.length;
  };
  const names = ["any class", ...classes];
  const set = (name) => (place) => { filter[name] = place; filter.limit = AT_FIRST; draw(); };
  const truth = choice("They are", names, set("truth"));
  const says = choice("The network says", names, set("says"));
  const result = choice("Answers", ["all", "wrong", "right"], set("result"), 0);
  const order = choice("Order", ["the surest first", "the least sure first", "as they come"], set("order"));
  const fromMatrix = (is, said) => {
    Object.assign(filter, { truth: is + 1, says: said + 1, result: 0, limit: AT_FIRST });
    const places = [[truth, is + 1], [says, said + 1], [result, 0]];
    for (const [field, place] of places) field.querySelector("select").selectedIndex = place;
    draw();
  };
  const hasLabels = photographs.labels !== null;
  draw();
  return section("answers", "Right and wrong",
    quiet(answersText(view)),
    hasLabels && classes.length <= IN_MATRIX ? [quiet("How often each class was taken for each: choose a number to see its photographs."),
      h("div", { class: "scrolling" }, matrixTable(run.test.matrix, classes, fromMatrix))] : [],
    h("div", { class: "fields" }, hasLabels ? [result, truth] : [], says, order), count, grid, more);
}

function answersText(view) {
  const { total, sheet } = view.data.photographs;
  const some = sheet.count < total ? ` ${whole(sheet.count)} of ${whole(total)} are shown, evenly chosen.` : "";
  return `Answers and probabilities are those of Python, for the whole photographs; here they are small.${some} A photograph with a frame is here without loss and can be followed through the network.`;
}

function filtered(photographs, { result, truth, says, order }) {
  const { labels, probabilities, says: saysOf } = photographs;
  const fits = (i) =>
    (truth === 0 || labels[i] === truth - 1) && (says === 0 || saysOf[i] === says - 1) &&
    (result === 0 || (saysOf[i] === labels[i]) === (result === 2));
  const found = probabilities.map((_, i) => i).filter(fits);
  const sureness = (i) => probabilities[i][saysOf[i]];
  if (order < 2) found.sort((i, j) => (order ? 1 : -1) * (sureness(i) - sureness(j)) || i - j);
  return found;
}

function answerOf(view, place) {
  const { labels, probabilities, names } = view.data.photographs;
  const row = probabilities[place];
  const says = view.data.photographs.says[place];
  const isRight = labels ? labels[place] === says : null;
  const mark = isRight === null ? "" : isRight ? "✓ " : "✗ ";
  const words = isRight === null ? "" : isRight ? "right: " : `wrong, it is ${view.data.classes[labels[place]]}: `;
  const label = `${names[place]}, ${words}${view.data.classes[says]} with ${probability(row[says])}`;
  const exact = view.exact.findIndex((entry) => entry.place === place);
  const attributes = { class: `photo${isRight === false ? " is-wrong" : ""}`, title: label };
  const content = [view.sheet.canvas(place), h("span", {}, `${mark}${probability(row[says])}`)];
  if (exact < 0) return h("div", { ...attributes, role: "img", "aria-label": label }, content);
  return h("button", { ...attributes, type: "button", "aria-label": `${label}; follow it through the network`, onclick: async () => {
    press(view.exact[exact].button.parentNode, view.exact[exact].button);
    await view.showExact(exact);
    document.getElementById("way").scrollIntoView();
    view.exact[exact].button.focus({ preventScroll: true });
  } }, content);
}

function matrixTable(matrix, classes, choose) {
  const largest = Math.max(1, ...matrix.flat());
  const rows = matrix.map((row, is) =>
    h("tr", {}, h("th", { scope: "row" }, "is ", nameOf(classes[is])), row.map((count, said) => {
      const share = (count / largest) * (is === said ? -1 : 1); // blue where right, orange where wrong
      const style = { "background-color": `rgb(${colourOf(share).join(" ")})`, color: inkOn(share) };
      const label = `${whole(count)}: is ${classes[is]}, the network says ${classes[said]}`;
      return h("td", {}, h("button", { type: "button", class: "count", style, "aria-label": label, onclick: () => choose(is, said) }, whole(count)));
    })));
  const head = [h("td"), ...classes.map((name) => h("th", { scope: "col" }, "says ", nameOf(name)))];
  return asOneStop(h("table", { class: "matrix", "aria-label": "How often each class was taken for each" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}
