/** `npm run bench -- NAME [options]`: the benchmarks. */
import { asksForHelp, concludeCommand, helpOf } from "../command/command.ts";
import { UsageError } from "../command/errors.ts";

/** Each runs when it is imported, and reads its own options. */
const BENCHMARKS: Record<string, () => Promise<unknown>> = {
  queue: () => import("./queue/main.ts"),
  storage: () => import("./storage/main.ts"),
  cron: () => import("./cron.ts"),
  registry: () => import("./registry/main.ts"),
};

const COMMAND = {
  name: "bench",
  usage: `${Object.keys(BENCHMARKS).join("|")} [options]`,
  help: `
queue    the run queue against Graphile Worker and pg-boss
  --quick --json --strict --only skew,enqueue,loads,starts,claims --rounds N --pending N,…
storage  verification of uploads, requests to the functions, row security
  --quick --json --strict --only validation|requests|rows
cron     next_cron_run against croner
  --json
registry packages: resolution against npm's semver, downloads with the cache and without, imports
  --strict --only resolution,hits,downloads,import --files N

  --quick      small sizes, no chart
  --json       the figures as JSON instead of tables
  --strict     exit code 1 where a target is missed (cron: always)
  --only       parts of it, no chart
  --rounds N   how many rounds each measurement has
  --pending N  depths of the backlog for the latency of claims
  --files N    files of the import (default 10000)`,
};

await concludeCommand(COMMAND, async () => {
  if (asksForHelp(Deno.args)) {
    console.log(helpOf(COMMAND));
    return 0;
  }
  const [name] = Deno.args;
  if (!name || !Object.hasOwn(BENCHMARKS, name)) {
    throw new UsageError(name ? `There is no benchmark ${name}.` : "Name a benchmark first.");
  }
  await BENCHMARKS[name]();
});
