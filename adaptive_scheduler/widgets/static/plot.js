// Curves of a run over time: points, loss and jobs above each other, with one cursor.

const COLORS = ["#2b6ca3", "#e2a52b", "#b5382a", "#7a5195", "#3c8d7c", "#8a6d3b", "#5b636d", "#c0608f"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [10, 4], [4, 2], [1, 2], [12, 3, 3, 3]];
const CHARTS = [
  { name: "npoints", label: "points" },
  { name: "loss", label: "loss (median)", log: true },
  { name: "jobs", label: "running jobs", stepped: true },
];

const HEIGHT = 150;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200,
  86400, 172800, 604800, 1209600, 2419200];

/** Return a time as it stands below a curve whose marks are some seconds apart. */
function clock(time, step) {
  const date = new Date(time * 1000);
  if (step >= 86400) return date.toLocaleDateString("en", { month: "short", day: "numeric" });
  const text = date.toLocaleTimeString("sv");
  return step < 60 ? text : text.slice(0, 5);
}

/** The history of the run, as Python has sent it: one array for each thing that is drawn. */
class Curves {
  constructor() {
    this.samples = [];
  }

  take(samples) {
    this.samples = samples ?? [];
  }

  /** Replace what came after a time by newer samples. */
  change({ since, samples }) {
    while (this.samples.length && this.samples.at(-1)[0] > since) this.samples.pop();
    this.samples.push(...samples);
  }

  data(name) {
    const field = { npoints: 1, loss: 2, jobs: 3 }[name];
    return [this.samples.map((sample) => sample[0]), this.samples.map((sample) => sample[field])];
  }
}

/** Bring curves with times of their own onto one time axis, as uPlot wants it. */
function joined(curves) {
  return curves.length === 1 ? curves[0] : uPlot.join(curves, curves.map((curve) => curve.slice(1).map(() => 2)));
}

/** Return what a colour of the theme is here and now, as a canvas understands it. */
function color(element, name) {
  const probe = make("span", { style: `color: var(${name})` });
  element.append(probe);
  const { color: value } = getComputedStyle(probe);
  probe.remove();
  return value;
}

/** Return where a logarithmic axis has lines: at powers of ten, and between them if these are few. */
function logSplits(low, high) {
  const decades = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) decades.push(power);
  const step = Math.ceil(decades.length / 6);
  const digits = decades.length > 3 ? [1] : decades.length > 2 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const lines = decades.filter((power) => power % step === 0)
    .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)));
  return lines.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

class Chart {
  constructor(element, value, spec, sync) {
    Object.assign(this, { element, value, spec, sync, plot: null, drawn: "" });
  }

  /** Draw curves: `{label, color, dash, data: [times, values]}`. */
  show(curves, width) {
    const key = JSON.stringify([curves.map(({ label }) => label), color(this.element, "--as-text"), color(this.element, "--as-curve")]);
    const data = joined(curves.map((curve) => curve.data));
    if (this.plot && this.drawn === key) {
      if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
      this.plot.setData(data);
      this.tell();
      return;
    }
    this.end();
    this.drawn = key;
    this.plot = new uPlot(this.options(curves, width), data, this.element);
    const values = this.element.querySelector("canvas");
    values.setAttribute("role", "img");
    values.setAttribute("aria-label", `${this.spec.label} over time`);
    this.tell();
  }

  /** Say in words what is under the cursor, or what is the newest. */
  tell() {
    const { plot, value } = this;
    if (!plot || plot.series.length > 2) { value.textContent = ""; return; }
    const [times, values] = plot.data;
    const at = plot.cursor.idx ?? values.findLastIndex((v) => v != null);
    const time = plot.cursor.idx == null ? "" : ` at ${new Date(times[at] * 1000).toLocaleString("sv")}`;
    value.textContent = values[at] == null ? "" : `${shortNumber(values[at])}${time}`;
  }

  options(curves, width) {
    const { log, stepped, label } = this.spec;
    const text = color(this.element, "--as-soft");
    const grid = { stroke: color(this.element, "--as-line"), width: 0.5 };
    const axis = { stroke: text, grid, ticks: { ...grid, size: 4 }, font: "11px system-ui, sans-serif" };
    return {
      width,
      height: HEIGHT,
      padding: [8, 28, 0, 0], // on the right there is room for half of a time
      cursor: { sync: { key: this.sync }, drag: { x: true, y: false }, points: { size: 6 } },
      hooks: { setCursor: [() => this.tell()] },
      legend: { show: curves.length > 1, live: true },
      scales: { x: { time: true }, y: log ? { distr: 3 } : { range: (u, low, high) => [0, Math.max(1, high * 1.05)] } },
      axes: [{ ...axis, size: 28, space: 76, incrs: SECONDS, values: (u, times, i, space, step) => times.map((t) => clock(t, step)) }, { ...axis, size: 58, values: (u, ticks) => ticks.map((t) => (t == null ? "" : shortNumber(t))), ...(log && { splits: (u, i, low, high) => logSplits(low, high), filter: (u, ticks) => ticks }) }],
      series: [
        { label: "time", value: (u, t) => (t == null ? "" : new Date(t * 1000).toLocaleTimeString("sv")) },
        ...curves.map((curve) => ({
          label: curve.label ?? label,
          stroke: curve.color,
          dash: curve.dash,
          width: 1.75,
          points: { show: false },
          spanGaps: true,
          paths: stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
          value: (u, v) => (v == null ? "–" : shortNumber(v)),
        })),
      ],
    };
  }

  end() {
    this.plot?.destroy();
    this.plot = null;
  }
}

class PlotView {
  constructor(model, curves, element) {
    Object.assign(this, { model, curves, life: lifetime() });
    this.what = make("p", { class: "as-plot-what", role: "status" });
    this.places = CHARTS.map(({ label }) => {
      const place = make("div", { class: "as-chart" });
      const value = make("span", { class: "as-value" });
      const caption = make("figcaption", {}, `${label} `, value);
      return [make("figure", { class: "as-figure" }, caption, place), place, value];
    });
    element.classList.add("as-root", "as-plot");
    element.append(this.what, ...this.places.map(([figure]) => figure));
    const sync = newId();
    this.charts = CHARTS.map((spec, i) => new Chart(this.places[i][1], this.places[i][2], spec, sync));
    this.draw = oncePerFrame(() => this.drawAll());
    const sizes = new ResizeObserver(this.draw);
    sizes.observe(element);
    const theme = new MutationObserver(this.draw);
    theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    this.life.onEnd(() => { sizes.disconnect(); theme.disconnect(); this.charts.forEach((chart) => chart.end()); });
    this.element = element;
    this.draw();
  }

  drawAll() {
    const width = Math.floor(this.element.clientWidth) - 2;
    if (width < 80 || !this.element.isConnected) return;
    const learners = this.model.get("learners");
    this.what.textContent = learners.length
      ? `${learners.length > 1 ? "Learners" : "Learner"} ${learners.map(({ index }) => index).join(", ")}. Clear the selection in the table to see the whole run.`
      : this.curves.samples.length < 2 ? "There is nothing to draw yet." : "";
    this.what.hidden = !this.what.textContent;
    this.charts.forEach((chart, i) => {
      const curves = this.curvesOf(chart.spec, learners);
      const [figure] = this.places[i];
      figure.hidden = !curves.some(({ data }) => data[1].some((v) => v != null));
      if (!figure.hidden) chart.show(curves, width);
    });
  }

  curvesOf({ name }, learners) {
    if (!learners.length || name === "jobs") {
      if (learners.length) return [];
      return [{ data: this.curves.data(name), color: color(this.element, "--as-curve") }];
    }
    return learners.map((learner, i) => ({
      label: `learner ${learner.index}`,
      data: [learner.time, learner[name]],
      color: i ? COLORS[i % COLORS.length] : color(this.element, "--as-curve"),
      dash: DASHES[i % DASHES.length],
    }));
  }
}

export default () => {
  const curves = new Curves();
  const views = new Set();
  const draw = () => views.forEach((view) => view.draw());
  return {
    initialize({ model }) {
      curves.take(model.get("samples"));
      const takeAll = () => { curves.take(model.get("samples")); draw(); };
      const takeChange = (message) => {
        if (message.samples) { curves.change(message); draw(); }
      };
      model.on("change:samples", takeAll);
      model.on("change:learners", draw);
      model.on("msg:custom", takeChange);
      return () => {
        model.off("change:samples", takeAll);
        model.off("change:learners", draw);
        model.off("msg:custom", takeChange);
      };
    },
    render({ model, el }) {
      const view = new PlotView(model, curves, el);
      views.add(view);
      return () => { views.delete(view); view.life.end(); };
    },
  };
};
