// The end of a log that grows, with its attempts, what went wrong, and a search.

const MOST_LINES = 5000;
const BAD = /\b(error|exception|traceback|failed|killed|cancelled|oom)\b/i;

/** Lines of text, of which the oldest are dropped. */
class Lines {
  constructor() {
    this.lines = [];
    this.open = "";  // a line that has no end yet
    this.dropped = 0;
  }

  reset(text) {
    this.lines = [];
    this.open = "";
    this.dropped = 0;
    this.append(text);
  }

  append(text) {
    const lines = (this.open + text).split("\n");
    this.open = lines.pop();
    this.lines.push(...lines);
    const extra = this.lines.length - MOST_LINES;
    if (extra > 0) {
      this.lines.splice(0, extra);
      this.dropped += extra;
    }
  }

  all() {
    return this.open ? [...this.lines, this.open] : this.lines;
  }
}

class LogView {
  constructor(model, lines, element) {
    Object.assign(this, { model, lines, life: lifetime(), follows: true });
    this.build(element);
    this.drawSources();
    this.drawHead();
    this.beginText();
  }

  build(element) {
    this.source = this.select("source", "What to show the log of");
    this.attempt = this.select("attempt", "Attempt");
    this.file = this.select("file", "Which file");
    this.search = make("input", {
      type: "search", class: "as-search", placeholder: "Search", "aria-label": "Search the log",
      oninput: () => this.beginText(),
      onkeydown: (event) => {
        if (event.key === "Enter") { this.jump(event.shiftKey ? -1 : 1); event.preventDefault(); }
      },
    });
    this.hits = make("span", { class: "as-count", role: "status" });
    this.follow = make("button", {
      type: "button", class: "as-chip as-follow", onclick: () => this.setFollow(!this.follows),
    }, "follow");
    this.card = make("div", { class: "as-failure", role: "alert" });
    this.text = make("div", {
      class: "as-log", tabindex: 0, role: "log", "aria-label": "Log", "aria-live": "off",
      onscroll: () => this.noteScroll(),
    });
    this.path = make("p", { class: "as-path" });
    element.classList.add("as-root", "as-logs");
    element.append(
      make("div", { class: "as-tools" }, this.source, this.attempt, this.file, this.search, this.hits, this.follow),
      this.card, this.text, this.path);
    this.setFollow(true);
  }

  select(name, label) {
    const element = make("select", { class: "as-select", "aria-label": label, "data-what": name });
    element.addEventListener("change", () => this.model.send({ [name]: element.value }));
    return element;
  }

  fill(select, options, value) {
    const key = JSON.stringify(options);
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(...options.map(([id, label]) => make("option", { value: id }, label)));
    }
    select.value = value ?? "";
    select.hidden = options.length === 0;
  }

  drawSources() {
    this.fill(this.source, this.model.get("sources"), this.model.get("source"));
  }

  drawHead() {
    const head = this.model.get("head");
    this.fill(this.attempt, head.attempts ?? [], head.attempt);
    this.fill(this.file, head.files ?? [], head.file);
    this.path.textContent = head.path ?? "";
    const { error, traceback } = head;
    this.card.hidden = !error;
    if (this.card.dataset.key === `${error}${traceback}`) return;
    this.card.dataset.key = `${error}${traceback}`;
    const last = (traceback ?? "").trim().split("\n").at(-1) ?? "";
    const summary = make("strong", {}, last && !error?.includes(last) ? `${error} ${last}` : error ?? "");
    this.card.replaceChildren(make("span", { class: "as-key as-failed", "aria-hidden": "true" }, SIGNS.failed), summary);
    if (traceback) this.card.append(this.traceback(traceback));
  }

  /** Show a traceback with the lines of the user's own code standing out. */
  traceback(text) {
    const lines = text.trimEnd().split("\n").map((line) => {
      const place = /^\s*File "(.*)", line (\d+)/.exec(line);
      const kind = place ? (place[1].includes("site-packages") || place[1].includes("/lib/python") ? "as-far" : "as-near")
        : /^\S/.test(line) && !line.startsWith("Traceback") ? "as-raised" : "";
      return make("span", { class: kind }, `${line}\n`);
    });
    return make("details", { open: true }, make("summary", {}, "traceback"), make("pre", { tabindex: 0 }, ...lines));
  }

  /** Draw other text, or search for something else. */
  beginText() {
    this.hitLine = NaN;
    this.drawText();
  }

  drawText() {
    const query = this.search.value.toLowerCase();
    const all = this.lines.all();
    this.found = [];
    const shown = all.map((line, i) => {
      if (query && line.toLowerCase().includes(query)) this.found.push(i);
      return this.line(line, query);
    });
    if (this.lines.dropped) shown.unshift(make("div", { class: "as-dropped" }, `${this.lines.dropped.toLocaleString("en")} older lines are in the file`));
    if (!all.length) shown.push(make("div", { class: "as-dropped" }, this.model.get("source") ? "Nothing has been written yet." : "Choose a learner here, or in the table."));
    this.text.replaceChildren(...shown);
    this.hit = this.found.indexOf(this.hitLine - this.lines.dropped);
    this.markHit();
    this.tellHits();
    this.scrollDown();
  }

  line(text, query) {
    const element = make("div", { class: BAD.test(text) ? "as-line as-bad" : "as-line" });
    const at = query ? text.toLowerCase().indexOf(query) : -1;
    if (at < 0) element.textContent = text;
    else element.append(text.slice(0, at), make("mark", {}, text.slice(at, at + query.length)), text.slice(at + query.length));
    return element;
  }

  append(text) {
    const isPlain = !this.search.value && !this.lines.open && !this.text.querySelector(".as-dropped");
    this.lines.append(text);
    if (!isPlain || this.lines.dropped) { this.drawText(); return; }
    const lines = text.split("\n");
    if (!lines.at(-1)) lines.pop();
    this.text.append(...lines.map((line) => this.line(line, "")));
    this.scrollDown();
  }

  jump(step) {
    if (!this.found.length) return;
    this.setFollow(false);
    this.hit = (this.hit + step + this.found.length) % this.found.length;
    this.hitLine = this.lines.dropped + this.found[this.hit];  // it keeps its number as the log grows
    this.text.querySelector(".as-hit")?.classList.remove("as-hit");
    const element = this.markHit();
    this.text.scrollTop = element.offsetTop - this.text.clientHeight / 2;
    this.tellHits();
  }

  /** Mark the line that was jumped to, if there is one, and return it. */
  markHit() {
    const offset = this.lines.dropped ? 1 : 0;
    const element = this.text.children[this.found[this.hit] + offset];
    element?.classList.add("as-hit");
    return element;
  }

  tellHits() {
    const n = this.found.length;
    const text = !this.search.value ? "" : this.hit < 0 ? `${n} lines` : `${this.hit + 1} of ${n}`;
    if (this.hits.textContent !== text) this.hits.textContent = text;
  }

  setFollow(follows) {
    this.follows = follows;
    this.follow.setAttribute("aria-pressed", String(follows));
    this.scrollDown();
  }

  scrollDown() {
    const down = () => { if (this.follows) this.text.scrollTop = this.text.scrollHeight; };
    down();
    requestAnimationFrame(down);  // lines that come into sight may turn out to be higher
  }

  noteScroll() {
    const isDown = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 30;
    if (!isDown && this.follows && this.text.matches(":hover, :focus")) this.setFollow(false);
    else if (isDown && !this.follows) this.setFollow(true);
  }
}

export default () => {
  const lines = new Lines();
  const views = new Set();
  const each = (act) => () => views.forEach(act);
  return {
    initialize({ model }) {
      lines.reset(model.get("text") ?? "");
      const events = {
        "change:sources": each((view) => view.drawSources()),
        "change:source": each((view) => view.drawSources()),
        "change:head": each((view) => view.drawHead()),
        "change:text": () => { lines.reset(model.get("text")); views.forEach((view) => view.beginText()); },
        "msg:custom": ({ append, reset }) => {
          if (reset !== undefined) { lines.reset(reset); views.forEach((view) => view.beginText()); }
          if (append === undefined) return;
          const [first, ...others] = views;
          if (first) first.append(append);
          else lines.append(append);
          others.forEach((view) => view.drawText());
        },
      };
      for (const [name, handler] of Object.entries(events)) model.on(name, handler);
      return () => { for (const [name, handler] of Object.entries(events)) model.off(name, handler); };
    },
    render({ model, el }) {
      const view = new LogView(model, lines, el);
      views.add(view);
      return () => { views.delete(view); view.life.end(); };
    },
  };
};
