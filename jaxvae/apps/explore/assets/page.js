// The page: one point, what it decodes to, and the examples near it.

const NEAREST_PICTURES = 12;
const NEAREST_ROWS = 6;
const FRAME = 8; // milliseconds of a frame for what is drawn anew in turns

class Page {
  constructor(told) {
    this.told = told;
    this.examples = told.examples && told.examples.count ? told.examples : null;
    this.view = new View(told.look, told.colours);
    this.isLattice = told.decoder.kind === "lattice";
    this.beside = null;
    this.pending = false;
    this.touched = false;
    const { space } = told;
    this.decode = this.isLattice
      ? latticeDecoder(told.decoder, space) : denseDecoder(told.decoder, space.parts);
    if (this.examples) {
      this.sampleOf = sampleReader(this.examples);
      this.shares = this.examples.shares && unpack(this.examples.shares);
      this.styles = this.examples.style && unpack(this.examples.style);
    }
    this.factors = factorsOf(space);
    this.here = this.startPoint();
  }

  /** Build the page; its pictures are there once they are read. */
  async start() {
    const { told, view } = this;
    await view.load(told.decoder.sprite, told.examples && told.examples.sprite);
    writeTexts(this);
    this.result = document.getElementById("shown");
    this.screen = view.isPicture ? make("canvas", { className: `screen ${view.kind}` })
      : make("div", { className: "rows" });
    if (view.isPicture) {
      this.screen.setAttribute("role", "img");
      this.screen.setAttribute("aria-label", "What the point decodes to");
    }
    this.result.append(this.screen);
    this.panels = [];
    if (told.space.categories) this.panels.push(this.simplex = new SimplexPanel(this));
    if (told.space.style) this.panels.push(this.plane = new PlanePanel(this));
    this.panels[0].pad.handle.classList.add("hint");
    document.body.classList.toggle("two", this.panels.length > 1);
    this.near = new Near(this);
    this.connectButtons();
    const watch = new ResizeObserver(() => this.lay());
    this.panels.forEach(({ root }) => watch.observe(root));
    watch.observe(this.result);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.lay());
    this.lay();
  }

  connectButtons() {
    const random = document.getElementById("random");
    random.hidden = !this.plane;
    random.addEventListener("click", () => this.plane.draw());
    document.getElementById("reset").addEventListener("click", () =>
      this.change(this.startPoint()));
    const distinct = document.getElementById("distinct");
    distinct.parentElement.hidden = this.view.kind !== "counts" || this.isLattice;
    distinct.addEventListener("change", () => {
      this.view.distinct = distinct.checked;
      this.redraw();
    });
  }

  /** The corner of the first category, in the middle of the style. */
  startPoint() {
    const { categories, style } = this.told.space;
    const start = {};
    if (categories) start.categories = categories.names.map((_, k) => Number(k === 0));
    if (style) start.style = new Float64Array(style.axes[0].length);
    return start;
  }

  /** The point of an example: its posterior mean, of which decoded points hold the plane alone. */
  ofExample(i) {
    const point = {};
    if (this.shares) point.categories = [...rowOf(this.shares, i)];
    if (this.styles) {
      const { axes } = this.told.space.style;
      const own = Float64Array.from(rowOf(this.styles, i));
      const middle = new Float64Array(own.length);
      point.style = this.isLattice ? movedTo(middle, axes, toPlane(own, axes)) : own;
    }
    return point;
  }

  /** The places of the examples nearest to a point, and their distances. */
  nearest(point, count) {
    const { shares, styles, factors } = this;
    const distances = Array.from({ length: this.examples.count }, (_, i) => {
      let sum = 0;
      if (shares) sum += factors.categories * squares(rowOf(shares, i), point.categories);
      if (styles) sum += factors.style * squares(rowOf(styles, i), point.style);
      return { i, distance: Math.sqrt(sum) };
    });
    return distances.sort((a, b) => a.distance - b.distance).slice(0, count);
  }

  /** Move the point: its categories, its style, or both. */
  change(moved) {
    this.touched = true;
    Object.assign(this.here, moved);
    for (const { turns } of this.panels) turns.again();
    this.redraw();
  }

  redraw() {
    if (!this.pending) requestAnimationFrame(() => this.frame());
    this.pending = true;
  }

  goTo(i) {
    this.change(this.ofExample(i));
  }

  /** Show the example under the pointer. */
  hover(i, event) {
    this.near.tip(i, event);
    this.setBeside(i);
  }

  setBeside(i) {
    if (this.beside === i) return;
    this.beside = i;
    this.redraw();
  }

  lay() {
    for (const panel of this.panels) {
      panel.lay();
      panel.turns.again();
    }
    this.redraw();
  }

  frame() {
    this.pending = false;
    const sample = this.decode(this.here);
    const beside = this.beside === null ? null : this.sampleOf(this.beside);
    if (this.view.isPicture) this.view.draw(this.screen, sample, { beside });
    else this.view.rows(this.screen, sample, beside);
    const texts = this.panels.map((panel) => panel.show());
    this.readOut(texts);
    this.near.show();
    if (this.touched) {
      document.querySelectorAll(".hint").forEach((one) => one.classList.remove("hint"));
    }
    const until = performance.now() + FRAME;
    for (const panel of this.panels) {
      panel.turns.run(until);
      panel.paint();
    }
    this.goOn();
  }

  /** Draw in turns what a frame had no time for. */
  goOn() {
    if (this.pending || !this.panels.some(({ turns }) => turns.left > 0)) return;
    requestAnimationFrame(() => {
      if (this.pending) return;
      const until = performance.now() + FRAME;
      for (const panel of this.panels) if (panel.turns.run(until)) panel.paint();
      this.goOn();
    });
  }

  readOut(texts) {
    const root = document.getElementById("readout");
    const lines = [];
    if (this.simplex) {
      for (const { k, name, share } of this.simplex.top.slice(0, 3)) {
        if (share < 0.005) continue;
        const line = make("span", { className: "share" }, make("i"), make("b", {}, name),
          ` ${percent(share)}`);
        line.style.setProperty("--own", this.colourOfNumber(k));
        lines.push(line);
      }
    }
    if (this.plane) {
      const text = texts[texts.length - 1];
      lines.push(make("span", { className: "share" }, make("b", {}, this.plane.name), ` ${text}`));
    }
    root.replaceChildren(...lines);
    clearTimeout(this.saying);
    // Said once the point rests, or a reader of screens would never end.
    this.saying = setTimeout(() => {
      document.getElementById("said").textContent = `Point at ${texts.join("; ")}`;
    }, 600);
  }

  colourOfNumber(k) {
    return this.told.colours[k % this.told.colours.length];
  }

  /** By its label; without one by its largest category. */
  colourOfExample(i) {
    const { labels } = this.examples;
    if (labels) return labels[i] < 0 ? colourOf("soft") : this.colourOfNumber(labels[i]);
    if (!this.shares) return colourOf("accent");
    const own = [...rowOf(this.shares, i)];
    return this.colourOfNumber(own.indexOf(Math.max(...own)));
  }

  labelOf(i) {
    const { labels, names } = this.examples;
    if (!labels) return `example ${this.examples.places[i]}`;
    return labels[i] < 0 ? "no label" : names[labels[i]];
  }
}

/** The examples nearest to the point. */
class Near {
  constructor(page) {
    this.page = page;
    this.tooltip = document.getElementById("tip");
    this.root = document.getElementById("nearest");
    this.slots = [];
    this.root.hidden = !page.examples;
    if (!page.examples) return;
    this.root.classList.toggle("wide", !page.view.isPicture);
    const { isPicture } = page.view;
    const count = Math.min(isPicture ? NEAREST_PICTURES : NEAREST_ROWS, page.examples.count);
    for (let k = 0; k < count; k++) {
      const button = make("button", { className: "example", type: "button" });
      const slot = { button, i: null };
      button.addEventListener("click", () => page.goTo(slot.i));
      button.addEventListener("pointerenter", () => page.setBeside(slot.i));
      button.addEventListener("focus", () => page.setBeside(slot.i));
      for (const end of ["pointerleave", "blur"]) {
        button.addEventListener(end, () => page.setBeside(null));
      }
      this.root.append(button);
      this.slots.push(slot);
    }
  }

  show() {
    if (!this.page.examples) return;
    this.page.nearest(this.page.here, this.slots.length).forEach(({ i, distance }, k) => {
      const slot = this.slots[k];
      slot.button.title = `Distance ${brief(distance)}`;
      if (slot.i === i) return;
      slot.i = i;
      this.fill(slot.button, i);
    });
  }

  fill(root, i) {
    const { page } = this;
    const sample = page.sampleOf(i);
    const thumbnail = page.view.thumbnail(sample);
    const label = page.labelOf(i);
    const name = make("span", { className: "label" }, make("i"), label);
    name.style.setProperty("--own", page.colourOfExample(i));
    root.replaceChildren(thumbnail, name);
    root.setAttribute("aria-label", `Go to the example ${page.examples.places[i]}, ${label}`);
    if (page.view.isPicture) page.view.draw(thumbnail, sample, { small: true });
  }

  /** Show an example beside the pointer, or nothing. */
  tip(i, event) {
    this.tooltip.hidden = i === null || event.pointerType === "touch";
    if (this.tooltip.hidden) return;
    if (this.shown !== i) this.fill(this.tooltip, i);
    this.shown = i;
    const left = Math.min(event.clientX + 16, window.innerWidth - this.tooltip.offsetWidth - 8);
    this.tooltip.style.left = `${left}px`;
    this.tooltip.style.top = `${event.clientY + 16}px`;
  }
}

window.explorer = new Page(JSON.parse(document.getElementById("payload").textContent));
window.explorer.ready = window.explorer.start();
// What the tests hold against Python.
Object.assign(window.explorer, { ACTIVATIONS, OUTPUTS, CURVES, cornersOf, sharesAt });
