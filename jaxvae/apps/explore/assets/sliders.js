// Sliders for single numbers of the point, each with a box in which the number can be typed.

class Sliders {
  /** In root, a row for each name; `set(i, value)` is called when one is moved. */
  constructor(root, names, { low, high, step, set, faint = () => false }) {
    this.rows = names.map((name, i) => {
      const limits = { min: String(low), max: String(high), step: String(step) };
      const range = make("input", { type: "range", ...limits });
      const box = make("input", { type: "number", ...limits });
      range.setAttribute("aria-label", name);
      box.setAttribute("aria-label", `${name}, as a number`);
      const given = (input) => {
        const value = Number(input.value);
        if (input.value !== "" && Number.isFinite(value)) {
          set(i, Math.max(low, Math.min(high, value)));
        }
      };
      range.addEventListener("input", () => given(range));
      box.addEventListener("change", () => given(box));
      const row = make("div", { className: faint(i) ? "slider faint" : "slider" },
        make("span", { className: "name", title: name }, name), range, box);
      root.append(row);
      return { range, box };
    });
    this.digits = Math.max(0, Math.round(-Math.log10(step)));
  }

  show(values) {
    this.rows.forEach(({ range, box }, i) => {
      if (document.activeElement !== range || Number(range.value) !== values[i]) {
        range.value = String(values[i]);
      }
      const least = Number(range.min);
      const share = (values[i] - least) / (Number(range.max) - least);
      range.style.setProperty("--share", `${100 * Math.max(0, Math.min(1, share))}%`);
      // Twice, or a small negative number would be "-0.00".
      const text = Number(values[i].toFixed(this.digits)).toFixed(this.digits);
      if (document.activeElement !== box) box.value = text;
    });
  }
}
