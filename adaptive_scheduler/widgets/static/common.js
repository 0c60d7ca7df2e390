// What all widgets share. It is put in front of each widget's own file.

const SIGNS = {
  done: "✓", running: "▶", ready: "○", waiting: "…", delayed: "↻", failed: "✗", cancelled: "–",
};
const STATES = Object.keys(SIGNS);

/** Make an element: `make("button", { class: "as-button", onclick: f }, "text", child)`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const ARRAYS = {
  integer: Float64Array, number: Float64Array, time: Float64Array,
  share: Float32Array, percent: Float32Array, seconds: Float32Array,
  state: Int32Array, text: Int32Array,
};

/** Return bytes from Python as an array of numbers. */
function numbers(kind, view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return new ARRAYS[kind](bytes);
}

function shortNumber(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "" : "∞";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("+", "");
  if (size >= 100 || Number.isInteger(value)) {
    return value.toLocaleString("en", { maximumFractionDigits: 0 });
  }
  return String(Number(value.toPrecision(3)));
}

/** Return a span of seconds in its largest unit. */
function shortSpan(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Call a function with the next picture, once however often this is called. */
function oncePerFrame(callback) {
  let wanted = false;
  return () => {
    if (wanted) return;
    wanted = true;
    requestAnimationFrame(() => {
      wanted = false;
      callback();
    });
  };
}

/** Call a function when nothing has happened for some milliseconds. */
function whenQuiet(milliseconds, callback) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(callback, milliseconds);
  };
}

/** Return a function that takes elements into a list of things to end, and a function that ends. */
function lifetime() {
  const ends = [];
  return { onEnd: (end) => ends.push(end), end: () => ends.splice(0).forEach((end) => end()) };
}

let lastId = 0;
const newId = () => `as-${++lastId}-${Math.random().toString(36).slice(2, 7)}`;
