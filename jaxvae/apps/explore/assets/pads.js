// A pad: a square in which a point is dragged, by mouse, finger or keys.

const STEP = 0.05; // of an arrow key, of the pad's half; four times as far with Shift

class Pad {
  /** In root: a canvas and a handle. Places are pairs, the second from the top down; bounds are
   * the least and the largest of each, margins what is left free around them, in CSS pixels. */
  constructor(root, { label, move, dotAt, open, bounds, margins }) {
    Object.assign(this, { root, move, dotAt, open, bounds, margins });
    this.place = [0, 0];
    this.canvas = make("canvas", { ariaHidden: "true" });
    this.handle = make("div", { className: "handle", tabIndex: 0 }, make("span"));
    this.handle.setAttribute("role", "slider");
    this.handle.setAttribute("aria-label", label);
    this.handle.setAttribute("aria-valuemin", "0");
    this.handle.setAttribute("aria-valuemax", "100");
    root.append(this.canvas, this.handle);
    this.listen();
  }

  /** Where the place [0, 0] is, and how long 1 is, in CSS pixels. */
  get frame() {
    const [width, height] = [this.root.clientWidth, this.root.clientHeight];
    const { left, right, top, bottom } = this.bounds;
    const around = this.margins(width);
    const room = [width - 2 * around.side, height - around.top - around.bottom];
    const scale = Math.min(room[0] / (right - left), room[1] / Math.max(bottom - top, 1e-9));
    return {
      x: width / 2 - (scale * (left + right)) / 2,
      y: around.top + room[1] / 2 - (scale * (top + bottom)) / 2,
      scale,
      width,
      height,
    };
  }

  toPixels([x, y]) {
    const frame = this.frame;
    return [frame.x + frame.scale * x, frame.y + frame.scale * y];
  }

  ofEvent(event) {
    const box = this.root.getBoundingClientRect();
    const { x, y, scale } = this.frame;
    return [(event.clientX - box.left - x) / scale, (event.clientY - box.top - y) / scale];
  }

  /** Put the handle at a place, and say where it is. */
  show(place, text, share) {
    this.place = place;
    const [x, y] = this.toPixels(place);
    this.handle.style.transform = `translate(${x}px, ${y}px)`;
    this.handle.setAttribute("aria-valuetext", text);
    this.handle.setAttribute("aria-valuenow", String(Math.round(100 * share)));
  }

  listen() {
    const { root, handle } = this;
    let drag = null;
    root.addEventListener("pointerdown", (event) => {
      const onHandle = handle.contains(event.target);
      if (event.button !== 0 || event.target.closest("button")) return;
      // A finger beside the handle may want to scroll: it taps or takes the handle.
      if (event.pointerType === "touch" && !onHandle) return;
      event.preventDefault();
      root.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      const at = this.ofEvent(event);
      const dot = onHandle ? null : this.dotAt(at);
      drag = { offset: onHandle ? minus(this.place, at) : [0, 0], from: at, dot };
      root.classList.add("dragging");
      if (!onHandle) this.move(at);
    });
    root.addEventListener("pointermove", (event) => {
      if (!drag) return this.dotAt(this.ofEvent(event), event);
      const at = this.ofEvent(event);
      if (squares(at, drag.from) > 1e-4) drag.dot = null;
      this.move([at[0] + drag.offset[0], at[1] + drag.offset[1]]);
      return null;
    });
    const end = () => {
      if (drag && drag.dot !== null) this.open(drag.dot);
      drag = null;
      root.classList.remove("dragging");
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", () => { if (drag) drag.dot = null; end(); });
    root.addEventListener("pointerleave", (event) => this.dotAt([9, 9], event));
    root.addEventListener("click", (event) => {
      if (event.pointerType !== "touch" || event.target.closest("button, .handle")) return;
      const at = this.ofEvent(event);
      const dot = this.dotAt(at);
      if (dot === null) this.move(at);
      else this.open(dot);
    });
    handle.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const step = STEP * (event.shiftKey ? 4 : 1);
      if (event.key === "Home") this.move([0, 0]);
      else if (way[event.key]) {
        const [x, y] = way[event.key];
        this.move([this.place[0] + step * x, this.place[1] + step * y]);
      } else return;
      event.preventDefault();
    });
  }
}
