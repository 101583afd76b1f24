/** Executors that are stopped or killed while their work is in every stage at once: nothing is lost, nothing done twice, nothing left. */
import { auditStorage, type Finding } from "../../storage/audit.ts";
import { assertEquals } from "../../testing/assert.ts";
import { ownGroups } from "../sandbox/cgroups.ts";
import { isDead, processTree } from "../sandbox/processes.ts";
import { type Gates, type Part, startGates } from "./gates.ts";
import { isRoot } from "./places.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { eventually, type ExecutorProcess, type Row, World } from "./world.ts";

Deno.test("executors that end while their work is in every stage", async (t) => {
  const world = await World.start();
  const gates = startGates(world.stack.apiUrl);
  const registry = startRegistry([{ name: "left", version: "1.0.0", files: { "index.js": "" } }]);
  const workDir = await Deno.makeTempDir({ prefix: "a b" });
  await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
  const args = [
    ...["--sandbox", "bubblewrap", "--poll-interval", "0.05", "--lease", "3"],
    ...["--concurrency", "20", "--builds", "5", "--shutdown-grace", "600"],
    ...["--registry", registry.url, "--work-dir", workDir],
  ];
  const setting = { world, gates, registry };
  try {
    const pieces: Piece[] = [];
    await t.step("stopped, and told again while it waits: all is given back", async () => {
      const executor = await world.executor([...args, "--url", gates.url]);
      for (const stage of STAGES) pieces.push(await begin(stage, setting));
      await allReached(pieces);
      const processes = processTree(executor.pid);
      assertEquals(await stopTwice(executor), 0, executor.text);
      await eventually("no process is left", () => processes.every(isDead) || null);
      assertEquals([...Deno.readDirSync(workDir)], []);
      for (const { stage, ask, isOver } of pieces) {
        const row = await ask();
        const seen = [row.status, row.attempt_history.at(-1)?.outcome];
        assertEquals(seen, isOver ? ["success", undefined] : ["pending", "released"], stage);
      }
    });
    const killed = await t.step("killed: the next one does it all, and cleans up", async () => {
      const held = pieces.filter(({ isOver }) => !isOver);
      for (const piece of held) piece.forget();
      const executor = await world.executor([...args, "--url", gates.url]);
      for (const stage of UNHEARD) held.push(await begin(stage, setting));
      await allReached(held);
      // Last, since nothing else is claimed then.
      held.push(await begin(CLAIMED, setting));
      await allReached(held);
      const processes = processTree(executor.pid);
      await executor.kill("SIGKILL");
      await eventually("no process is left", () => processes.every(isDead) || null);
      await gates.close();
      registry.hanging = false;

      // Package managers are not copied a third time.
      const installed = held.find(({ stage }) => stage === "installed")!;
      await world.client.from("app_builds").update({ build_status: "cancelled" })
        .eq("id", installed.id);
      const next = await world.executor(args);
      for (const { stage, ask } of held.filter((piece) => piece !== installed)) {
        const row = await eventually(`what was ${stage} ends`, async () => {
          const row = await ask();
          return ["pending", "building", "running"].includes(row.status) ? null : row;
        });
        const seen = [row.status, row.error_message, row.attempt_history.at(-1)?.outcome];
        assertEquals(seen, ["success", null, "lost"], stage);
      }
      assertEquals(groupsOf(executor.pid), []);
      assertEquals(await next.kill("SIGTERM"), 0, next.text);
      assertEquals([...Deno.readDirSync(workDir)], []);
    });
    await t.step({
      name: "every object has its row, and every row its object",
      ignore: !killed,
      fn: async () => {
        const findings: Finding[] = [];
        const onFinding = (finding: Finding) => void findings.push(finding);
        await auditStorage(world.client, { minAgeSeconds: 0, onFinding });
        assertEquals(findings, []);
      },
    });
  } finally {
    await world.close();
    await gates.close();
    await registry.close();
    await Deno.remove(workDir, { recursive: true });
  }
});

interface Setting {
  world: World;
  gates: Gates;
  registry: Registry;
}

/** Where a run or a build is held. */
interface Stage {
  stage: string;
  kind?: "build";
  source?: string;
  dependencies?: Row;
  /**
   * What the executor asks the server for then, as a regular expression; without it, its registry. A text is held before there is
   * anything to ask for, lest that slip through.
   */
  call?: string | ((id: string, app: string) => string);
  part?: Part;
  /** The server has its end already. */
  isOver?: boolean;
}

interface Piece {
  stage: string;
  id: string;
  isOver: boolean;
  reached(): boolean;
  /** As if it had not been there. */
  forget(): void;
  /** Its row, with a build's status under the name that a run's has. */
  ask(): Promise<Row>;
}

/** Says something, and ends after the log was looked at. */
const WAITS = `console.log("here"); setTimeout(() => {}, 2500);`;
/** Names its files differently each time. */
const PUTS_OUT = `for (const n of [1, 2]) require("fs").writeFileSync(
  process.env.STOWAGE_OUTPUT_DIR + "/" + n + "-" + Math.random() + ".txt", "x".repeat(1e5));`;

const STAGES: Stage[] = [
  { stage: "pulled", call: (_, app) => `GET /storage/.*app_${app}/1`, part: "body" },
  {
    stage: "telling its log",
    source: WAITS,
    call: (id) => `POST /storage/.*${id}/stdout.0001.log`,
    part: "body",
  },
  { stage: "storing its log", call: (id) => `POST /storage/.*${id}/stdout.log`, part: "whole" },
  {
    stage: "storing its outputs",
    source: PUTS_OUT,
    call: (id) => `POST /storage/.*${id}/outputs/2`,
    part: "body",
  },
  {
    stage: "writing its rows",
    source: PUTS_OUT,
    call: (id) => `POST /rest/v1/app_outputs .*${id}`,
    part: "whole",
  },
  {
    stage: "finished, unanswered",
    call: (id) => `/rpc/finish.*"run_id":"${id}"`,
    part: "answer",
    isOver: true,
  },
  { stage: "installed", kind: "build", dependencies: { left: "1.0.0" } },
  {
    stage: "uploaded",
    kind: "build",
    call: (id) => `POST /storage/.*${id}/build.tar.gz`,
    part: "body",
  },
];

/** What the server was told, or told, and the other side did not hear: only the end of the lease ends it. */
const UNHEARD: Stage[] = [
  { stage: "finished, unheard", call: (id) => `/rpc/finish.*"run_id":"${id}"`, part: "whole" },
  {
    stage: "finished as a build, unheard",
    kind: "build",
    call: (id) => `/rpc/finish_app_build .*${id}`,
    part: "whole",
  },
];
const CLAIMED: Stage = { stage: "claimed", call: "/rpc/claim_app_runs ", part: "answer" };

async function begin(
  { stage, kind, source = "", dependencies, call, part, isOver = false }: Stage,
  { world, gates, registry }: Setting,
): Promise<Piece> {
  const files = [{ name: "index.js", content: source }];
  const app = await world.app({ files, backend: { dependencies } });
  if (!call) {
    registry.hanging = true;
    registry.asked.length = 0;
  }
  const early = typeof call === "string" ? gates.hold(call, part!) : undefined;
  const id = kind ? await world.build(app) : await world.request(app, { max_attempts: 20 });
  const held = typeof call === "function" ? gates.hold(call(id, app.id), part!) : early;
  return {
    stage,
    id,
    isOver,
    reached: () => held?.reached ?? registry.asked.length > 0,
    forget: () => held ? held.reached = false : registry.asked.length = 0,
    async ask() {
      if (!kind) return await world.row(id);
      const row = await world.buildRow(id);
      return { ...row, status: row.build_status };
    },
  };
}

async function allReached(pieces: Piece[]): Promise<void> {
  for (const { stage, reached } of pieces) {
    await eventually(`something is ${stage}`, () => reached() || null);
  }
}

async function stopTwice(executor: ExecutorProcess): Promise<number> {
  executor.signal("SIGTERM");
  await executor.logged("stopping");
  // One that follows at once is taken for the same.
  await eventually("a second signal is heard", () => {
    executor.signal("SIGTERM");
    return executor.count("signal=SIGTERM") === 2 ? true : null;
  });
  return await executor.exited;
}

/** Control groups that the process made. */
function groupsOf(pid: number): string[] {
  const own = ownGroups(
    Deno.readTextFileSync("/proc/self/cgroup"),
    Deno.readTextFileSync("/proc/self/mountinfo"),
  );
  return Object.values(own).flatMap((path) => [...Deno.readDirSync(path)])
    .map(({ name }) => name).filter((name) => name.startsWith(`stowage-${pid}-`));
}
