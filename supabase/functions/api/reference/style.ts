export const STYLE = `
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --accent: #2563eb; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; display: grid; grid-template: auto 1fr / 16rem 1fr; min-height: 100vh; }
header { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; padding: .5rem 1rem; border-bottom: 1px solid var(--line); }
header h1 { font-size: 1.1rem; margin: 0; margin-right: auto; }
nav { padding: 1rem; border-right: 1px solid var(--line); overflow: auto; max-height: calc(100vh - 3.5rem); position: sticky; top: 0; }
nav h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; margin: 1rem 0 .25rem; }
nav a { display: block; color: inherit; text-decoration: none; padding: .1rem 0; }
nav a:hover, nav a:focus { color: var(--accent); }
main { padding: 1rem 2rem; min-width: 0; }
section { border-bottom: 1px solid var(--line); padding: 1rem 0 2rem; }
section h3 { margin: 0 0 .25rem; font-size: 1.05rem; }
code, pre, textarea, input, select { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow: auto; max-height: 28rem; margin: .25rem 0; }
.method { font-weight: 700; color: var(--accent); margin-right: .5rem; }
main > *, label > * { min-width: 0; }
p, h3, small, nav a, section label span { overflow-wrap: anywhere; }
section label { display: grid; grid-template-columns: 11rem minmax(8rem, 24rem) 1fr; gap: .5rem; align-items: baseline; margin: .25rem 0; }
label small { opacity: .7; }
input, select, textarea { max-width: 100%; padding: .25rem .4rem; border: 1px solid var(--line); background: transparent; color: inherit; }
textarea { width: 100%; min-height: 8rem; }
button { padding: .3rem 1rem; margin: .5rem 0; cursor: pointer; }
details { margin: .5rem 0; }
@media (max-width: 50rem) { body { display: block; } main { padding: 1rem; } header label, header input { width: 100%; } section label > * { width: 100%; } section label { grid-template-columns: 1fr; } nav { position: static; max-height: none; border: 0; } }
`;
