/**
 * `npm run bench -- <name> [options]`: the benchmarks.
 *
 *   queue    the run queue against Graphile Worker and pg-boss
 *   storage  verification of uploads, requests to the functions, row security
 *   cron     next_cron_run against croner
 *   registry packages: resolution against npm's semver, downloads with the cache and without, imports
 */
const BENCHMARKS: Record<string, () => Promise<unknown>> = {
  queue: () => import("./queue/main.ts"),
  storage: () => import("./storage/main.ts"),
  cron: () => import("./cron.ts"),
  registry: () => import("./registry/main.ts"),
};

const name = Deno.args.find((arg) => !arg.startsWith("-"));
if (!name || !(name in BENCHMARKS)) {
  console.error(`Usage: npm run bench -- ${Object.keys(BENCHMARKS).join("|")} [options]`);
  Deno.exit(2);
}
await BENCHMARKS[name]();
