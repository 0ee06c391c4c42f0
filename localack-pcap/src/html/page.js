"use strict";
(() => {
  // Tables: a click on a head sorts, numbers with the largest first.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const descending = before === null ? numeric : before === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const value = (row) => {
          const cell = row.cells[column];
          return numeric ? Number(cell.dataset.v ?? "-1") : cell.textContent;
        };
        const order = (one, other) => (numeric ? one - other : one.localeCompare(other, "en", { numeric: true }));
        const rows = [...body.rows].map((row) => [value(row), row]);
        rows.sort((one, other) => (descending ? -1 : 1) * order(one[0], other[0]));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Plots.
  const SVG = "http://www.w3.org/2000/svg";
  const node = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const UNITS = {
    time: [[1e6, "s"], [1e3, "ms"], [1, "us"]],
    octets: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
    share: [[100, "%"]],
  };
  const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const quantity = (unit, at, digits = 3) => {
    const [worth, name] = UNITS[unit].find((entry) => Math.abs(at) >= entry[0]) ?? UNITS[unit].at(-1);
    return trim((at / worth).toFixed(digits)) + (name === "%" ? "" : " ") + name;
  };
  const whole = (number) => Math.round(number).toLocaleString("en");
  const plots = [];

  class Plot {
    constructor(figure) {
      this.figure = figure;
      this.svg = figure.querySelector("svg");
      this.area = figure.querySelector(".area");
      this.readout = figure.querySelector(".readout");
      const given = JSON.parse(figure.querySelector("script").textContent);
      this.layers = given.layers;
      this.axes = { x: given.x, y: given.y };
      this.fine = this.area.getAttribute("viewBox").split(" ").map(Number);
      this.home = {};
      for (const key of ["x", "y"]) this.home[key] = [this.scaled(key, given[key].from), this.scaled(key, given[key].to)];
      this.view = { x: [...this.home.x], y: [...this.home.y] };
      this.height = Number(this.svg.getAttribute("height"));
      this.frame = node("g", { class: "frame" });
      this.svg.insertBefore(this.frame, this.area);
      this.picked = node("circle", { class: "picked", r: 5, visibility: "hidden" });
      this.chosen = node("rect", { class: "chosen", visibility: "hidden" });
      this.svg.append(this.chosen, this.picked);
      figure.classList.add("live");
      this.legend();
      this.listen();
      this.layout();
    }
    scaled(axis, at) {
      return this.axes[axis].log ? Math.log10(Math.max(1, at)) : at;
    }
    unscaled(axis, at) {
      return this.axes[axis].log ? 10 ** at : at;
    }
    legend() {
      const legend = this.figure.querySelector(".legend");
      for (const layer of this.layers) {
        layer.group = this.area.querySelector(`.layer.${layer.class}`);
        const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
        const label = document.createElement("label");
        const line = document.createElement("i");
        line.style.setProperty("--of", `var(--${layer.class})`);
        label.append(box, line, layer.name);
        box.addEventListener("change", () => {
          layer.off = !box.checked;
          layer.group.classList.toggle("off", layer.off);
          this.forget();
        });
        legend.append(label);
      }
    }
    // Everything that depends on the width.
    layout() {
      const width = Math.max(240, this.figure.clientWidth);
      const narrow = width < 560;
      const height = narrow ? Math.max(200, Math.round(this.height * 0.72)) : this.height - 40;
      this.box = { left: narrow ? 56 : 70, top: 8, right: 14, bottom: 42, width, height };
      this.box.w = width - this.box.left - this.box.right;
      this.box.h = height - this.box.top - this.box.bottom;
      for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
        this.svg.setAttribute(key, value);
      }
      const area = { x: this.box.left, y: this.box.top, width: this.box.w, height: this.box.h };
      for (const key in area) this.area.setAttribute(key, area[key]);
      this.draw();
    }
    pixel(axis, at) {
      const [from, to] = this.view[axis];
      const part = (at - from) / (to - from);
      return axis === "x" ? this.box.left + part * this.box.w : this.box.top + (1 - part) * this.box.h;
    }
    position(axis, pixel) {
      const [from, to] = this.view[axis];
      const part = axis === "x" ? (pixel - this.box.left) / this.box.w : 1 - (pixel - this.box.top) / this.box.h;
      return from + part * (to - from);
    }
    ticks(axis, room) {
      const { unit, log } = this.axes[axis];
      const [from, to] = this.view[axis];
      const count = Math.max(2, Math.floor(room));
      if (log && to - from > 0.8) {
        const step = Math.max(1, Math.ceil((to - from) / count));
        const out = [];
        for (let at = Math.ceil(from - 1e-9); at <= to + 1e-9; at += step) out.push([at, quantity(unit, 10 ** at)]);
        return out;
      }
      const [low, high] = [this.unscaled(axis, from), this.unscaled(axis, to)];
      const raw = (high - low) / count;
      const power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) * power;
      const most = Math.max(Math.abs(low), Math.abs(high));
      const [worth, name] = UNITS[unit].find((entry) => most >= entry[0]) ?? UNITS[unit].at(-1);
      const digits = trim((step / worth).toFixed(9)).split(".")[1]?.length ?? 0;
      const out = [];
      for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-6; n++) {
        out.push([this.scaled(axis, n * step), (n * step / worth).toFixed(digits) + (name === "%" ? "" : " ") + name]);
      }
      return out;
    }
    draw() {
      const { left, top, w, h, width, height } = this.box;
      const parts = [];
      for (const [at, text] of this.ticks("x", w / 90)) {
        const x = this.pixel("x", at);
        parts.push(node("line", { x1: x, x2: x, y1: top, y2: top + h }));
        const anchor = x > width - 30 ? "end" : "middle";
        parts.push(node("text", { x: anchor === "end" ? width - 2 : x, y: top + h + 16, "text-anchor": anchor }, text));
      }
      for (const [at, text] of this.ticks("y", h / 44)) {
        const y = this.pixel("y", at);
        parts.push(node("line", { x1: left, x2: left + w, y1: y, y2: y }));
        parts.push(node("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text));
      }
      parts.push(node("rect", { class: "box", x: left, y: top, width: w, height: h }));
      parts.push(node("text", { class: "name", x: left + w, y: height - 6, "text-anchor": "end" }, this.axes.x.name));
      this.frame.replaceChildren(...parts);
      const part = (axis) => this.view[axis].map((at) => (at - this.home[axis][0]) / (this.home[axis][1] - this.home[axis][0]));
      const [[x0, x1], [y0, y1]] = [part("x"), part("y")];
      const [, , fineWidth, fineHeight] = this.fine;
      const box = [x0 * fineWidth, (1 - y1) * fineHeight, (x1 - x0) * fineWidth, (y1 - y0) * fineHeight];
      this.area.setAttribute("viewBox", box.join(" "));
    }
    // Shows other ranges; plots of the same conversation go along in time.
    show(x, y, alone = false) {
      const fit = (axis, range) => {
        const [from, to] = this.home[axis];
        const size = Math.min(to - from, Math.max(range[1] - range[0], (to - from) * 1e-5));
        const begin = Math.min(Math.max(range[0], from), to - size);
        return [begin, begin + size];
      };
      this.view = { x: fit("x", x), y: fit("y", y) };
      this.forget();
      this.draw();
      const link = this.figure.dataset.link;
      if (alone || !link) return;
      for (const other of plots) {
        if (other !== this && other.figure.dataset.link === link) other.show(this.view.x, other.view.y, true);
      }
    }
    zoom(factor, x, y) {
      const around = (range, at) => range.map((end) => at + (end - at) * factor);
      this.show(around(this.view.x, x), around(this.view.y, y));
    }
    move(dx, dy) {
      const by = (range, part) => range.map((end) => end + part * (range[1] - range[0]));
      this.show(by(this.view.x, dx), by(this.view.y, dy));
    }
    reset() {
      this.show(this.home.x, this.home.y);
    }
    forget() {
      this.readout.replaceChildren();
      this.picked.setAttribute("visibility", "hidden");
    }
    // The mark that is nearest to a place, and what it says.
    read(px, py) {
      let best = { far: 30 };
      for (const layer of this.layers) {
        if (layer.off) continue;
        let before;
        for (const mark of layer.marks) {
          const [time, low, high = low] = mark;
          const x = this.pixel("x", this.scaled("x", time));
          if (layer.shape === "steps") {
            const begin = before && this.pixel("x", this.scaled("x", before[0]));
            if (before && begin <= px && px < x) this.near(layer, before, px, py, px, before[1], before[1], best);
          }
          before = mark;
          this.near(layer, mark, px, py, x, low, high, best);
        }
      }
      const { x, y } = this.axes;
      const at = [this.unscaled("x", this.position("x", px)), this.unscaled("y", this.position("y", py))];
      const head = document.createElement("b");
      if (!best.layer) {
        head.textContent = `${quantity(x.unit, at[0], 3)}, ${quantity(y.unit, at[1], 2)}`;
        this.picked.setAttribute("visibility", "hidden");
        return this.tell(px, py, head);
      }
      const [time, low, high = low] = best.mark;
      const name = document.createElement("span");
      name.textContent = best.layer.name;
      if (y.unit === "share") {
        const within = best.layer.shape === "bars" ? "" : ` or less: ${quantity("share", high, 1)}`;
        head.textContent = quantity("time", time, 3) + within;
      } else {
        const range = low === high ? whole(high) : `${whole(low)} to ${whole(high)} (${whole(high - low)} B)`;
        head.textContent = `${quantity("time", best.time ?? time, 6)}: ${range}`;
      }
      this.picked.setAttribute("cx", best.x);
      this.picked.setAttribute("cy", best.y);
      this.picked.setAttribute("visibility", "visible");
      this.tell(best.x, best.y, head, name);
    }
    near(layer, mark, px, py, x, low, high, best) {
      const [bottom, top] = [this.pixel("y", low), this.pixel("y", high)];
      const y = Math.min(Math.max(py, top), bottom);
      const far = Math.hypot(x - px, y - py);
      const inside = x >= this.box.left - 1 && x <= this.box.left + this.box.w + 1;
      if (far < best.far && inside) Object.assign(best, { far, layer, mark, x, y: Math.max(y, this.box.top) });
    }
    tell(px, py, ...parts) {
      this.readout.replaceChildren(...parts);
      const scale = this.svg.getBoundingClientRect().width / this.box.width;
      const right = px * scale > this.box.width * scale / 2;
      this.readout.style.left = right ? "auto" : `${px * scale + 14}px`;
      this.readout.style.right = right ? `${(this.box.width - px) * scale + 14}px` : "auto";
      this.readout.style.top = `${Math.max(0, py * scale - 12)}px`;
    }
    listen() {
      const place = (event) => {
        const rect = this.svg.getBoundingClientRect();
        const scale = this.box.width / rect.width;
        return [(event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale];
      };
      let from = null;
      this.svg.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || event.pointerType === "touch") return;
        this.figure.focus({ preventScroll: true });
        from = place(event);
        this.svg.setPointerCapture(event.pointerId);
        event.preventDefault();
      });
      this.svg.addEventListener("pointermove", (event) => {
        const [x, y] = place(event);
        if (!from) return this.read(x, y);
        const flat = Math.abs(y - from[1]) < 14;
        const box = {
          x: Math.min(x, from[0]),
          width: Math.abs(x - from[0]),
          y: flat ? this.box.top : Math.min(y, from[1]),
          height: flat ? this.box.h : Math.abs(y - from[1]),
          visibility: "visible",
        };
        for (const key in box) this.chosen.setAttribute(key, box[key]);
      });
      this.svg.addEventListener("pointerup", (event) => {
        if (!from) return;
        const [begin, end] = [from, place(event)];
        from = null;
        this.chosen.setAttribute("visibility", "hidden");
        if (Math.abs(end[0] - begin[0]) < 6) return;
        const range = (axis, one, other) => [this.position(axis, one), this.position(axis, other)].sort((a, b) => a - b);
        const flat = Math.abs(end[1] - begin[1]) < 14;
        this.show(range("x", begin[0], end[0]), flat ? this.view.y : range("y", begin[1], end[1]));
      });
      this.svg.addEventListener("pointerleave", () => this.forget());
      this.svg.addEventListener("dblclick", () => this.reset());
      this.svg.addEventListener("wheel", (event) => {
        // A page that is merely scrolled past stays as it is.
        if (document.activeElement !== this.figure && !event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const [x, y] = place(event);
        this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.position("x", x), this.position("y", y));
      }, { passive: false });
      this.figure.addEventListener("keydown", (event) => {
        if (event.target !== this.figure || event.ctrlKey || event.metaKey || event.altKey) return;
        const middle = (range) => (range[0] + range[1]) / 2;
        const zoom = (factor) => this.zoom(factor, middle(this.view.x), middle(this.view.y));
        const keys = {
          "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25),
          "0": () => this.reset(), Escape: () => this.reset(), Home: () => this.reset(),
          ArrowLeft: () => this.move(-0.1, 0), ArrowRight: () => this.move(0.1, 0),
          ArrowUp: () => this.move(0, 0.1), ArrowDown: () => this.move(0, -0.1),
        };
        if (!keys[event.key]) return;
        event.preventDefault();
        keys[event.key]();
      });
    }
  }

  for (const figure of document.querySelectorAll("figure.plot")) plots.push(new Plot(figure));
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    plots.forEach((plot) => plot.layout());
  });
})();
