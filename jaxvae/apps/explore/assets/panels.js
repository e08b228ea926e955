// The two panels in which a point is dragged: the simplex of the categories, the plane of the style.

const TILES = 9; // decoded pictures across the plane
const MOST_THUMBNAILS = 16; // corners that show what they decode to
const MOST_NAMES = 24; // corners that show their names all the time
const NEAR_DOT = 10; // pixels from a dot, within which it is meant

/** Things that are drawn anew one after the other, a few a frame, whenever they may have changed. */
class Turns {
  constructor(count, draw) {
    Object.assign(this, { count, draw, next: 0, left: 0 });
  }

  again() {
    this.left = this.count;
  }

  /** Draw some until so late; whether any was drawn. */
  run(until) {
    const before = this.left;
    while (this.left > 0 && performance.now() < until) {
      this.draw(this.next);
      this.next = (this.next + 1) % this.count;
      this.left -= 1;
    }
    return this.left < before;
  }
}

/** What both panels have: a pad, and dots for the examples. */
class Panel {
  constructor(app, id, { label, bounds, margins }) {
    this.app = app;
    this.section = document.getElementById(id);
    this.section.hidden = false;
    this.root = this.section.querySelector(".pad");
    this.pad = new Pad(this.root, {
      label,
      bounds,
      margins,
      move: (place) => this.move(place),
      dotAt: (place, event) => this.dotAt(place, event),
      open: (i) => app.goTo(i),
    });
    this.dots = [];
  }

  /** The example under a place, or null; with an event it is shown beside the pointer. */
  dotAt(place, event) {
    let best = null;
    if (this.showsDots) {
      let least = (NEAR_DOT / this.pad.frame.scale) ** 2;
      this.dots.forEach((dot, i) => {
        const distance = squares(dot, place);
        if (distance < least) [best, least] = [i, distance];
      });
    }
    if (event) this.app.hover(best, event);
    return best;
  }

  paintDots(context) {
    const { app } = this;
    const small = app.examples.count > 120 ? 3 : 4;
    this.dots.forEach((dot, i) => {
      const [x, y] = this.pad.toPixels(dot);
      context.globalAlpha = 0.75;
      context.fillStyle = app.colourOfExample(i);
      context.beginPath();
      context.arc(x, y, small, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
    if (app.beside !== null) {
      const [x, y] = this.pad.toPixels(this.dots[app.beside]);
      context.lineWidth = 2;
      context.strokeStyle = colourOf("ink");
      context.fillStyle = app.colourOfExample(app.beside);
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }
}

/** Pixels a side of a corner's picture. */
function thumbOf(side, count) {
  return Math.round(Math.min(0.14 * side, (2.1 * side) / count));
}

function boundsOf(places) {
  const [xs, ys] = [0, 1].map((axis) => places.map((place) => place[axis]));
  return {
    left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys),
  };
}

class SimplexPanel extends Panel {
  constructor(app) {
    const { names } = app.told.space.categories;
    const pictures = app.view.isPicture && names.length <= MOST_THUMBNAILS;
    const corners = cornersOf(names.length);
    // For the pictures and names of the corners.
    const margins = (side) => {
      const thumb = pictures ? thumbOf(side, names.length) : 0;
      if (names.length === 2) return { side: Math.max(40, thumb), top: thumb + 44, bottom: 36 };
      return pictures ? { side: thumb + 22, top: thumb + 30, bottom: thumb + 30 }
        : { side: names.length === 3 ? 40 : 74, top: 40, bottom: 40 };
    };
    super(app, "simplex", {
      label: "Point in the simplex of the categories", bounds: boundsOf(corners), margins,
    });
    this.crowded = names.length > MOST_NAMES;
    Object.assign(this, { names, corners, pictures, showsDots: Boolean(app.examples) });
    if (app.examples) {
      const shares = unpack(app.examples.shares);
      this.dots = Array.from({ length: app.examples.count }, (_, i) =>
        placeOf(rowOf(shares, i), this.corners));
    }
    this.buttons = names.map((name, k) => {
      const button = make("button", { className: "corner", type: "button" });
      button.setAttribute("aria-label", `Go to category ${name}`);
      button.title = `Category ${name}`;
      if (pictures) button.append(app.view.thumbnail({}));
      button.append(make("span", { className: "label" }, name));
      button.style.setProperty("--own", app.colourOfNumber(k));
      button.addEventListener("click", () => this.set(names.map((_, i) => Number(i === k))));
      this.root.append(button);
      return button;
    });
    this.root.classList.toggle("bare", !pictures);
    this.root.classList.toggle("crowded", this.crowded);
    this.root.classList.toggle("line", names.length === 2);
    this.turns = new Turns(pictures ? names.length : 0, (k) => {
      const categories = names.map((_, i) => Number(i === k));
      app.view.draw(this.buttons[k].firstChild, app.decode({ ...app.here, categories }),
        { small: true });
    });
    this.sliders = new Sliders(this.section.querySelector(".sliders"), names, {
      low: 0,
      high: 1,
      step: 0.01,
      set: (k, share) => this.set(withShare(app.here.categories, k, share)),
    });
  }

  move(place) {
    this.set(sharesAt(intoPolygon(place, this.corners), this.corners));
  }

  set(shares) {
    this.app.change({ categories: shares });
  }

  get top() {
    const shares = this.app.here.categories;
    const order = shares.map((_, k) => k).sort((a, b) => shares[b] - shares[a]);
    return order.map((k) => ({ k, name: this.names[k], share: shares[k] }));
  }

  show() {
    const shares = this.app.here.categories;
    const top = this.top;
    const text = top.slice(0, 3).filter(({ share }) => share > 0.005)
      .map(({ name, share }) => `${name} ${percent(share)}`).join(", ");
    this.pad.show(placeOf(shares, this.corners), text, top[0].share);
    this.buttons.forEach((button, k) => {
      button.classList.toggle("here", shares[k] > 0.995);
      button.classList.toggle("near", k === top[0].k || shares[k] > 0.1);
    });
    this.sliders.show(shares);
    return text;
  }

  /** Put the corners' buttons outside of the polygon. */
  lay() {
    const side = this.pad.frame.width;
    this.root.style.setProperty("--thumb", `${thumbOf(side, this.names.length)}px`);
    this.corners.forEach((corner, k) => {
      const button = this.buttons[k];
      const [x, y] = this.pad.toPixels(corner);
      const [width, height] = [button.offsetWidth, button.offsetHeight];
      const [right, down] = this.away(corner, width / 2 + 13, height / 2 + 13);
      const most = side - width / 2; // a long name stays in the pad
      button.style.left = `${Math.max(width / 2, Math.min(most, x + right))}px`;
      button.style.top = `${y + down}px`;
    });
  }

  /** How far the middle of a corner's button is from the corner. */
  away([x, y], wide, high) {
    if (this.crowded) return [0, 0];
    if (this.corners.length === 2) return [0, -high];
    if (this.pictures) return [x * wide, y * high];
    return Math.abs(y) < 0.35 ? [Math.sign(x) * wide, 0] : [0.5 * x * wide, Math.sign(y) * high];
  }

  paint() {
    const { context, width, height } = sharpContext(this.pad.canvas);
    context.clearRect(0, 0, width, height);
    const places = this.corners.map((corner) => this.pad.toPixels(corner));
    context.beginPath();
    places.forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"](x, y));
    context.closePath();
    context.fillStyle = colourOf("field");
    context.strokeStyle = colourOf("edge");
    context.lineWidth = this.corners.length === 2 ? 4 : 1.5;
    context.lineJoin = "round";
    context.fill();
    context.stroke();
    // Lines to the corners, as strong as their share.
    const [x, y] = this.pad.toPixels(this.pad.place);
    places.forEach((place, k) => {
      context.globalAlpha = Math.sqrt(this.app.here.categories[k]);
      context.strokeStyle = this.app.colourOfNumber(k);
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(...place);
      context.stroke();
    });
    context.globalAlpha = 1;
    if (this.app.examples) this.paintDots(context);
    places.forEach(([left, top], k) => {
      context.fillStyle = this.app.colourOfNumber(k);
      context.beginPath();
      context.arc(left, top, 5, 0, 2 * Math.PI);
      context.fill();
    });
  }
}

class PlanePanel extends Panel {
  constructor(app) {
    const { style, parts } = app.told.space;
    super(app, "plane", {
      label: "Point in the plane of the style",
      bounds: { left: -1, right: 1, top: -1, bottom: 1 },
      margins: () => ({ side: 6, top: 6, bottom: 6 }),
    });
    const { name, width } = parts.find(({ role }) => role === "style");
    Object.assign(this, { style, name, lines: style.axes.length });
    this.draws = unpack(style.draws);
    if (app.examples) {
      const own = unpack(app.examples.style);
      this.dots = Array.from({ length: app.examples.count }, (_, i) =>
        this.placeOf(rowOf(own, i)));
    }
    this.tiles = Array.from({ length: TILES * (this.lines > 1 ? TILES : 1) }, () =>
      make("canvas", { className: "thumb" }));
    this.turns = new Turns(app.view.isPicture ? this.tiles.length : 0, (i) => {
      const at = [i % TILES, Math.floor(i / TILES)].map((k) => (2 * (k + 0.5)) / TILES - 1);
      const place = this.lines > 1 ? at : [at[0], 0];
      const moved = movedTo(app.here.style, style.axes, this.toNumbers(place));
      this.drawTile(this.tiles[i], app.decode({ ...app.here, style: moved }));
    });
    this.showsDots = Boolean(app.examples) && !app.view.isPicture;
    this.switch = this.section.querySelector(".switch");
    this.switch.hidden = !(app.examples && app.view.isPicture);
    for (const input of this.switch.querySelectorAll("input")) {
      input.addEventListener("change", () => {
        this.showsDots = input.value === "dots";
        app.redraw();
      });
    }
    const root = this.section.querySelector(".sliders");
    const details = root.closest("details");
    details.hidden = app.isLattice && width > this.lines;
    this.order = style.order;
    this.sliders = new Sliders(root, this.order.map((k) => `${name}_${k}`), {
      low: -style.reach,
      high: style.reach,
      step: 0.01,
      faint: (i) => i >= style.used,
      set: (i, value) => {
        const next = Float64Array.from(app.here.style);
        next[this.order[i]] = value;
        app.change({ style: next });
      },
    });
  }

  toNumbers([x, y]) {
    return [this.style.reach * x, -this.style.reach * y];
  }

  placeOf(style) {
    const [x, y] = toPlane(style, this.style.axes);
    return [x / this.style.reach, -y / this.style.reach];
  }

  move([x, y]) {
    const clamp = (value) => Math.max(-1, Math.min(1, value));
    const place = [clamp(x), this.lines > 1 ? clamp(y) : 0];
    const { style } = this.app.here;
    this.app.change({ style: movedTo(style, this.style.axes, this.toNumbers(place)) });
  }

  /** A style from the prior; where points are decoded beforehand, its place in the plane alone. */
  draw() {
    const row = rowOf(this.draws, Math.floor(Math.random() * this.draws.shape[0]));
    const { axes } = this.style;
    this.app.change({
      style: this.app.isLattice
        ? movedTo(new Float64Array(row.length), axes, toPlane(row, axes))
        : Float64Array.from(row),
    });
  }

  show() {
    const place = this.placeOf(this.app.here.style);
    const numbers = toPlane(this.app.here.style, this.style.axes).slice(0, this.lines);
    const text = numbers.map((value) => value.toFixed(2).replace("-", "−")).join(", ");
    const clamp = (value) => Math.max(-1, Math.min(1, value));
    this.pad.show(place.map(clamp), text, (clamp(place[0]) + 1) / 2);
    this.sliders.show(this.order.map((k) => this.app.here.style[k]));
    return text;
  }

  drawTile(tile, sample) {
    if (this.app.view.kind === "image") return this.app.view.draw(tile, sample);
    const side = (2 * this.pad.frame.scale) / TILES;
    const scale = window.devicePixelRatio || 1;
    [tile.width, tile.height] = [side * scale, side * scale];
    const context = tile.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const room = { context, width: side, height: side };
    return this.app.view.drawSeries(room, sample.values, { small: true });
  }

  lay() {}

  paint() {
    const { context, width, height } = sharpContext(this.pad.canvas);
    const { x, y, scale } = this.pad.frame;
    context.clearRect(0, 0, width, height);
    const pictures = this.app.view.isPicture && !this.showsDots;
    if (pictures) {
      const side = (2 * scale) / TILES;
      this.tiles.forEach((tile, i) => {
        const row = this.lines > 1 ? Math.floor(i / TILES) : (TILES - 1) / 2;
        const [left, top] = [x - scale + side * (i % TILES), y - scale + side * row];
        const fit = Math.min((side - 2) / tile.width, (side - 2) / tile.height);
        const [w, h] = [fit * tile.width, fit * tile.height];
        context.imageSmoothingEnabled = tile.width > 16;
        context.drawImage(tile, left + (side - w) / 2, top + (side - h) / 2, w, h);
      });
    }
    context.strokeStyle = colourOf(pictures ? "accent" : "edge");
    context.globalAlpha = pictures ? 0.55 : 1;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x - scale, y);
    context.lineTo(x + scale, y);
    if (this.lines > 1) {
      context.moveTo(x, y - scale);
      context.lineTo(x, y + scale);
    }
    context.stroke();
    context.globalAlpha = 1;
    if (this.app.examples && this.showsDots) this.paintDots(context);
  }
}
