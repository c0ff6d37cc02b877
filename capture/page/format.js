// Numbers and text as the page shows them, and elements to put them into.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element: attributes, then children (text is never read as markup). */
function el(tag, attrs = {}, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

/** Make an SVG element. */
function svg(tag, attrs = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attrs, children);
}

function fill(element, attrs, children) {
  for (const [key, value] of Object.entries(attrs)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** Three digits and a prefix: 1234567 is "1.23 M". Text (a symbolic cost) stays as it is, unknown is a dash. */
function short(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return `${value} `;
  let power = 0;
  while (Math.abs(value) >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${power ? value.toPrecision(3) : Number.isInteger(value) ? value : value.toPrecision(3)} ${PREFIXES[power]}`;
}

const known = (value) => value !== null && value !== undefined;
const flopsText = (value) => (known(value) ? `${short(value)}FLOP` : "–");
const bytesText = (value) => (known(value) ? `${short(value)}B` : "–");
const exact = (value) => (typeof value === "number" ? value.toLocaleString("en") : String(value ?? "unknown"));

function timeText(seconds) {
  if (!known(seconds)) return "–";
  if (seconds === 0) return "0 s";
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  if (seconds >= 0.9995e-3) return `${(seconds * 1e3).toPrecision(3)} ms`;
  if (seconds >= 0.9995e-6) return `${(seconds * 1e6).toPrecision(3)} µs`;
  return `${(seconds * 1e9).toPrecision(3)} ns`;
}

/** A share, such as "12%" or "0.3%". */
function percent(part, whole) {
  if (!(whole > 0)) return "–";
  const share = (100 * part) / whole;
  return share > 0 && share < 0.05 ? "<0.1%" : `${share.toFixed(share < 9.95 ? 1 : 0)}%`;
}

const specText = (output) => `${output.dtype}[${output.shape.join(", ")}]`;
const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

const FONTS = { label: "600 13px system-ui, sans-serif", small: "11px ui-monospace, monospace" };
const ruler = document.createElement("canvas").getContext("2d");
const widths = new Map();

/** How wide a text will be, in pixels. */
function width(text, font) {
  const key = font + text;
  if (!widths.has(key)) {
    ruler.font = FONTS[font];
    widths.set(key, ruler.measureText(text).width);
  }
  return widths.get(key);
}
