// The page: its data, the photograph that is looked at, and its sections, put together.

// What all sections share: the data, the network, the chosen photograph and its forward pass.
class View {
  listeners = [];

  static async of(data) {
    const view = new View();
    view.data = data;
    view.engine = await Engine.of(data);
    view.exact = data.photographs?.exact ?? [];
    view.sheet = data.photographs && (await Sheet.of(data.photographs.sheet));
    view.changes = data.units?.changes && (await Sheet.of(data.units.changes));
    view.influencing = data.units?.influences && (await Sheet.of(data.units.influences.sheet));
    return view;
  }

  // Call `listener` for each photograph that is chosen from now on.
  onPhotograph(listener) {
    this.listeners.push(listener);
  }

  // The same once the page shows the photograph's answer, which need not wait for what is slower.
  afterAnswer(listener) {
    this.onPhotograph(() => {
      const { photo } = this;
      setTimeout(() => photo === this.photo && listener());
    });
  }

  show(photo, forward = this.engine.forward(photo.x)) {
    Object.assign(this, { photo, forward });
    this.listeners.forEach((listener) => listener());
  }

  async showExact(i) {
    const { place, data } = this.exact[i];
    const { names, labels } = this.data.photographs;
    const request = (this.request = {});
    const content = await this.#exactly(data);
    if (request !== this.request) return; // another one has been chosen meanwhile
    this.say("");
    this.show({ ...content, name: names[place], label: labels ? labels[place] : null });
  }

  async #exactly(data) {
    if (!this.data.input.isPicture) return { x: floatsOf(data), pixels: null };
    const [height, width, channels] = this.engine.shape;
    const rgba = pixelsOf(await bitmapOf(blobOf(data)));
    const pixels = new Uint8ClampedArray(height * width * channels);
    for (let i = 0; i < height * width; i++) for (let c = 0; c < channels; c++) pixels[i * channels + c] = rgba[4 * i + c];
    return { pixels, x: Float32Array.from(pixels) };
  }

  // A file of the reader's own, as `read_image` reads it; of a network for grey pictures the mean of the colours.
  async showFile(file) {
    const start = performance.now();
    const [height, width, channels] = this.engine.shape;
    const request = (this.request = {});
    let pixels;
    try {
      ({ pixels } = await photographFrom(file, height, width));
    } catch (error) {
      this.say(`${file.name}: ${error.message}`);
      return;
    }
    if (request !== this.request) return;
    if (channels === 1) pixels = pixels.filter((_, i) => i % 3 === 0).map((_, i) => (pixels[3 * i] + pixels[3 * i + 1] + pixels[3 * i + 2]) / 3);
    this.say("");
    for (const { button } of this.exact) button?.setAttribute("aria-pressed", "false");
    const x = Float32Array.from(pixels);
    const forward = this.engine.forward(x);
    this.show({ pixels, x, name: file.name, label: null, milliseconds: performance.now() - start }, forward);
    document.documentElement.dataset.milliseconds = (performance.now() - start).toFixed(1);
  }

  say(text) {
    if (this.message) this.message.textContent = text;
  }
}

async function main() {
  const page = document.getElementById("page");
  try {
    const view = await View.of(JSON.parse(document.getElementById("data").textContent));
    const sections = [
      headerOf(view.data, view.engine), networkSection(view.engine), await runSection(view.data, view.engine),
      waySection(view), backSection(view), answersSection(view),
      h("footer", {}, quiet("Made by minidl. This file needs no network and sends nothing: its content policy forbids every request.")),
    ];
    page.replaceChildren(...sections);
    if (view.exact.length) {
      press(view.exact[0].button.parentNode, view.exact[0].button);
      await view.showExact(0);
    }
    page.removeAttribute("aria-busy");
    document.documentElement.dataset.readyAfter = performance.now().toFixed(0);
  } catch (error) {
    page.replaceChildren(h("p", { class: "message", role: "alert" }, `This page cannot show the network: ${error.message}`));
    page.removeAttribute("aria-busy");
  }
}

main();
