// A table of typed columns of which only the rows in sight are in the page.

const ROW = 26;
const OF_TEXTS = new Set(["state", "text"]);
const COLLATOR = new Intl.Collator("en", { numeric: true });
const COMPARISON = /^([\w ]+?)\s*(<=|>=|<|>|=)\s*(\S+)$/;
const COMPARE = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
};

/** The rows, as Python has sent them. */
class Table {
  constructor() {
    this.columns = [];
    this.nRows = 0;
    this.sequence = -1;
    this.skew = 0;
  }

  take(whole) {
    if (!whole?.columns) return;
    this.nRows = whole.n_rows;
    this.sequence = whole.sequence;
    this.columns = whole.columns.map((column) => ({
      ...column, texts: [...column.texts], data: numbers(column.kind, column.data),
    }));
    this.setClock(whole.now);
  }

  /** Return whether the message was the next one; else something was missed. */
  change(message, buffers) {
    if (message.sequence !== this.sequence + 1) return message.sequence <= this.sequence;
    this.sequence = message.sequence;
    const rows = numbers("text", buffers[0]);
    this.columns.forEach((column, i) => {
      column.texts.push(...message.texts[i]);
      const values = numbers(column.kind, buffers[i + 1]);
      for (let k = 0; k < rows.length; k++) column.data[rows[k]] = values[k];
    });
    this.setClock(message.now);
    return true;
  }

  setClock(now) {
    if (now) this.skew = now - Date.now() / 1000;
  }

  now() {
    return Date.now() / 1000 + this.skew;
  }

  column(name) {
    return this.columns.find((column) => column.name === name);
  }

  text(column, row) {
    const value = column.data[row];
    switch (column.kind) {
      case "state":
      case "text": return column.texts[value];
      case "share": return Number.isNaN(value) ? "" : `${Math.floor(value * 100)} %`;
      case "percent": return Number.isNaN(value) ? "" : `${Number(value.toPrecision(3))} %`;
      case "integer": return Number.isNaN(value) ? "" : value.toLocaleString("en");
      case "time": return shortSpan(this.now() - value);
      case "seconds": return shortSpan(value);
      default: return shortNumber(value);
    }
  }

  /** Return keys by which rows are sorted: numbers, with those that are unknown at the end. */
  keys(name, descending) {
    if (name === "#") return Float64Array.from({ length: this.nRows }, (_, i) => i);
    const { kind, data, texts } = this.column(name);
    const last = descending ? -Infinity : Infinity;
    if (!OF_TEXTS.has(kind)) return Float64Array.from(data, (v) => (Number.isNaN(v) ? last : v));
    const order = texts.map((_, i) => i);
    order.sort(kind === "state"
      ? (a, b) => STATES.indexOf(texts[a]) - STATES.indexOf(texts[b])
      : (a, b) => COLLATOR.compare(texts[a], texts[b]));
    const ranks = new Float64Array(texts.length);
    order.forEach((code, rank) => { ranks[code] = texts[code] === "" ? last : rank; });
    return Float64Array.from(data, (code) => ranks[code]);
  }

  /** Return a function that says of a row whether it holds what is looked for. */
  matcher(query) {
    const comparison = COMPARISON.exec(query.trim());
    const compared = comparison && this.columns.find(
      ({ name, label, kind }) => !OF_TEXTS.has(kind)
        && [name, label].some((n) => n.toLowerCase() === comparison[1].toLowerCase()));
    if (compared && !Number.isNaN(Number(comparison[3]))) {
      const holds = COMPARE[comparison[2]];
      const limit = Number(comparison[3]);
      const factor = compared.kind === "share" ? 100 : 1;
      return (row) => holds(compared.data[row] * factor, limit);
    }
    const tests = query.toLowerCase().split(/\s+/).filter(Boolean).map((term) => {
      const columns = this.columns.filter(({ kind }) => OF_TEXTS.has(kind)).map(({ data, texts }) => ({
        data, hits: texts.map((text) => text.toLowerCase().includes(term)),
      }));
      return (row) => String(row) === term || columns.some(({ data, hits }) => hits[data[row]]);
    });
    return (row) => tests.every((test) => test(row));
  }

  /** Return the rows that are shown, in order. */
  rows({ sort, descending, query, states }) {
    const matches = this.matcher(query);
    const state = states.size ? this.columns.find(({ kind }) => kind === "state") : undefined;
    const rows = new Uint32Array(this.nRows);
    let n = 0;
    for (let row = 0; row < this.nRows; row++) {
      if (state && !states.has(state.texts[state.data[row]])) continue;
      if (query && !matches(row)) continue;
      rows[n++] = row;
    }
    const shown = rows.subarray(0, n);
    if (sort !== "#" && this.column(sort)) {
      const keys = this.keys(sort, descending);
      const sign = descending ? -1 : 1;
      shown.sort((a, b) => sign * (keys[a] - keys[b] || 0) || a - b);
    } else if (descending) {
      shown.reverse();
    }
    return shown;
  }

  /** Return how many rows have each state. */
  counts() {
    const column = this.columns.find(({ kind }) => kind === "state");
    const counts = new Map();
    if (column) for (const code of column.data) counts.set(code, (counts.get(code) ?? 0) + 1);
    return new Map([...counts].map(([code, n]) => [column.texts[code], n]));
  }
}

/** What the user has done to the table; it outlives the place where the table is shown. */
class Choice {
  constructor() {
    this.sort = "#";
    this.descending = false;
    this.query = "";
    this.states = new Set();
    this.selected = new Set();
    this.active = 0;
  }
}

class GridView {
  constructor(model, table, choice, element) {
    Object.assign(this, { model, table, choice, id: newId(), life: lifetime() });
    this.rows = new Uint32Array(0);
    this.pool = [];
    this.build(element);
    this.draw = oncePerFrame(() => this.drawRows());
    this.tell = whenQuiet(120, () => this.tellSelection());
    this.update();
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.body);
    this.life.onEnd(() => observer.disconnect());
    const clock = setInterval(() => this.draw(), 1000);  // "last seen" grows by itself
    this.life.onEnd(() => clearInterval(clock));
  }

  build(element) {
    const caption = this.model.get("caption");
    this.search = make("input", {
      type: "search", class: "as-search", placeholder: this.model.get("hint"), "aria-label": `Filter ${caption}`,
      oninput: () => { this.choice.query = this.search.value; this.update(); },
    });
    this.search.value = this.choice.query;
    this.chips = make("span", { class: "as-chips", role: "group", "aria-label": "Show only" });
    this.count = make("span", { class: "as-count", role: "status" });
    this.clear = make("button", { class: "as-link", type: "button", onclick: () => this.select([]) }, "clear selection");
    this.header = make("div", { class: "as-row as-header", role: "row", "aria-rowindex": 1 });
    this.spacer = make("div", { class: "as-spacer", role: "presentation" });
    this.body = make("div", {
      class: "as-grid", role: "grid", tabindex: 0, "aria-label": caption, "aria-multiselectable": "true",
      onscroll: () => this.draw(), onkeydown: (event) => this.key(event),
    }, this.header, this.spacer);
    this.spacer.addEventListener("mousedown", (event) => this.pick(event));
    this.spacer.addEventListener("dblclick", (event) => this.open(this.rowAt(event)));
    element.classList.add("as-root", "as-table");
    element.append(
      make("div", { class: "as-tools" }, this.search, this.chips), this.body,
      make("div", { class: "as-foot" }, this.count, this.clear));
    this.element = element;
  }

  /** Show the rows anew: data, filter or order have changed. */
  update() {
    this.rows = this.table.rows(this.choice);
    this.element.hidden = !this.table.columns.length;
    this.drawHeader();
    this.drawChips();
    this.drawCount();
    const height = Math.max(1, this.rows.length) * ROW;
    this.spacer.style.height = `${height}px`;
    this.body.style.setProperty("--as-height", `${Math.min(12, Math.max(2, this.table.nRows)) * ROW + 32}px`);
    this.body.setAttribute("aria-rowcount", this.rows.length + 1);
    this.draw();
  }

  template() {
    const columns = this.table.columns.map(({ width, kind }, i) =>
      kind === "text" && i === this.table.columns.length - 1 ? `minmax(${width}px, 1fr)` : `${width}px`);
    return ["76px", ...columns].join(" ");
  }

  drawHeader() {
    const { sort, descending } = this.choice;
    const names = JSON.stringify([this.table.columns.map(({ name }) => name), sort, descending]);
    if (names === this.drawnHeader) return;
    this.drawnHeader = names;
    this.body.style.setProperty("--as-columns", this.template());
    this.body.setAttribute("aria-colcount", this.table.columns.length + 1);
    const focused = this.header.contains(document.activeElement) ? document.activeElement.dataset.column : null;
    const columns = [{ name: "#", label: this.model.get("index"), kind: "integer" }, ...this.table.columns];
    this.header.replaceChildren(...columns.map(({ name, label, kind }) => {
      const order = name === sort ? (descending ? "descending" : "ascending") : "none";
      const arrow = make("span", { class: "as-arrow", "aria-hidden": "true" }, { none: "", ascending: "▲", descending: "▼" }[order]);
      const button = make("button", {
        type: "button", class: "as-sort", "data-column": name, onclick: () => this.sortBy(name),
      }, label, arrow);
      const side = OF_TEXTS.has(kind) || kind === "share" ? "" : " as-right";
      return make("div", { role: "columnheader", class: `as-cell${side}`, "aria-sort": order }, button);
    }));
    if (focused) this.header.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
  }

  drawChips() {
    const counts = this.table.counts();
    const shown = STATES.filter((state) => counts.get(state) || this.choice.states.has(state));
    const drawn = JSON.stringify(shown.map((s) => [s, counts.get(s), this.choice.states.has(s)]));
    if (drawn === this.drawnChips) return;
    this.drawnChips = drawn;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    this.chips.replaceChildren(...shown.map((state) => make("button", {
      type: "button", class: "as-chip", "data-state": state, "aria-pressed": String(this.choice.states.has(state)),
      onclick: () => {
        if (!this.choice.states.delete(state)) this.choice.states.add(state);
        this.update();
      },
    }, make("span", { class: `as-key as-${state}`, "aria-hidden": "true" }, SIGNS[state]), `${state} ${(counts.get(state) ?? 0).toLocaleString("en")}`)));
    if (focused) this.chips.querySelector(`[data-state="${focused}"]`)?.focus();
  }

  drawCount() {
    const all = this.table.nRows.toLocaleString("en");
    const shown = this.rows.length === this.table.nRows ? all : `${this.rows.length.toLocaleString("en")} of ${all}`;
    const chosen = this.choice.selected.size;
    const text = `${shown} rows${chosen ? `, ${chosen.toLocaleString("en")} selected` : ""}`;
    if (this.count.textContent !== text) this.count.textContent = text;
    this.clear.hidden = !chosen;
  }

  drawRows() {
    if (!this.body.isConnected) return;
    const first = Math.max(0, Math.floor(this.body.scrollTop / ROW) - 3);
    const n = Math.min(this.rows.length - first, Math.ceil((this.body.clientHeight || 400) / ROW) + 7);
    while (this.pool.length < n) this.pool.push(this.newRow());
    this.pool.forEach((element, i) => {
      element.hidden = i >= n;
      if (i < n) this.drawRow(element, first + i);
    });
    const active = this.pool.find((e) => !e.hidden && Number(e.dataset.position) === this.choice.active);
    if (active) this.body.setAttribute("aria-activedescendant", active.id);
    else this.body.removeAttribute("aria-activedescendant");
  }

  newRow() {
    const row = make("div", { class: "as-row", role: "row", id: `${this.id}-${this.pool.length}` });
    this.spacer.append(row);
    return row;
  }

  drawRow(element, position) {
    const row = this.rows[position];
    const chosen = this.choice.selected.has(row);
    element.style.transform = `translateY(${position * ROW}px)`;
    element.dataset.position = position;
    element.setAttribute("aria-rowindex", position + 2);
    element.setAttribute("aria-selected", String(chosen));
    element.classList.toggle("as-active", position === this.choice.active);
    const { columns } = this.table;
    while (element.childElementCount < columns.length + 1) element.append(make("div", { role: "gridcell" }));
    while (element.childElementCount > columns.length + 1) element.lastElementChild.remove();
    const cells = element.children;
    this.drawCell(cells[0], "as-cell as-right as-index", row.toLocaleString("en"));
    columns.forEach((column, i) => this.drawValue(cells[i + 1], column, row));
  }

  drawCell(cell, className, text, title = "") {
    if (cell.className !== className) cell.className = className;
    if (cell.firstElementChild || cell.textContent !== text) cell.textContent = text;
    if (cell.title !== title) cell.title = title;
  }

  drawValue(cell, column, row) {
    const text = this.table.text(column, row);
    const value = column.data[row];
    if (column.kind === "state") {
      const shown = `as-cell as-state|${text}`;
      if (cell.dataset.shown === shown) return;
      cell.className = "as-cell as-state";
      cell.replaceChildren(make("span", { class: `as-key as-${text}`, "aria-hidden": "true" }, SIGNS[text] ?? ""), text);
      cell.dataset.shown = shown;
    } else if (column.kind === "share" && !Number.isNaN(value)) {
      if (cell.dataset.shown === text) return;
      cell.className = "as-cell";
      const bar = make("span", { class: "as-share", "aria-hidden": "true" }, make("span", { style: `width:${Math.max(0, Math.min(1, value)) * 100}%` }));
      cell.replaceChildren(bar, make("span", { class: "as-share-text" }, text));
      cell.dataset.shown = text;
    } else {
      delete cell.dataset.shown;
      const side = OF_TEXTS.has(column.kind) ? "as-cell" : "as-cell as-right";
      this.drawCell(cell, side, text, text.length > 12 ? text : "");
    }
  }

  // What the user does.

  sortBy(name) {
    const { choice } = this;
    choice.descending = choice.sort === name ? !choice.descending : false;
    choice.sort = name;
    this.update();
  }

  rowAt(event) {
    const element = event.target.closest(".as-row");
    return element ? Number(element.dataset.position) : -1;
  }

  pick(event) {
    const position = this.rowAt(event);
    if (position < 0 || event.button !== 0) return;
    const row = this.rows[position];
    const { selected } = this.choice;
    if (event.shiftKey) {
      event.preventDefault();
      this.extend(position);
    } else if (event.ctrlKey || event.metaKey) {
      this.activate(position);
      this.select(selected.has(row) ? [...selected].filter((r) => r !== row) : [...selected, row]);
    } else {
      this.activate(position);
      this.select(selected.size === 1 && selected.has(row) ? [] : [row]);
    }
  }

  extend(position) {
    const [from, to] = [this.choice.active, position].sort((a, b) => a - b);
    this.select([...this.choice.selected, ...this.rows.subarray(from, to + 1)]);
    this.activate(position);
  }

  select(rows) {
    this.choice.selected = new Set(rows);
    this.drawCount();
    this.draw();
    this.tell();
  }

  tellSelection() {
    this.model.set("selected", [...this.choice.selected].sort((a, b) => a - b));
    this.model.save_changes();
  }

  activate(position) {
    if (!this.rows.length) return;
    this.choice.active = Math.max(0, Math.min(this.rows.length - 1, position));
    const top = this.choice.active * ROW;
    const room = this.body.clientHeight - this.header.offsetHeight - ROW;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top > this.body.scrollTop + room) this.body.scrollTop = top - room;
    this.draw();
  }

  open(position) {
    if (position >= 0 && position < this.rows.length) this.model.send({ open: this.rows[position] });
  }

  key(event) {
    if (event.target !== this.body) return;
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 2);
    const { active, selected } = this.choice;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      const target = Math.max(0, Math.min(this.rows.length - 1, active + moves[event.key]));
      if (event.shiftKey) this.extend(target);
      else this.activate(target);
    } else if (event.key === " ") {
      const row = this.rows[active];
      this.select(selected.has(row) ? [...selected].filter((r) => r !== row) : [...selected, row]);
    } else if (event.key === "Enter") {
      this.open(active);
    } else if (event.key === "Escape") {
      this.select([]);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      this.select(this.rows);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();  // Jupyter has plans for these keys, too
  }
}

export default () => {
  const table = new Table();
  const choice = new Choice();
  const views = new Set();
  const update = oncePerFrame(() => views.forEach((view) => view.update()));
  return {
    initialize({ model }) {
      table.take(model.get("table"));
      const takeWhole = () => { table.take(model.get("table")); update(); };
      const takeChange = (message, buffers) => {
        if (!message.texts) return;
        if (table.change(message, buffers)) update();
        else model.send({ has: table.sequence });
      };
      model.on("change:table", takeWhole);
      model.on("msg:custom", takeChange);
      model.send({ has: table.sequence });  // what was sent while this page was loading is lost
      return () => {
        model.off("change:table", takeWhole);
        model.off("msg:custom", takeChange);
      };
    },
    render({ model, el }) {
      const view = new GridView(model, table, choice, el);
      views.add(view);
      model.send({ shown: 1 });
      return () => {
        views.delete(view);
        view.life.end();
        model.send({ shown: -1 });
      };
    },
  };
};
