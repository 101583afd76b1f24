/** How work is claimed and held, without a server. */
import { assert, assertEquals } from "../../testing/assert.ts";
import { Heartbeat, Held } from "../heartbeat.ts";
import { createLogger } from "../log.ts";
import { Telemetry } from "../telemetry.ts";
import { Worker } from "../worker.ts";

const log = createLogger("text", () => {});
const telemetry = () => new Telemetry({ id: "x", version: "1", sandbox: "none" });

Deno.test("a drain ends once nothing is going, where the host has no room for more", async () => {
  let room = 1;
  const waiting = [1, 2, 3].map((n) => ({ id: `run ${n}`, attempt: 1 }));
  const worker = new Worker(
    {
      name: "run",
      claim: (max) => Promise.resolve(waiting.splice(0, max)),
      extend: () => Promise.resolve([]),
      release: () => Promise.resolve(),
      finish: () => Promise.resolve("finished"),
      execute: () => {
        room = 0;
        return Promise.resolve({ kind: "finish", finish: { status: "success" } });
      },
      describe: () => ({}),
    },
    {
      slots: 1,
      mode: "drain",
      leaseMs: 60_000,
      pollIntervalMs: 1,
      shutdownGraceMs: 0,
      hasRoom: () => room > 0,
    },
    log,
    telemetry(),
  );
  await worker.run();
  assertEquals([worker.claimed, waiting.length, worker.isShort], [1, 2, true]);
});

Deno.test("a lease that ended is lost, whoever may have its run by now", async () => {
  const [mine, ended] = [
    new Held({ id: "mine" }, performance.now() + 60_000),
    new Held({ id: "ended" }, performance.now() - 1),
  ];
  const asked: string[][] = [];
  const heartbeat = new Heartbeat(
    (ids) => {
      asked.push(ids);
      return Promise.resolve(ids.map((id) => ({ id, cancelRequested: false })));
    },
    new Map([mine, ended].map((held) => [held.item.id, held])),
    60_000,
    log,
    telemetry(),
  );
  assert(await heartbeat.beat());
  assertEquals(asked, [["mine"]]);
  assertEquals([mine, ended].map(({ signals }) => signals.lost.aborted), [false, true]);
});
