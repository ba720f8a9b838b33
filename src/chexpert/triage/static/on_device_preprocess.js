// The house's preprocessing (chexpert.imaging: "stretch-area-pad-2") once more, for a browser: bytes to uint8 pixels.
// Integers are rounded where Pillow and NumPy round, so that a PNG gives the same pixels to the last bit.

const COLOUR_TOLERANCE = 16;
const COLOUR_SHARE = 0.01;
const MAX_PIXELS = 64e6;
const MIN_SIDE = 8;
const PRECISION_BITS = 22;
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);

/** Round half to even, as Python and NumPy do. */
function rint(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 ? floor + 1 : floor;
}

/** Format of the file, or an Error that says why it is not taken. */
export function sniff(bytes) {
  const starts = (...head) => head.every((byte, at) => bytes[at] === byte);
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) {
    if (bytes[24] === 16) throw new Error("a PNG of 16 bits loses its depth in a browser: upload it instead");
    if (String.fromCharCode(...bytes.subarray(33, 256)).includes("acTL")) throw new Error("an animated PNG: one image is expected");
    return "PNG";
  }
  if (starts(0xff, 0xd8, 0xff)) {
    if (components(bytes) === 4) throw new Error("a JPEG in CMYK: a grey image is expected");
    return "JPEG";
  }
  throw new Error("neither PNG nor JPEG: other formats are read by the server only");
}

function components(bytes) {
  let at = 2;
  while (at + 9 < bytes.length && bytes[at] === 0xff) {
    if (bytes[at + 1] === 0xff) at += 1;
    else if (FRAMES.has(bytes[at + 1])) return bytes[at + 9];
    else at += 2 + bytes[at + 2] * 256 + bytes[at + 3];
  }
  return 0;
}

/** Grey levels of a file: {pixels, width, height, form}. */
export async function decode(file) {
  const form = sniff(new Uint8Array(await file.arrayBuffer()));
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  if (Math.min(width, height) < MIN_SIDE) throw new Error(`${width}x${height} px: the shorter side must have ${MIN_SIDE}`);
  if (width * height > MAX_PIXELS) throw new Error(`${width}x${height} px, more than ${MAX_PIXELS.toLocaleString("en")} in all`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { pixels: grey(context.getImageData(0, 0, width, height).data), width, height, form };
}

function grey(rgba) {
  const pixels = new Uint8Array(rgba.length / 4);
  let coloured = 0;
  for (let at = 0, from = 0; at < pixels.length; at += 1, from += 4) {
    const green = rgba[from + 1];
    if (rgba[from + 3] !== 255) throw new Error("transparent pixels: an opaque image is expected");
    coloured += Math.max(Math.abs(rgba[from] - green), Math.abs(green - rgba[from + 2])) > COLOUR_TOLERANCE;
    pixels[at] = green;
  }
  const share = coloured / pixels.length;
  if (share > COLOUR_SHARE) throw new Error(`colour: the channels of ${Math.round(100 * share)} % of the pixels differ; a grey image is expected`);
  return pixels;
}

/** Pixels (size * size) that the graph takes. `spec`: {size, low, high}, the percentiles in percent. */
export function preprocess(image, spec) {
  const scale = spec.size / Math.max(image.width, image.height);
  const width = Math.max(1, rint(image.width * scale));
  const height = Math.max(1, rint(image.height * scale));
  const drafted = image.form === "JPEG" ? draft(image, width, height) : image;
  const small = resize(drafted, width, height);
  stretch(small, spec);
  const mean = rint(small.reduce((sum, level) => sum + level, 0) / small.length);
  const result = new Uint8Array(spec.size * spec.size).fill(mean);
  const top = Math.floor((spec.size - height) / 2);
  const left = Math.floor((spec.size - width) / 2);
  for (let row = 0; row < height; row += 1) {
    result.set(small.subarray(row * width, (row + 1) * width), (top + row) * spec.size + left);
  }
  return result;
}

/** What libjpeg's scaled decoding gives the server: means of 2 x 2, 4 x 4 or 8 x 8 pixels. */
function draft({ pixels, width, height }, wantedWidth, wantedHeight) {
  const most = Math.min(Math.floor(width / wantedWidth), Math.floor(height / wantedHeight));
  const side = [8, 4, 2, 1].find((one) => one <= Math.max(1, most));
  if (side === 1) return { pixels, width, height };
  const [columns, rows] = [Math.ceil(width / side), Math.ceil(height / side)];
  const reduced = new Uint8Array(columns * rows);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      let sum = 0;
      for (let y = row * side; y < (row + 1) * side; y += 1) {
        const line = Math.min(y, height - 1) * width;
        for (let x = column * side; x < (column + 1) * side; x += 1) sum += pixels[line + Math.min(x, width - 1)];
      }
      reduced[row * columns + column] = Math.floor(sum / (side * side) + 0.5);
    }
  }
  return { pixels: reduced, width: columns, height: rows };
}

/** Pillow's resize: areas where both sides shrink, bilinear where one grows; one pass per direction, in integers. */
function resize({ pixels, width, height }, toWidth, toHeight) {
  const grows = Math.max(toWidth / width, toHeight / height) > 1;
  const across = toWidth === width ? pixels : pass(pixels, weights(width, toWidth, grows), height, width, 1, toWidth, 1);
  return toHeight === height ? across.slice() : pass(across, weights(height, toHeight, grows), toWidth, 1, toWidth, 1, toWidth);
}

/** Each of `lines` lines resampled: steps from line to line and within a line, in the source and in the result. */
function pass(source, kernels, lines, lineFrom, stepFrom, lineTo, stepTo) {
  const result = new Uint8Array(lines * kernels.length);
  const half = 2 ** (PRECISION_BITS - 1);
  for (let line = 0; line < lines; line += 1) {
    kernels.forEach(({ first, parts }, at) => {
      let sum = half;
      for (let part = 0; part < parts.length; part += 1) sum += source[line * lineFrom + (first + part) * stepFrom] * parts[part];
      result[line * lineTo + at * stepTo] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** PRECISION_BITS)));
    });
  }
  return result;
}

function weights(from, to, bilinear) {
  const scale = from / to;
  const stretchedBy = Math.max(1, scale);
  const support = (bilinear ? 1 : 0.5) * stretchedBy;
  const box = (x) => (x > -0.5 && x <= 0.5 ? 1 : 0);
  const tent = (x) => Math.max(0, 1 - Math.abs(x));
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, x) => (bilinear ? tent : box)((x + first - centre + 0.5) / stretchedBy));
    const total = raw.reduce((sum, one) => sum + one, 0);
    return { first, parts: raw.map((one) => Math.trunc(0.5 + (one / total) * 2 ** PRECISION_BITS)) };
  });
}

/** Percentiles become black and white, in place; an image of one level keeps it. */
function stretch(pixels, spec) {
  const counts = new Array(256).fill(0);
  for (const level of pixels) counts[level] += 1;
  let sum = 0;
  const below = counts.map((count) => (sum += count));
  const [low, high] = [spec.low, spec.high].map((percent) => below.findIndex((count) => count >= (percent / 100) * sum));
  if (high <= low) return;
  const table = counts.map((_, level) => rint(Math.min(255, Math.max(0, (level - low) * (255 / (high - low))))));
  pixels.forEach((level, at) => { pixels[at] = table[level]; });
}
