// What an example looks like: a picture, curves, bars, or its largest counts.

const ROWS = 30; // columns that are shown as bars, at most
const TOPS = 12; // counts that are shown, at most

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && name !== "style" && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A number in few characters. */
function brief(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e7) return Math.round(value).toLocaleString("en");
  if (size >= 1e7 || (size > 0 && size < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** A share in percent. */
function percent(share) {
  if (share > 0 && share < 0.005) return "< 1 %";
  if (share < 1 && share > 0.995) return "> 99 %";
  return `${Math.round(100 * share)} %`;
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas as large as it is shown, in the screen's own pixels; its context is in CSS pixels. */
function sharpContext(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}

/** How examples are drawn, by what they are. */
class View {
  constructor(look, colours) {
    this.look = look;
    this.colours = colours;
    this.kind = look.kind;
    this.isPicture = look.kind === "image" || look.kind === "series";
    this.sprites = new Map();
    this.distinct = false;
  }

  /** Read the pictures that hold many small ones. */
  async load(...packed) {
    for (const { source } of packed.filter(Boolean)) {
      const image = new Image();
      image.src = source;
      await image.decode();
      this.sprites.set(source, image);
    }
  }

  /** Draw a picture or curves on a canvas. Beside: another example, drawn with it. */
  draw(canvas, sample, { small = false, beside = null } = {}) {
    if (this.kind === "image") this.drawImage(canvas, sample, small);
    else {
      const other = beside && beside.values;
      this.drawSeries(sharpContext(canvas), sample.values, { small, beside: other });
    }
  }

  drawImage(canvas, sample, small) {
    const [height, width] = sample.sprite ? sample.sprite.shape : this.look.shape;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const longest = Math.max(width, height);
    canvas.classList.toggle("pixels", longest <= (small ? 16 : 40));
    canvas.style.aspectRatio = `${width} / ${height}`;
    const context = canvas.getContext("2d");
    if (sample.sprite) {
      const { columns, tile, source } = sample.sprite;
      const x = (sample.tile % columns) * tile[1];
      const y = Math.floor(sample.tile / columns) * tile[0];
      context.drawImage(this.sprites.get(source), x, y, width, height, 0, 0, width, height);
      return;
    }
    context.putImageData(this.imageData(sample.values), 0, 0);
  }

  /** Values as pixels, black and white at the ends of their range. */
  imageData(values) {
    const [height, width, channels = 1] = this.look.shape;
    const pixels = new ImageData(width, height);
    const low = this.look.low[0];
    const scale = 255 / (this.look.high[0] - low);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) {
        const value = values[i * channels + (channels > 2 ? c : 0)];
        pixels.data[4 * i + c] = (value - low) * scale; // clamped by its type
      }
      pixels.data[4 * i + 3] = 255;
    }
    return pixels;
  }

  /** A chart for each value of a step, one below the other. */
  drawSeries({ context, width, height }, values, { small, beside = null }) {
    context.clearRect(0, 0, width, height);
    const [steps, all] = this.look.shape;
    const count = Math.min(all, small ? 2 : 5);
    const left = small ? 2 : 38;
    const chart = height / count;
    const pad = small ? 3 : 8;
    for (let c = 0; c < count; c++) {
      const [low, high] = [this.look.low[c], this.look.high[c]];
      const top = c * chart + pad;
      const depth = chart - 2 * pad;
      const x = (i) => left + ((width - left - pad) * i) / Math.max(1, steps - 1);
      const y = (value) => top + depth * (1 - (value - low) / (high - low));
      context.save();
      if (!small) {
        context.fillStyle = colourOf("soft");
        context.font = "11px system-ui, sans-serif";
        context.textAlign = "right";
        context.strokeStyle = colourOf("line");
        context.lineWidth = 1;
        for (const value of [high, low]) {
          context.fillText(brief(value), left - 6, y(value) + (value === high ? 9 : 0));
          context.beginPath();
          context.moveTo(left, y(value));
          context.lineTo(width - pad, y(value));
          context.stroke();
        }
        if (this.look.names[c]) {
          context.textAlign = "left";
          context.fillText(this.look.names[c], left + 4, top + 11);
        }
      }
      context.beginPath();
      context.rect(left - 2, c * chart, width, chart);
      context.clip();
      const curve = (own, colour, thickness) => {
        context.strokeStyle = colour;
        context.lineWidth = thickness;
        context.lineJoin = "round";
        context.beginPath();
        for (let i = 0; i < steps; i++) {
          const value = own[i * all + c];
          const seen = i > 0 && Number.isFinite(own[(i - 1) * all + c]);
          if (Number.isFinite(value)) context[seen ? "lineTo" : "moveTo"](x(i), y(value));
        }
        context.stroke();
      };
      if (beside) curve(beside, colourOf("soft"), 1.25);
      curve(values, this.colours[c % this.colours.length], small ? 1.5 : 2.25);
      context.restore();
    }
  }

  /** Show bars or counts in an element. Beside: another example, as a mark on each bar. */
  rows(root, sample, beside) {
    const shown = this.kind === "counts" ? this.topRows(sample) : this.barRows(sample);
    while (root.children.length > shown.length) root.lastChild.remove();
    while (root.children.length < shown.length) {
      const track = make("span", { className: "track" }, make("i"), make("b"), make("u"));
      root.append(make("div", { className: "row" },
        make("span", { className: "name" }), track, make("span", { className: "value" })));
    }
    const other = beside && (beside.values || new Map(beside.tops));
    shown.forEach(({ place, value, from, to, at, text }, i) => {
      const [name, track, number] = root.children[i].children;
      const label = this.look.names[place];
      if (name.textContent !== label) name.textContent = name.title = label;
      number.textContent = text;
      const [fill, usual, mark] = track.children;
      fill.style.left = `${100 * Math.min(from, to)}%`;
      fill.style.width = `${100 * Math.abs(to - from)}%`;
      fill.classList.toggle("below", to < from);
      usual.style.left = `${100 * from}%`;
      usual.hidden = this.kind === "counts";
      const seen = other && (other instanceof Map ? other.get(place) : other[place]);
      mark.hidden = !Number.isFinite(seen);
      if (!mark.hidden) mark.style.left = `${100 * at(seen)}%`;
    });
  }

  /** The bars of some columns: those given, or those farthest from the middle if they are many. */
  barRows({ values }, first = 0) {
    const { low, high, middle } = this.look;
    const clamp = (share) => Math.max(0, Math.min(1, share));
    const rows = Array.from(values, (value, place) => {
      const at = (v) => clamp((v - low[place]) / (high[place] - low[place]));
      const [from, to] = [at(middle[place]), at(value)];
      const off = Math.abs(value - middle[place]) / (high[place] - low[place]);
      return { place, value, from, to, at, off, text: brief(value) };
    });
    if (first) return rows.slice(0, first);
    if (rows.length <= ROWS) return rows;
    return rows.sort((a, b) => b.off - a.off).slice(0, ROWS);
  }

  topRows(sample) {
    let tops = sample.tops;
    if (!tops) {
      const { values } = sample;
      const { middle } = this.look;
      const worth = this.distinct
        ? (i) => values[i] * Math.log((values[i] + 1e-9) / (middle[i] + 1e-9))
        : (i) => values[i];
      const worths = Float64Array.from(values, (_, i) => worth(i));
      const order = Array.from(worths.keys()).sort((a, b) => worths[b] - worths[a]);
      tops = order.slice(0, TOPS).map((place) => [place, values[place]]);
    }
    const most = Math.max(...tops.map(([, value]) => value), 1e-12);
    const at = (value) => Math.min(1, value / most);
    return tops.slice(0, TOPS).map(([place, value]) => {
      const text = this.look.shares ? `${(100 * value).toPrecision(2)} %` : brief(value);
      return { place, value, from: 0, to: at(value), at, text };
    });
  }

  /** An example in little: on a canvas, or in words. */
  thumbnail(sample) {
    if (this.isPicture) return make("canvas", { className: `thumb ${this.kind}` });
    if (this.kind === "counts") {
      const words = sample.tops.filter(([, value]) => value > 0).slice(0, 4);
      const text = words.map(([place]) => this.look.names[place]).join(", ");
      return make("span", { className: "words" }, text);
    }
    const bars = make("span", { className: "minibars" });
    for (const row of this.barRows(sample, ROWS)) {
      const bar = make("i");
      bar.style.height = `${Math.max(6, 100 * row.to)}%`;
      bar.title = `${this.look.names[row.place]}: ${row.text}`;
      bars.append(bar);
    }
    return bars;
  }
}
