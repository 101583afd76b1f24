/** The trusted sandbox: no wall, but limits and permissions, as root and as an ordinary user. */
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { TrustedSandbox } from "../sandbox/trusted.ts";
import { openHost } from "./host.ts";
import { isRoot, ownPlace, placeOfOrdinaryUser } from "./places.ts";
import type { RunOptions, RunResult } from "./run_app.ts";

const CASES: Record<
  string,
  (run: (options: RunOptions) => Promise<RunResult>) => Promise<RunResult>
> = {
  "an app for Node works on Deno": async (run) => {
    const result = await run({ app: "works", config: { numbers: [1, 2] } });
    assertEquals(
      [result.outcome, result.stdout],
      [{ kind: "exited", code: 0 }, "run run of app\n"],
      result.stderr,
    );
    assertEquals(result.outputs, ["chart.svg", "data/täble.csv", "result.json"]);
    return result;
  },
  "an ECMAScript module works": async (run) => {
    const result = await run({ app: "works-as-module" });
    assertEquals(
      [result.outcome, result.stdout],
      [{ kind: "exited", code: 0 }, "hello data\n"],
      result.stderr,
    );
    return result;
  },
  "an app on Deno works, as a module that waits": async (run) => {
    const result = await run({ app: "works-on-deno", runtime: "deno", entrypoint: "main.ts" });
    assertEquals(
      [result.outcome, result.stdout],
      [{ kind: "exited", code: 0 }, "deno string\n"],
      result.stderr,
    );
    return result;
  },
  "permissions are the app's folders, and nothing else": async (run) => {
    const result = await run({ app: "asks-for-more" });
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    const { writeOutput, secret, ...rest } = JSON.parse(result.stdout.trim().split("\n").pop()!);
    assertEquals([writeOutput, secret], ["done", "absent"]);
    assertEquals(Object.keys(rest).length, 7);
    for (const [what, answer] of Object.entries(rest)) {
      assert(answer !== "done" && answer !== "CONNECTED", `${what}: ${answer}`);
    }
    return result;
  },
  "hosts that the permissions name are reached, and no others": async (run) => {
    const host = await openHost();
    try {
      const urls = {
        granted: `http://127.0.0.1:${host.httpPort}/`,
        port: `http://127.0.0.1:${host.tcpPort}/`,
        name: `http://localhost:${host.httpPort}/`,
      };
      const result = await run({
        app: "reaches-granted-hosts",
        ...{ runtime: "deno", entrypoint: "main.ts" },
        config: { urls },
        network: [`127.0.0.1:${host.httpPort}`, "[2606:4700::1]:853", "*.example.com"],
      });
      const answers = JSON.parse(result.stdout);
      assertEquals(answers.granted.fetch, `200 hello from 127.0.0.1:${host.httpPort}`);
      for (const name of ["port", "name"]) {
        assertStringIncludes(answers[name].fetch, "Requires net access", name);
      }
      assertEquals(await host.reached(), 0);
      return result;
    } finally {
      await host.close();
    }
  },
  "the time is limited": async (run) => {
    const result = await run({ app: "ignores-sigterm", limits: { timeoutSeconds: 1 } });
    assertEquals(result.outcome.kind, "exited", "Deno lets no app start a child");
    const spinner = await run({
      app: "waits",
      config: { ms: 60_000 },
      limits: { timeoutSeconds: 1 },
    });
    assertEquals(spinner.outcome, { kind: "timeout", seconds: 1 });
    return spinner;
  },
  "memory is limited, in the heap and outside": async (run) => {
    for (const app of ["hogs-heap", "hogs-buffers"]) {
      const result = await run({ app, limits: { memoryMegabytes: 128 } });
      assertEquals(result.outcome, { kind: "out_of_memory", megabytes: 128 }, result.stderr);
      assertEquals(result.left, []);
    }
    return await run({ app: "hogs-buffers", limits: { memoryMegabytes: 128 } });
  },
  "a flood of output is stopped": async (run) => {
    const result = await run({
      app: "floods-the-output",
      limits: { outputBytes: 8 * 1024 * 1024 },
    });
    assertEquals(result.outcome, { kind: "limit", limit: "output_size", allowed: 8 * 1024 * 1024 });
    return result;
  },
};

Deno.test("trusted", async (t) => {
  Deno.env.set("STOWAGE_TEST_SECRET", "a-secret-of-the-executor");
  for (const openPlace of [ownPlace, ...(isRoot() ? [placeOfOrdinaryUser] : [])]) {
    const place = await openPlace({ sandbox: "trusted" });
    try {
      for (const [name, check] of Object.entries(CASES)) {
        await t.step(`as ${place.name}: ${name}`, async () => {
          const result = await check(place.run);
          assertEquals(result.left, [], "nothing is left");
        });
      }
    } finally {
      await place.close();
    }
  }
});

Deno.test("the trusted sandbox says loudly what it is", async () => {
  const workDir = await Deno.makeTempDir();
  try {
    let text = "";
    const runtimes = locateRuntimes();
    assert(typeof runtimes !== "string");
    const sandbox = new TrustedSandbox({ workDir, runtimes }, (line) => text += line);
    const { available, unenforced } = await sandbox.check();
    assert(available && !sandbox.isolating);
    assertStringIncludes(text, "NOT isolated");
    assertStringIncludes(unenforced[0], "symbolic link");
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
});
