--- What the status page does: asks for the numbers, keeps those of the last minutes, and draws.

return [==[
"use strict";
(() => {
const EVERY = 2000, SLOWEST_RETRY = 10000, ANSWER = 5000, WINDOW = 300, HEIGHT = 128;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

// -- Numbers as people read them -------------------------------------------------------------

function three(n) {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1).replace(/\.0$/, "")
    : n.toFixed(2).replace(/\.?0+$/, "");
}
function count(n) {
  if (n < 10000) return n >= 100 || n === Math.round(n) ? Math.round(n).toLocaleString("en")
    : three(n);
  return n < 1e6 ? three(n / 1e3) + " k" : n < 1e9 ? three(n / 1e6) + " M" : three(n / 1e9) + " G";
}
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return three(n) + " " + units[i];
}
function time(s) {
  if (s === null) return "–";
  return s < 1e-3 ? three(s * 1e6) + " µs" : s < 1 ? three(s * 1e3) + " ms" : three(s) + " s";
}
function percent(part) {
  if (part === null) return "–";
  const p = 100 * part;
  return (p > 99.9 && p < 100 ? "> 99.9" : p === 0 || p === 100 ? p : p.toFixed(1)) + " %";
}
const rate = (n) => n === null ? "–" : count(n) + "/s";

// -- What happened between two answers --------------------------------------------------------

const COUNTED = ["memory.near_hits", "memory.hits", "memory.stale", "memory.lookup_misses",
  "memory.evictions", "memory.expired", "memory.sets", "redis.hits", "redis.timeouts",
  "redis.commands", "redis.connect_failures", "redis.unanswered",
  "fetch.stale", "fetch.loads", "fetch.load_errors"];
const at = (stats, name) => name.split(".").reduce((o, k) => o[k], stats);

// The time that this fraction took at most, of what two histograms differ by; null: of nothing.
function quantile(now, was, fraction) {
  const n = now.count - was.count;
  if (n <= 0) return null;
  let before = 0, from = 0;
  for (let i = 0; i < now.buckets.length; i++) {
    const c = now.buckets[i].count - was.buckets[i].count, le = now.buckets[i].le;
    if (c >= fraction * n) {
      return le === undefined ? from : from + (le - from) * (fraction * n - before) / (c - before);
    }
    before = c; from = le;
  }
  return from;
}

// null: counters went back, so the memory is another one.
function step(was, now, t0, t1) {
  const s = { t0, t1 }, seconds = t1 - t0, d = {};
  for (const name of COUNTED) {
    d[name] = at(now, name) - at(was, name);
    if (d[name] < 0) return null;
  }
  const tiers = { near: d["memory.near_hits"], memory: d["memory.hits"], redis: d["redis.hits"],
    stale: d["memory.stale"] + d["fetch.stale"], none: d["memory.lookup_misses"] };
  const lookups = Object.values(tiers).reduce((a, b) => a + b);
  s.lookups = lookups / seconds;
  s.share = {};
  for (const k in tiers) s.share[k] = lookups > 0 ? tiers[k] / lookups : null;
  s.hit = lookups > 0 ? 1 - s.share.none : null;
  s.failures = d["redis.connect_failures"] + d["redis.unanswered"];
  s.evictions = d["memory.evictions"] / seconds;
  s.expired = d["memory.expired"] / seconds;
  s.sets = d["memory.sets"] / seconds;
  s.loads = (d["fetch.loads"] + d["fetch.load_errors"]) / seconds;
  s.p50 = quantile(now.redis.round_trip, was.redis.round_trip, 0.5);
  s.p99 = quantile(now.redis.round_trip, was.redis.round_trip, 0.99);
  s.load50 = quantile(now.fetch.load, was.fetch.load, 0.5);
  s.load99 = quantile(now.fetch.load, was.fetch.load, 0.99);
  s.live = now.memory.live_bytes; s.dead = now.memory.dead_bytes;
  s.free = now.memory.free_bytes; s.capacity = now.memory.capacity_bytes;
  return s;
}

// -- Elements -----------------------------------------------------------------------------------

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

// What a chart shows: stacked bands or curves of values of a step; `top` is the scale's upper end,
// which all caches share.
const CHARTS = [
  { id: "tiers", title: "Answered by", unit: "share of lookups", stacked: true, top: () => 1,
    show: percent, of: (s, k) => s.share[k], series: [["near", "near", "near"],
      ["memory", "memory", "memory"], ["redis", "Redis", "redis"], ["stale", "stale", "stale"],
      ["none", "none", "none"]] },
  { id: "lookups", title: "Lookups", unit: "per second", show: rate,
    series: [["lookups", "", "line"]] },
  { id: "redis", title: "Redis round trip", unit: "half and 99 of 100 within", show: time,
    needs_redis: true, series: [["p99", "99 %", "second"], ["p50", "half", "line"]] },
  { id: "memory", title: "Memory", unit: "of its capacity", stacked: true, top: () => 1,
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
  if (chart.top) return chart.top();
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

function draw(chart, view, cache, t) {
  const w = view.svg.clientWidth, left = 0, right = w - 96, low = 16, high = HEIGHT - 20;
  if (w < 150) return;
  const top = top_of(chart), past = span();
  const x = (s) => left + (right - left) * Math.max(0, 1 - (t - s) / past);
  const y = (v) => high - (high - low) * Math.min(1, v / top);
  const steps = cache.steps, last = steps[steps.length - 1];
  const parts = [], labels = [];
  const line = (y1, cls) => svg("line", { x1: left, x2: right, y1, y2: y1, class: cls });
  parts.push(line(low, "rule"));
  if (!chart.stacked) parts.push(line((low + high) / 2, "rule"));
  if (chart.stacked) {
    const floor = steps.map(() => 0);
    for (const [k, name, color] of chart.series) {
      let d = "";
      steps.forEach((s, i) => {
        const v = value(chart, s, k);
        if (v === null) return;
        const y0 = y(floor[i]), y1 = y(floor[i] + v);
        if (i === steps.length - 1) {
          labels.push({ y: (y0 + y1) / 2 + 4, text: name + " " + chart.show(v), color, v });
        }
        floor[i] += v;
        if (y0 - y1 > 0.05) d += `M${x(s.t0)} ${y0}V${y1}H${x(s.t1) + 0.3}V${y0}Z`;
      });
      parts.push(svg("path", { d, class: "fill-" + color }));
    }
  } else {
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
          color, v: 1 });
      }
    }
  }
  parts.push(line(high, "rule base"));
  const shown = labels.filter((l) => l.v > 0);
  spread(shown, low + 4, high + 2);
  for (const l of shown) {
    parts.push(svg("rect", { x: right + 6, y: l.y - 7.5, width: 4, height: 8,
      class: "fill-" + l.color }), svg("text", { x: right + 14, y: l.y }, l.text));
  }
  if (!chart.stacked) {
    parts.push(svg("text", { x: left, y: low - 4, class: "scale" }, chart.show(top)));
  }
  parts.push(svg("text", { x: left, y: HEIGHT - 6, class: "scale" },
      past < 120 ? Math.round(past) + " s ago" : three(past / 60).split(".")[0] + " min ago"),
    svg("text", { x: right, y: HEIGHT - 6, class: "scale", "text-anchor": "end" }, "now"));
  if (shown.length === 0) {
    parts.push(svg("text", { x: (left + right) / 2, y: (low + high) / 2 + 4, class: "scale",
      "text-anchor": "middle" }, last ? "nothing just now" : "waiting for a second answer"));
  }
  view.svg.replaceChildren(...parts);
  view.svg.setAttribute("aria-label", chart.title + ", " + chart.unit + ": " + (shown.length
    ? shown.map((l) => l.text).join(", ") : "nothing just now"));
}

// -- Tables -------------------------------------------------------------------------------------

function table(caption, note, heads) {
  const small = el("span", {}), body = el("tbody", {});
  small.textContent = note;
  const e = el("table", {}, el("caption", {}, caption, small),
    el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))), body);
  return { e, small, body };
}
function fill(view, rows, none) {
  const columns = view.e.querySelectorAll("thead th").length;
  view.body.replaceChildren(...(rows.length ? rows.map((cells) => el("tr", {},
    ...cells.map((c, i) => i === 0 ? el("th", { scope: "row" }, c)
      : c instanceof Element ? el("td", { class: "bar" }, c) : el("td", {}, c))))
    : [el("tr", {}, el("td", { colspan: columns, class: "empty" }, none))]));
}
function bar(part) {
  const e = svg("svg", { viewBox: "0 0 100 9", preserveAspectRatio: "none",
    "aria-hidden": "true" });
  e.append(svg("rect", { width: 100 * part, height: 9, class: "fill-line" }));
  return e;
}

function draw_prefixes(cache) {
  const s = cache.data.sample, views = cache.prefixes;
  if (!s) {
    fill(views.reads, [], "looking"); fill(views.bytes, [], "looking");
    return;
  }
  const part = s.slots / s.all_slots;
  const of = `${count(s.entries)} entries looked at` + (part < 1
    ? `, in ${percent(part)} of the slots` : ", which are all");
  say(views.reads.small, "Share of reads seen, an entry once in 0.1 s at most; " + of);
  say(views.bytes.small, (part < 1 ? "Estimated from " : "") + of);
  const by = (k) => s.prefixes.filter((p) => p[k] > 0).sort((a, b) => b[k] - a[k]).slice(0, 8);
  const most = Math.max(...s.prefixes.map((p) => p.bytes), 1);
  const looks = Math.max(...s.prefixes.map((p) => p.looks), 1);
  fill(views.reads, by("looks").map((p) => [p.prefix, bar(p.looks / looks),
    percent(p.looks / s.looks)]), "none was read while it was looked");
  fill(views.bytes, by("bytes").map((p) => [p.prefix, bar(p.bytes / most), bytes(p.bytes / part),
    count(p.entries / part)]), "memory is empty");
}

// What workers say of their own loaders, together: each page is answered by one of them.
function draw_loaders(cache) {
  const by = new Map();
  for (const { list } of cache.loaders.values()) {
    for (const l of list) {
      const m = by.get(l.prefix) || { prefix: l.prefix, count: 0, seconds: 0, slowest: 0 };
      m.count += l.count; m.seconds += l.seconds;
      m.slowest = Math.max(m.slowest, l.slowest_seconds);
      by.set(l.prefix, m);
    }
  }
  const rows = [...by.values()].sort((a, b) => b.slowest - a.slowest).slice(0, 8);
  say(cache.slowest.small, "By prefix, since the worker began; of " + (cache.loaders.size === 1
    ? "the worker that answers this page" : cache.loaders.size + " workers that have answered"));
  fill(cache.slowest, rows.map((l) => [l.prefix, count(l.count), time(l.seconds / l.count),
    time(l.slowest)]), "no loader has run");
}

function draw_counters(cache) {
  const rows = [], was = cache.was, stats = cache.data.stats;
  for (const tier of ["memory", "redis", "tracking", "fetch"]) {
    for (const name of Object.keys(stats[tier])) {
      const v = stats[tier][name];
      if (typeof v !== "number") continue;
      const d = was && cache.t > cache.t0 ? (v - was[tier][name]) / (cache.t - cache.t0) : null;
      rows.push([tier + "." + name, Math.round(v).toLocaleString("en"), d === null ? "–"
        : three(Math.abs(d)).replace(/^/, d < 0 ? "−" : "")]);
    }
  }
  fill(cache.counters, rows, "");
}
function draw_history(cache) {
  const ago = (s) => Math.round(cache.t - s.t1) + " s ago";
  fill(cache.history, cache.steps.slice(-30).reverse().map((s) => [ago(s), rate(s.lookups),
    ...["near", "memory", "redis", "stale", "none"].map((k) => percent(s.share[k])),
    time(s.p50), time(s.p99), rate(s.sets), rate(s.evictions), bytes(s.live), time(s.load50),
    time(s.load99)]), "waiting for a second answer");
}

// -- A cache ------------------------------------------------------------------------------------

const caches = new Map();
let number = 0;

function make(name) {
  const id = "cache-" + ++number;
  const cache = { id, name, steps: [], loaders: new Map(), views: new Map(), facts: {} };
  cache.state = el("p", { class: "state" });
  const facts = el("dl", { class: "facts" });
  for (const [k, label] of [["hit", "hits, last step"], ["all", "hits since the memory was made"],
    ["lookups", "lookups"], ["entries", "entries"], ["live", "in memory"]]) {
    cache.facts[k] = el("dd", {}, "–");
    facts.append(el("div", {}, el("dt", {}, label), cache.facts[k]));
  }
  const charts = el("div", { class: "charts" });
  for (const chart of CHARTS) {
    const e = svg("svg", { role: "img", "aria-label": chart.title });
    const figure = el("figure", { "data-chart": chart.id },
      el("figcaption", {}, chart.title + " ", el("span", {}, chart.unit)), e);
    cache.views.set(chart, { svg: e, figure });
    charts.append(figure);
  }
  cache.prefixes = { reads: table("Prefixes by reads", "", ["prefix", "", "of reads seen"]),
    bytes: table("Prefixes by bytes", "", ["prefix", "", "bytes", "entries"]) };
  cache.slowest = table("Slowest loaders", "", ["prefix", "loads", "mean", "slowest"]);
  cache.counters = table("Every counter", "Over all workers of this host", ["counter", "now",
    "change per second"]);
  cache.history = table("The charts as a table", "The last 30 steps", ["", "lookups", "near",
    "memory", "Redis", "stale", "none", "Redis half", "Redis 99 %", "stored", "evicted", "live",
    "loads half", "loads 99 %"]);
  cache.more = [[cache.history, draw_history], [cache.counters, draw_counters]].map(([v, f]) => {
    const e = el("details", {}, el("summary", {}, v.e.caption.firstChild.textContent),
      el("div", { class: "scroll", tabindex: "0", role: "region",
        "aria-label": v.e.caption.firstChild.textContent + " of " + name }, v.e));
    e.addEventListener("toggle", () => e.open && f(cache));
    return { e, f };
  });
  cache.e = el("section", { id, "aria-labelledby": id + "-name" },
    el("h2", { id: id + "-name" }, name), cache.state, facts, charts,
    el("div", { class: "tables" }, cache.prefixes.reads.e, cache.prefixes.bytes.e,
      cache.slowest.e), ...cache.more.map((m) => m.e));
  $("caches").append(cache.e);
  return cache;
}

function dotted(good, text) {
  return el("span", {}, el("span", { class: "dot " + good, "aria-hidden": "true" }), text);
}

// A worker that has had nothing to ask has no connection: that is no fault, failures are.
function states(cache) {
  const stats = cache.data.stats;
  const r = stats.redis, t = stats.tracking;
  if (r.state === "none") return [dotted("", "memory only, no Redis")];
  const idle = r.state === "down"
    && !cache.steps.some((s) => s.failures > 0 && cache.t - s.t1 < 8);
  const list = [dotted(idle ? "" : r.state === "up" ? "good" : "bad", (idle
    ? "no connection to Redis in the worker that answers"
    : r.state === "up" ? "Redis up" : "Redis down, breaker open")
    + (r.server ? ", " + r.server : ""))];
  if (t.state !== "off") {
    list.push(dotted(t.state === "on" ? "good" : "bad", t.state === "on"
      ? `told of changes, ${t.covering} of 2 links` : "not told of changes"
        + (t.trouble ? ": " + t.trouble : "")));
  }
  if (r.timeouts) list.push(el("span", {}, count(r.timeouts) + " time-outs"));
  if (stats.memory.shards_out_of_service) {
    list.push(el("span", { class: "trouble" }, stats.memory.shards_out_of_service
      + " shards out of service"));
  }
  return list;
}

// Adds what has been heard of a cache, at a time, from a worker.
function add(c, data, t, worker) {
  const was = c.data ? c.data.stats : null;
  const s = was && t > c.t ? step(was, data.stats, c.t, t) : null;
  const is_new = was && !s && t !== c.t; // nginx, or the machine, was started anew
  if (s) c.steps.push(s);
  if (t < c.t) c.steps = [];
  if (is_new) c.loaders.clear();
  c.was = is_new ? null : was; c.t0 = c.t;
  c.data = data; c.t = t;
  c.steps = c.steps.filter((one) => t - one.t1 < WINDOW);
  c.loaders.set(worker, { list: data.loaders, t });
  for (const [pid, said] of c.loaders) if (t - said.t > WINDOW) c.loaders.delete(pid);
}

function take(data) {
  const seen = new Set();
  for (const d of data.caches) {
    seen.add(d.name);
    if (!caches.has(d.name)) caches.set(d.name, make(d.name));
    add(caches.get(d.name), d, data.seconds, data.worker);
  }
  for (const [name, c] of caches) {
    if (!seen.has(name)) { c.e.remove(); caches.delete(name); }
  }
  const nav = $("nav");
  nav.hidden = caches.size < 2;
  if (nav.children.length !== caches.size || nav.dataset.of !== [...caches.keys()].join("\n")) {
    nav.dataset.of = [...caches.keys()].join("\n");
    nav.replaceChildren(...[...caches.values()].map((c) => el("a", { href: "#" + c.id }, c.name)));
  }
  if (!caches.size && !$("none")) {
    $("caches").append(el("p", { id: "none" },
      "No cache is open in the worker that has answered."));
  } else if (caches.size && $("none")) {
    $("none").remove();
  }
}

function render() {
  for (const c of caches.values()) {
    const s = c.data.stats, last = c.steps[c.steps.length - 1];
    const parts = states(c), text = parts.map((p) => p.textContent).join();
    if (c.state.dataset.text !== text) {
      c.state.dataset.text = text;
      c.state.replaceChildren(...parts);
    }
    say(c.facts.hit, percent(last ? last.hit : null));
    say(c.facts.all, percent(s.hits + s.misses > 0 ? s.avg_hit_rate : null));
    say(c.facts.lookups, rate(last ? last.lookups : null));
    say(c.facts.entries, count(s.entries));
    say(c.facts.live, bytes(s.memory.live_bytes) + " of " + bytes(s.memory.capacity_bytes));
    for (const [chart, view] of c.views) {
      view.figure.hidden = Boolean(chart.needs_redis && s.redis.state === "none");
      if (!view.figure.hidden) draw(chart, view, c, c.t);
    }
    draw_prefixes(c); draw_loaders(c);
    for (const m of c.more) if (m.e.open) m.f(c);
  }
}

// -- Asking -------------------------------------------------------------------------------------

let timer = null, asking = false, failures = 0, answers = 0, paused = false;

function status(kind, text) {
  $("dot").className = "dot " + kind;
  $("dot").parentNode.classList.toggle("failing", kind === "bad");
  say($("status"), text);
}
function again(ms) {
  clearTimeout(timer);
  timer = null;
  if (!paused && !document.hidden) timer = setTimeout(ask, ms);
}
async function ask() {
  if (asking) return;
  asking = true;
  const abort = new AbortController(), limit = setTimeout(() => abort.abort(), ANSWER);
  let wait = EVERY;
  try {
    const answer = await fetch("?format=json", { cache: "no-store", signal: abort.signal });
    if (!answer.ok) throw new Error("the server said " + answer.status);
    const data = await answer.json();
    if (!Array.isArray(data.caches)) throw new Error("that was not the numbers");
    take(data);
    failures = 0; answers++;
    if (answers === 1) wait = 1000;
    if (!paused) status("good", "live");
    render();
  } catch (e) {
    failures++;
    wait = Math.min(EVERY * failures, SLOWEST_RETRY);
    const why = e.name === "AbortError" ? `no answer in ${ANSWER / 1000} s` : e.message;
    status("bad", "no numbers: " + why + "; what is below is old; trying again");
  } finally {
    clearTimeout(limit);
    asking = false;
    again(wait);
  }
}
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (paused) { status("", "paused"); clearTimeout(timer); } else again(0);
});
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer)
  : again(0));
addEventListener("resize", render);
$("host").textContent = location.host;
document.title = "tandem · " + location.host;
again(0);
})();
]==]
