--- How the status page looks.

return [==[
:root {
  --paper: #fcfbf8; --ink: #1c1c1a; --soft: #5d5b54; --rule: #dcd9d0; --faint: #f1efe8;
  --near: #0d5c63; --memory: #4f9da3; --redis: #d98e2b; --stale: #8a63a8; --none: #d9d5ca;
  --good: #2b7a3d; --bad: #b3261e; --line: #0d5c63; --second: #b8701a; --focus: #1a5fd0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141618; --ink: #e9e6df; --soft: #a6a298; --rule: #33363a; --faint: #1d2023;
    --near: #3fb0b5; --memory: #24696e; --redis: #d9973f; --stale: #a98ac4; --none: #3a3c3f;
    --good: #6cc07d; --bad: #f28b82; --line: #57bfc4; --second: #e0a656; --focus: #8ab4f8;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body {
  max-width: 76rem; margin: 0 auto; padding: 1.25rem clamp(1rem, 4vw, 2.5rem) 3rem;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
a { color: inherit; text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 3px; border-radius: 2px; }
main:focus { outline: none; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.5rem; }
h1 { font-size: 1.05rem; margin: 0; letter-spacing: .01em; }
h1 span { font-weight: 400; color: var(--soft); }
.link { margin: 0 0 0 auto; color: var(--soft); font-size: .87rem; }
.link.failing { color: var(--bad); }
.dot {
  display: inline-block; width: .55rem; height: .55rem; border-radius: 50%;
  background: var(--soft); margin-right: .25rem;
}
.dot.good { background: var(--good); }
.dot.bad { background: var(--bad); border-radius: 1px; }
button {
  font: inherit; color: var(--ink); background: none; border: 1px solid var(--rule);
  border-radius: 4px; padding: .15rem .7rem; margin-left: .6rem; cursor: pointer; min-height: 2rem;
}
button:hover { background: var(--faint); }
nav { flex-basis: 100%; font-size: .87rem; }
nav a { display: inline-block; margin-right: 1.2rem; padding: .3rem 0; }
section { border-top: 1px solid var(--ink); margin-top: 1.1rem; padding-top: .9rem; }
section + section { margin-top: 2.6rem; }
h2 { font-size: 1.45rem; font-weight: 600; margin: 0; line-height: 1.2; overflow-wrap: anywhere; }
.state { margin: .2rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
.state .dot { margin: 0 .3rem 0 0; }
.state > span { margin-right: 1.3rem; }
.trouble { color: var(--bad); }
dl.facts { display: flex; flex-wrap: wrap; gap: .5rem 2.6rem; margin: .9rem 0 1.3rem; }
dl.facts div { display: flex; flex-direction: column-reverse; }
dl.facts dt { color: var(--soft); font-size: .82rem; }
dl.facts dd { margin: 0; font-size: 1.6rem; line-height: 1.2; font-weight: 300; }
.charts {
  display: grid; gap: 1.5rem 2.4rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
}
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: .87rem; }
figcaption span { font-weight: 400; color: var(--soft); }
svg { display: block; width: 100%; height: 128px; overflow: visible; }
svg text { font-size: 11.5px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text.scale { fill: var(--soft); font-size: 10.5px; }
svg .rule { stroke: var(--rule); stroke-width: 1; shape-rendering: crispEdges; }
svg .base { stroke: var(--soft); }
svg .curve { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.tables {
  display: grid; gap: 1.4rem 2.4rem; margin-top: 1.7rem;
  grid-template-columns: repeat(auto-fit, minmax(min(25rem, 100%), 1fr));
}
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .25rem; }
caption span { display: block; font-weight: 400; color: var(--soft); font-size: .82rem; }
th { font-weight: 400; color: var(--soft); text-align: left; font-size: .82rem; }
th, td { padding: .22rem 0 .22rem .9rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { color: var(--ink); font-size: .87rem; white-space: normal; overflow-wrap: anywhere; }
tbody tr { border-top: 1px solid var(--rule); }
td.bar { width: 26%; min-width: 3.5rem; }
td.bar svg { height: 9px; }
.empty { color: var(--soft); }
details { margin-top: 1.4rem; font-size: .87rem; }
summary { cursor: pointer; color: var(--soft); padding: .3rem 0; width: max-content; }
.scroll { overflow-x: auto; }
footer {
  margin-top: 2.8rem; border-top: 1px solid var(--rule); color: var(--soft); font-size: .82rem;
}
footer p { max-width: 46rem; }
.fill-near { fill: var(--near); } .fill-memory { fill: var(--memory); }
.fill-redis { fill: var(--redis); } .fill-stale { fill: var(--stale); }
.fill-none { fill: var(--none); } .fill-line { fill: var(--line); }
.fill-second { fill: var(--second); }
.stroke-line { stroke: var(--line); } .stroke-second { stroke: var(--second); }
@media (forced-colors: active) { .dot { forced-color-adjust: none; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
]==]
