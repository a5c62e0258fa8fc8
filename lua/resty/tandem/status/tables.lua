--- Of the status page's script: the tables.

return [==[
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
        : (d < 0 ? "−" : "") + three(Math.abs(d))]);
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
]==]
