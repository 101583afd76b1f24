/** What docs/executor.md gives to be typed and copied. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { HELP, readConfig } from "../config.ts";
import { findProgram } from "../sandbox/runtimes.ts";
import { Telemetry } from "../telemetry.ts";

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));
const DOCS = await Deno.readTextFile(join(PROJECT, "docs/executor.md"));
const ENVIRONMENT = { SUPABASE_URL: "http://127.0.0.1:1", SUPABASE_SECRET_KEY: "sb_secret_x" };

/** The indented block that begins with the line. */
function block(firstLine: string): string {
  const lines = DOCS.slice(DOCS.indexOf(`    ${firstLine}\n`)).split("\n");
  const end = lines.findIndex((line) => line !== "" && !line.startsWith("    "));
  return lines.slice(0, end < 0 ? undefined : end).map((line) => line.slice(4)).join("\n");
}

const UNIT = block("# /etc/systemd/system/stowage-executor@.service");
const DOCKERFILE = block("FROM node:22-bookworm");

Deno.test("the unit's command line is one that the executor takes, with a port for each instance", () => {
  const [, line] = /^ExecStart=(.*)$/m.exec(UNIT)!;
  const config = (instance: string) => {
    const words = line.replaceAll("%i", instance).replaceAll("%H", "host").split(" ");
    const at = words.indexOf("scripts/executor/main.ts");
    assert(words[0].endsWith("/node_modules/.bin/deno"));
    assert(Deno.statSync(join(PROJECT, words[at])).isFile);
    return readConfig(words.slice(at + 1), ENVIRONMENT)!;
  };
  assertEquals([config("1").id, config("1").metrics?.port], ["host-1", 9461]);
  assert(config("2").metrics?.port !== config("1").metrics?.port);
  const [, stop] = /^TimeoutStopSec=(\d+)$/m.exec(UNIT)!;
  assert(
    Number(stop) * 1000 > config("1").shutdownGraceMs,
    "runs are given back before it is killed",
  );
});

const analyze = findProgram("systemd-analyze");

Deno.test("systemd takes the unit", { ignore: analyze === null }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const unit = join(folder, "stowage-executor@1.service");
    // The one thing that is not here is the program.
    await Deno.writeTextFile(unit, UNIT.replace(/^(ExecStart=)\S+/m, "$1/bin/sh"));
    const { success, stderr } = await new Deno.Command(analyze!, { args: ["verify", unit] })
      .output();
    const complaints = new TextDecoder().decode(stderr).split("\n")
      .filter((line) => line.includes("stowage-executor"));
    assertEquals([success, complaints], [true, []]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the Dockerfile starts what is there, with flags that are taken", () => {
  const json = (name: string) =>
    JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, "m").exec(DOCKERFILE)![1]) as string[];
  const [program, ...args] = json("ENTRYPOINT");
  assert(Deno.statSync(join(PROJECT, program)).isFile);
  assert(Deno.statSync(join(PROJECT, args.at(-1)!)).isFile);
  assertEquals(args.slice(0, -1), ["run", "-A"]);
  const { metrics } = readConfig(json("CMD"), ENVIRONMENT)!;
  assertStringIncludes(DOCKERFILE, `http://127.0.0.1:${metrics!.port}/healthz`);
});

Deno.test("every flag and metric of the page is one, and the help names every flag", () => {
  const words = DOCS.slice(0, DOCS.indexOf("## systemd"));
  for (const [flag] of words.matchAll(/--[a-z][a-z-]+/g)) {
    assert(HELP.includes(flag), `${flag} is in --help`);
  }
  const telemetry = new Telemetry({ id: "x", version: "1", sandbox: "none" });
  telemetry.watchSlots("run", 1, () => 0);
  telemetry.claimed("run", 1);
  telemetry.ended("run", "success", 1);
  telemetry.failed("claim");
  const text = telemetry.render();
  const [names] = /^Metrics: .*?(?=`kind`)/ms.exec(DOCS)!;
  const listed = [...names.matchAll(/`(?:stowage_executor)?(_[a-z_]+)/g)].map(([, name]) => name);
  assertEquals(listed.length, 9);
  for (const name of listed) {
    assert(new RegExp(`^stowage_executor${name}(_bucket)?[ {]`, "m").test(text), name);
  }
});
