// A picture file as the network takes it, as `read_image` of minidl reads it: upright, RGB, on white, resized.

const DRAFT_GAP = 3; // a JPEG is averaged over squares first, as long as it stays so many times larger than wanted

// Return {pixels: Uint8ClampedArray (height, width, 3), height, width} of a file.
async function photographFrom(file, height, width) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("this browser cannot read it as a picture");
  }
  const whole = { data: pixelsOf(bitmap), height: bitmap.height, width: bitmap.width, channels: 4 };
  bitmap.close();
  layOnWhite(whole.data);
  const side = DRAFT_GAP * Math.max(height, width);
  const times = Math.min(Math.floor(whole.width / side), Math.floor(whole.height / side));
  const factor = (await isJpeg(file)) ? ([8, 4, 2].find((each) => each <= times) ?? 1) : 1;
  const box = [whole.height / factor, whole.width / factor];
  return { pixels: resized(factor === 1 ? whole : averaged(whole, factor), height, width, box).data, height, width };
}

async function isJpeg(file) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return start[0] === 0xff && start[1] === 0xd8;
}

function layOnWhite(data) {
  for (let i = 3; i < data.length; i += 4) {
    const alpha = data[i];
    if (alpha === 255) continue;
    for (let c = i - 3; c < i; c++) data[c] = Math.round((data[c] * alpha + 255 * (255 - alpha)) / 255);
  }
}

// Means of squares of pixels, which is what a JPEG decoder does at a fraction of the size.
function averaged({ data, height, width, channels }, factor) {
  const [rows, columns] = [Math.ceil(height / factor), Math.ceil(width / factor)];
  const result = new Uint8ClampedArray(rows * columns * 3);
  const sums = new Uint32Array(columns * 3);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    const [top, bottom] = [row * factor, Math.min(height, (row + 1) * factor)];
    for (let y = top; y < bottom; y++) {
      let at = y * width * channels;
      for (let column = 0; column < columns; column++) {
        let [red, green, blue] = [0, 0, 0];
        for (const end = Math.min(width, (column + 1) * factor) * channels + y * width * channels; at < end; at += channels) {
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
        }
        sums[3 * column] += red;
        sums[3 * column + 1] += green;
        sums[3 * column + 2] += blue;
      }
    }
    for (let i = 0; i < 3 * columns; i++) {
      const across = Math.min(factor, width - Math.floor(i / 3) * factor);
      result[row * columns * 3 + i] = Math.round(sums[i] / (across * (bottom - top)));
    }
  }
  return { data: result, height: rows, width: columns, channels: 3 };
}
