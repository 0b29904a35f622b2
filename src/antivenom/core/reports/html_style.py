"""The style of a scan as HTML: light and dark, on paper without colours that cost ink."""

STYLE = """
:root { --text: #1c2024; --soft: #5a6270; --back: #fff; --line: #d9dee5; --head: #f4f6f9; --link: #0a58ca;
  --malware: #6f1d7a; --critical: #a3122b; --high: #a84400; --medium: #7a5b00; --low: #3d5a73; --unknown: #555d68;
  --stop: #a3122b; --warn: #7a5b00; --go: #1d6b3a; --kev: #a3122b; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ee; --soft: #a3acb9; --back: #15181d; --line: #343a44; --head: #1e232a; --link: #7db3ff;
    --malware: #e3a1ee; --critical: #ff9aa8; --high: #ffb482; --medium: #f1d27a; --low: #a9c7e3; --unknown: #b6bdc8;
    --stop: #ff9aa8; --warn: #f1d27a; --go: #8fd9a8; --kev: #ff9aa8; } }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 2rem 0 .5rem; font-size: 1.2rem; }
.when, .about, .version, .places { color: var(--soft); font-size: .9em; }
.when { margin: 0 0 1rem; }
a { color: var(--link); } a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.numbers { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; list-style: none; }
.numbers li { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .9rem; }
.numbers b { font-size: 1.3rem; display: block; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .5rem .6rem; border-top: 1px solid var(--line); }
thead th { background: var(--head); font-size: .85em; }
tbody th { font-weight: 600; min-width: 7rem; overflow-wrap: break-word; } .version { font-weight: 400; }
td ul { margin: 0; padding: 0; list-style: none; } td li + li { margin-top: .4rem; }
td { overflow-wrap: break-word; } .places { overflow-wrap: anywhere; max-width: 20rem; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 4px; padding: 0 .35rem; font-size: .8em;
  font-weight: 600; margin-right: .25rem; }
.malware { color: var(--malware); } .critical { color: var(--critical); } .high { color: var(--high); }
.medium { color: var(--medium); } .low { color: var(--low); } .unknown { color: var(--unknown); }
.stop { color: var(--stop); } .warn { color: var(--warn); } .go { color: var(--go); } .kev { color: var(--kev); }
@media (max-width: 42rem) {
  thead { position: absolute; clip-path: inset(50%); }
  table, caption, tbody, tr, th, td { display: block; } td { border: 0; padding-top: 0; } .places { max-width: none; } }
@media print {
  :root { --text: #000; --soft: #333; --back: #fff; --line: #999; --head: #fff; --link: #000; --malware: #000;
    --critical: #000; --high: #000; --medium: #000; --low: #000; --unknown: #000; --stop: #000; --warn: #000;
    --go: #000; --kev: #000; }
  main { max-width: none; padding: 0; } body { font-size: 10pt; } .wide { overflow: visible; }
  tr { break-inside: avoid; } thead { display: table-header-group; } h2 { break-after: avoid; } }
"""
