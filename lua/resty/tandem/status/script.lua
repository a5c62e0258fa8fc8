--- What the status page does: asks for the numbers, keeps those of the last minutes, and draws.

local parts = {
    require "resty.tandem.status.numbers",
    require "resty.tandem.status.charts",
    require "resty.tandem.status.tables",
    [==[
// -- A cache ------------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
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
  if (r.trouble) list.push(el("span", { class: "trouble" }, r.trouble));
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

const EVERY = 2000, SLOWEST_RETRY = 10000, ANSWER = 5000; // ms

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
]==],
}

-- One scope for all of it, and none of the page's.
return '"use strict";\n(() => {\n' .. table.concat(parts, "\n") .. "})();\n"
