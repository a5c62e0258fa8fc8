--- Of the status page's script: numbers as people read them, and what two answers differ by.

return [==[
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
  s.sets = d["memory.sets"] / seconds;
  s.p50 = quantile(now.redis.round_trip, was.redis.round_trip, 0.5);
  s.p99 = quantile(now.redis.round_trip, was.redis.round_trip, 0.99);
  s.load50 = quantile(now.fetch.load, was.fetch.load, 0.5);
  s.load99 = quantile(now.fetch.load, was.fetch.load, 0.99);
  s.live = now.memory.live_bytes; s.dead = now.memory.dead_bytes;
  s.free = now.memory.free_bytes; s.capacity = now.memory.capacity_bytes;
  return s;
}
]==]
