// Pictures and numbers out of the page's data, and numbers drawn as pictures.

const NEGATIVE = [31, 95, 174]; // blue and orange, which the colour-blind tell apart; 0 is white
const POSITIVE = [184, 74, 11];

function bytesOf(base64) {
  const characters = atob(base64);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

function floatsOf(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}

function blobOf(address) {
  const [kind, base64] = address.slice("data:".length).split(";base64,");
  return new Blob([bytesOf(base64)], { type: kind });
}

// Undo what `packed` in Python has done to large weights: decompress four rows of bytes, and weave them to numbers.
async function inflated(node) {
  for (const weight of Object.values(node.weights)) {
    if (typeof weight.data === "string") continue;
    const stream = new Blob([bytesOf(weight.data.deflate)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const rows = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = rows.length / 4;
    const woven = new Uint8Array(rows.length);
    for (let place = 0; place < 4; place++) {
      for (let i = 0; i < count; i++) woven[4 * i + place] = rows[place * count + i];
    }
    weight.data = new Float32Array(woven.buffer);
  }
  for (const child of node.children) await inflated(child);
  return node;
}

// The pixels of a picture as they are in its file: no colour profile, no alpha multiplied in.
async function bitmapOf(blob) {
  return createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
}

function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

// Pixels (height, width, channels), 0 to 255, as a canvas.
function canvasOf(pixels, height, width, channels = 3) {
  const image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[channels === 1 ? i : channels * i + c];
    image.data[4 * i + 3] = 255;
  }
  const canvas = h("canvas", { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function largestOf(values, start = 0, step = 1) {
  let largest = 0;
  for (let i = start; i < values.length; i += step) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

function colourOf(share) {
  const end = share < 0 ? NEGATIVE : POSITIVE;
  const size = Math.min(1, Math.abs(share)) || 0;
  return end.map((channel) => Math.round(255 + (channel - 255) * size));
}

// The colours of -1 to 1 in small steps, as pixels of a canvas.
const STEPS = 255;
const PALETTE = Uint32Array.from({ length: 2 * STEPS + 1 }, (_, i) => {
  const [red, green, blue] = colourOf((i - STEPS) / STEPS);
  return new Uint32Array(Uint8Array.of(red, green, blue, 255).buffer)[0];
});

// Black or white, whichever is read better on the colour of a share.
function inkOn(share) {
  return Math.abs(share) > 0.55 ? "#fff" : "#16191d";
}

// Numbers of one channel of (height, width, channels) from blue, the most negative, over white to orange.
function heatMap(values, height, width, channels = 1, channel = 0) {
  const scale = STEPS / (largestOf(values, channel, channels) || 1);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = PALETTE[STEPS + Math.round(scale * values[channels * i + channel])];
  const canvas = h("canvas", { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Weights or gradients of a picture of three channels: colours around grey, which stands for 0.
function colourMap(values, height, width) {
  const largest = largestOf(values) || 1;
  return canvasOf(Uint8ClampedArray.from(values, (value) => 128 + (127 * value) / largest), height, width);
}

function mapOf(values, [height, width, channels]) {
  return channels === 3 ? colourMap(values, height, width) : heatMap(values, height, width, channels);
}

// The pictures of a sheet, each drawn when it is asked for.
class Sheet {
  static async of(data) {
    const sheet = new Sheet();
    Object.assign(sheet, data);
    if (data.count) {
      sheet.bitmap = await bitmapOf(blobOf(data.file));
      sheet.address = URL.createObjectURL(blobOf(data.file));
    }
    return sheet;
  }

  canvas(i) {
    const canvas = h("canvas", { width: this.width, height: this.height });
    this.drawOn(canvas, i);
    return canvas;
  }

  drawOn(canvas, i) {
    const [left, top] = [(i % this.columns) * this.width, Math.floor(i / this.columns) * this.height];
    const whole = [0, 0, this.width, this.height];
    canvas.getContext("2d").drawImage(this.bitmap, left, top, this.width, this.height, ...whole);
  }
}
