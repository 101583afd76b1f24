/** Executors that are stopped or killed while their work is in every stage at once: nothing is lost, nothing done twice, nothing left. */
import { auditStorage, type Finding } from "../../storage/audit.ts";
import { assertEquals } from "../../testing/assert.ts";
import { ownGroups } from "../sandbox/cgroups.ts";
import { isDead, processTree } from "../sandbox/processes.ts";
import { type Gates, type Part, startGates } from "./gates.ts";
import { isRoot } from "./places.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { eventually, type ExecutorProcess, type Row, World } from "./world.ts";

/** Each way in which an executor ends, and what then becomes of what it held. */
const WAYS: Record<string, {
  args: string[];
  end(executor: ExecutorProcess): Promise<number>;
  code: number;
  outcome: string;
}> = {
  "SIGTERM, and a second one while it waits for its work": {
    args: ["--shutdown-grace", "600"],
    async end(executor) {
      executor.signal("SIGTERM");
      await executor.logged("stopping");
      // One that follows at once is taken for the same.
      await eventually("a second signal is heard", () => {
        executor.signal("SIGTERM");
        return executor.count("signal=SIGTERM") === 2 ? true : null;
      });
      return await executor.exited;
    },
    code: 0,
    outcome: "released",
  },
  "SIGKILL": {
    args: [],
    end: (executor) => executor.kill("SIGKILL"),
    code: 137,
    outcome: "lost",
  },
};

Deno.test("executors that end while their work is in every stage", async (t) => {
  const world = await World.start();
  const registry = startRegistry([{ name: "left", version: "1.0.0", files: { "index.js": "" } }]);
  const workDir = await Deno.makeTempDir({ prefix: "a b" });
  await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
  const args = [
    ...["--sandbox", "bubblewrap", "--poll-interval", "0.05", "--lease", "3"],
    ...["--concurrency", "20", "--builds", "5"],
    ...["--registry", registry.url, "--work-dir", workDir],
  ];
  try {
    for (const [name, way] of Object.entries(WAYS)) {
      await t.step(name, async () => {
        const gates = startGates(world.stack.apiUrl);
        try {
          const executor = await world.executor([...args, ...way.args, "--url", gates.url]);
          const pieces = await begin(world, gates, registry, name === "SIGKILL");
          for (const { stage, reached } of pieces) {
            await eventually(`something is ${stage}`, () => reached() || null);
          }
          const processes = processTree(executor.pid);
          const code = await way.end(executor);
          assertEquals(code, way.code, executor.text);
          await eventually("no process is left", () => processes.every(isDead) || null);
          if (way.code === 0) assertEquals([...Deno.readDirSync(workDir)], []);
          await gates.close();
          registry.hanging = false;

          const next = await world.executor(args);
          for (const { stage, kind, id, ended } of pieces) {
            const row = kind === "run"
              ? await world.until(id, "success", "failed", "cancelled", "timeout")
              : await world.untilBuild(id, "success", "failed", "cancelled");
            assertEquals(
              [
                row.status ?? row.build_status,
                row.error_message,
                row.attempt_history.at(-1)?.outcome,
              ],
              ["success", null, ended === undefined ? way.outcome : ended ?? undefined],
              `what was ${stage}: ${JSON.stringify(row)}`,
            );
          }
          assertEquals(groupsOf(executor.pid), []);
          assertEquals(await next.kill("SIGTERM"), 0, next.text);
          assertEquals([...Deno.readDirSync(workDir)], []);
          const findings: Finding[] = [];
          const onFinding = (finding: Finding) => void findings.push(finding);
          await auditStorage(world.client, { minAgeSeconds: 0, onFinding });
          assertEquals(findings, [], "every object has its row, and every row its object");
        } finally {
          await gates.close();
        }
      });
    }
  } finally {
    await world.close();
    await registry.close();
    await Deno.remove(workDir, { recursive: true });
  }
});

/** A run or a build, and where it is held. */
interface Piece {
  stage: string;
  kind: "run" | "build";
  id: string;
  reached(): boolean;
  /** What becomes of it where that is not what becomes of the others; null: it was over already. */
  ended?: string | null;
}

/** Says something, and ends after the log was looked at once or twice. */
const WAITS = `console.log("here"); setTimeout(() => {}, 2500);`;
/** Names its files differently each time. */
const PUTS_OUT = `for (const n of [1, 2]) require("fs").writeFileSync(
  process.env.STOWAGE_OUTPUT_DIR + "/" + n + "-" + Math.random() + ".txt", "x".repeat(1e5));`;

type Stage = [
  stage: string,
  source: string,
  call: (id: string, app: string) => string,
  part: Part,
  ended?: string | null,
];

/** What the executor asks the server for in each. An end that was not heard cannot be taken back either: its lease ends. */
const RUNS: Stage[] = [
  ["pulled", "", (_, app) => `GET /storage/.*app_${app}/1`, "body"],
  ["telling its log", WAITS, (id) => `POST /storage/.*${id}/stdout.0001.log`, "body"],
  ["storing its log", "", (id) => `POST /storage/.*${id}/stdout.log`, "whole"],
  ["storing its outputs", PUTS_OUT, (id) => `POST /storage/.*${id}/outputs/2`, "body"],
  ["writing its rows", PUTS_OUT, (id) => `POST /rest/v1/app_outputs .*${id}`, "whole"],
  ["finished, unheard", "", (id) => `/rpc/finish.*"run_id":"${id}"`, "whole", "lost"],
  ["finished, unanswered", "", (id) => `/rpc/finish.*"run_id":"${id}"`, "answer", null],
];
const BUILDS: Stage[] = [
  ["uploaded", "", (id) => `POST /storage/.*${id}/build.tar.gz`, "body"],
  ["finished as a build", "", (id) => `/rpc/finish_app_build .*${id}`, "whole", "lost"],
];

/** @param all with the stages that make a lease end, whatever ends the executor */
async function begin(
  world: World,
  gates: Gates,
  registry: Registry,
  all: boolean,
): Promise<Piece[]> {
  const pieces: Piece[] = [];
  const publish = (source: string, backend?: Row) =>
    world.app({ files: [{ name: "index.js", content: source }], backend });
  const run = async ([stage, source, call, part, ended]: Stage) => {
    const app = await publish(source);
    const id = await world.request(app, { max_attempts: 20 });
    const held = gates.hold(call(id, app.id), part);
    pieces.push({ stage, kind: "run", id, reached: () => held.reached, ended });
  };
  const chosen = (stages: Stage[]) => stages.filter(([, , , , ended]) => all || ended !== "lost");
  for (const each of chosen(RUNS)) await run(each);
  for (const [stage, source, call, part, ended] of chosen(BUILDS)) {
    const id = await world.build(await publish(source));
    const held = gates.hold(call(id, ""), part);
    pieces.push({ stage, kind: "build", id, reached: () => held.reached, ended });
  }
  registry.hanging = true;
  registry.asked.length = 0;
  const id = await world.build(await publish("", { dependencies: { left: "1.0.0" } }));
  pieces.push({ stage: "installed", kind: "build", id, reached: () => registry.asked.length > 0 });
  if (!all) return pieces;
  // Last, since nothing else is claimed then.
  for (const { stage, reached } of pieces) {
    await eventually(`something is ${stage}`, () => reached() || null);
  }
  await run(["claimed", "", () => "/rpc/claim_app_runs ", "answer", "lost"]);
  return pieces;
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
