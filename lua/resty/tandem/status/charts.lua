--- Of the status page's script: elements of the page, and the charts.

return [==[
// -- Elements -----------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  e.append(...children);
  return e;
}
function svg(name, attributes, text) {
  const e = document.createElementNS(SVG, name);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  return e;
}
function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// -- Charts -------------------------------------------------------------------------------------

const HEIGHT = 128; // pixels
const WINDOW = 300; // seconds that are kept

// What a chart shows: stacked bands or curves of values of a step; `top` is the scale's upper end,
// which all caches share.
const CHARTS = [
  { id: "tiers", title: "Answered by", unit: "share of lookups", stacked: true, top: 1,
    show: percent, of: (s, k) => s.share[k], series: [["near", "near", "near"],
      ["memory", "memory", "memory"], ["redis", "Redis", "redis"], ["stale", "stale", "stale"],
      ["none", "none", "none"]] },
  { id: "lookups", title: "Lookups", unit: "per second", show: rate,
    series: [["lookups", "", "line"]] },
  { id: "redis", title: "Redis round trip", unit: "half and 99 of 100 within", show: time,
    needs_redis: true, series: [["p99", "99 %", "second"], ["p50", "half", "line"]] },
  { id: "memory", title: "Memory", unit: "of its capacity", stacked: true, top: 1,
    show: percent, of: (s, k) => s.capacity ? s[k] / s.capacity : 0,
    series: [["live", "live", "near"], ["dead", "dead", "redis"], ["free", "free", "none"]] },
  { id: "evictions", title: "Evictions and writes", unit: "per second", show: rate,
    series: [["sets", "stored", "second"], ["evictions", "evicted", "line"]] },
  { id: "loads", title: "Loaders", unit: "half and 99 of 100 within", show: time,
    series: [["load99", "99 %", "second"], ["load50", "half", "line"]] },
];
const value = (chart, s, k) => chart.of ? chart.of(s, k) : s[k];

// 1, 2 or 5 times a power of ten.
function round_up(n) {
  if (!(n > 0)) return 1;
  const p = 10 ** Math.floor(Math.log10(n)), m = n / p;
  return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * p;
}
function top_of(chart) {
  if (chart.top) return chart.top;
  let most = 0;
  for (const c of caches.values()) {
    for (const s of c.steps) for (const [k] of chart.series) most = Math.max(most, s[k] || 0);
  }
  return round_up(most || (chart.show === time ? 1e-3 : 1));
}

// All charts have one scale of time: a minute at first, then more, up to WINDOW.
function span() {
  let most = 60;
  for (const c of caches.values()) if (c.steps.length) most = Math.max(most, c.t - c.steps[0].t0);
  return Math.min(WINDOW, most);
}

// Moves labels that are nearer than a line apart, downwards and then back into the chart.
function spread(labels, low, high) {
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((l, i) => { l.y = Math.max(l.y, i ? labels[i - 1].y + 13 : low); });
  for (let i = labels.length - 1, end = high; i >= 0; i--, end -= 13) {
    labels[i].y = Math.min(labels[i].y, end);
  }
}

// Where things are in a chart of a cache, at the time t: x of a time, y of a value.
function frame(chart, view, t) {
  const right = view.svg.clientWidth - 96, low = 16, high = HEIGHT - 20;
  const top = top_of(chart), past = span();
  return { left: 0, right, low, high, top, past,
    x: (s) => right * Math.max(0, 1 - (t - s) / past),
    y: (v) => high - (high - low) * Math.min(1, v / top) };
}

// The two that follow return the paths, and what is written beside them: { y, text, color }.
function bands(chart, steps, { x, y }) {
  const parts = [], labels = [], floor = steps.map(() => 0);
  for (const [k, name, color] of chart.series) {
    let d = "";
    steps.forEach((s, i) => {
      const v = value(chart, s, k);
      if (v === null) return;
      const y0 = y(floor[i]), y1 = y(floor[i] + v);
      if (v > 0 && i === steps.length - 1) {
        labels.push({ y: (y0 + y1) / 2 + 4, text: name + " " + chart.show(v), color });
      }
      floor[i] += v;
      if (y0 - y1 > 0.05) d += `M${x(s.t0)} ${y0}V${y1}H${x(s.t1) + 0.3}V${y0}Z`;
    });
    parts.push(svg("path", { d, class: "fill-" + color }));
  }
  return { parts, labels };
}
function curves(chart, steps, { x, y }) {
  const parts = [], labels = [], last = steps[steps.length - 1];
  for (const [k, name, color] of chart.series) {
    let d = "", end = null;
    for (const s of steps) {
      if (s[k] === null) { end = null; continue; }
      d += (end === s.t0 ? "L" : "M") + `${x(s.t0)} ${y(s[k])}L${x(s.t1)} ${y(s[k])}`;
      end = s.t1;
    }
    parts.push(svg("path", { d, class: "curve stroke-" + color }));
    if (last && last[k] !== null) {
      labels.push({ y: y(last[k]) + 4, text: (name ? name + " " : "") + chart.show(last[k]),
        color });
    }
  }
  return { parts, labels };
}

function draw(chart, view, cache, t) {
  if (view.svg.clientWidth < 150) return;
  const { left, right, low, high, top, past, x, y } = frame(chart, view, t);
  const { parts, labels } = (chart.stacked ? bands : curves)(chart, cache.steps, { x, y });
  const nothing = cache.steps.length ? "nothing just now" : "waiting for a second answer";
  const line = (y1, cls) => svg("line", { x1: left, x2: right, y1, y2: y1, class: cls });
  const scale = (x1, y1, anchor, text) =>
    svg("text", { x: x1, y: y1, class: "scale", "text-anchor": anchor }, text);
  if (!chart.stacked) {
    parts.unshift(line((low + high) / 2, "rule"));
    parts.push(scale(left, low - 4, "start", chart.show(top)));
  }
  parts.unshift(line(low, "rule"));
  parts.push(line(high, "rule base"), scale(right, HEIGHT - 6, "end", "now"),
    scale(left, HEIGHT - 6, "start", past < 120 ? Math.round(past) + " s ago"
      : three(past / 60).split(".")[0] + " min ago"));
  spread(labels, low + 4, high + 2);
  for (const l of labels) {
    parts.push(svg("rect", { x: right + 6, y: l.y - 7.5, width: 4, height: 8,
      class: "fill-" + l.color }), svg("text", { x: right + 14, y: l.y }, l.text));
  }
  if (!labels.length) {
    parts.push(scale((left + right) / 2, (low + high) / 2 + 4, "middle", nothing));
  }
  view.svg.replaceChildren(...parts);
  view.svg.setAttribute("aria-label", chart.title + ", " + chart.unit + ": "
    + (labels.map((l) => l.text).join(", ") || nothing));
}
]==]
