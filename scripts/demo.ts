/** `npm run demo`: a company publishes an app, another company runs it, and a third sees nothing. */
import { runCommand } from "./command/command.ts";
import type { Client } from "./command/project.ts";
import { callFunction, signUp } from "./demo/api.ts";
import { startExecutor, stopExecutors } from "./demo/executor_process.ts";
import { bold, dim, expect, green, hush, red, step, tell, yellow } from "./demo/narrator.ts";
import { packApp } from "./publish/pack.ts";
import { ask, releaseVersion, uploadApp } from "./publish/publish.ts";
import { type Stack, startStack } from "./stack/mod.ts";
import { removeServerDirectory } from "./stack/postgres_location.ts";
import { projectPath } from "./stack/project.ts";

const RUN_DEADLINE_MS = 30_000;
const POLL_MS = 150;

/** Waits until the run is over, and returns its row. */
async function untilFinished(client: Client, runId: string) {
  const deadline = Date.now() + RUN_DEADLINE_MS;
  while (Date.now() < deadline) {
    const run = await ask(
      "reading the run",
      client.from("app_runs").select().eq("id", runId).single(),
    );
    if (!["pending", "running"].includes(run.status)) return run;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`the run did not finish within ${RUN_DEADLINE_MS / 1000} seconds`);
}

async function publish(publisher: Client) {
  const company = await step(
    "Ada signs up and founds a company, Northwind",
    async () =>
      await ask(
        "create_company",
        publisher.rpc("create_company", { slug: "northwind", name: "Northwind" }),
      ),
  );
  const app = await step("She creates an app that any company may use", async () => {
    const app = await ask(
      "creating the app",
      publisher.from("applications").insert({
        slug: "regional-sales",
        name: "Regional sales",
        description: "Totals, trends and outliers of monthly sales by region.",
        publisher_company_id: company.id,
        visibility: "public",
      }).select().single(),
    );
    tell(dim(`app ${app.id}`));
    return app;
  });
  const packed = await packApp(projectPath("examples/regional-sales"));
  await step("She uploads it: begin, send the bytes, have them verified", async () => {
    await uploadApp(publisher, app.id, packed);
    tell(`${packed.fileName}: ${packed.files.join(", ")}`);
    tell(dim(`${packed.bytes.length} bytes, ${packed.checksum}`));
  });
  await step(`She releases version ${packed.version}`, async () => {
    const version = await releaseVersion(publisher, app.id, packed.version);
    expect(version.status === "published", "the version is not published");
    tell(dim("from now on its files never change"));
  });
  return app;
}

async function assign(customer: Client) {
  const company = await step(
    "Grace signs up and founds another company, Harbour",
    async () =>
      await ask(
        "create_company",
        customer.rpc("create_company", { slug: "harbour", name: "Harbour" }),
      ),
  );
  const app = await step(
    "She finds the app in the catalogue, and assigns it to Harbour",
    async () => {
      const [found] = await ask(
        "searching",
        customer.rpc("search_public_apps", { query: "sales" }),
      );
      expect(found, "the catalogue does not have the app");
      tell(`${found.name} by ${found.publisher_name}: ${found.description}`);
      await ask(
        "assigning",
        customer.from("app_assignments").insert({ app_id: found.id, company_id: company.id })
          .select(),
      );
      return found;
    },
  );
  return { company, app };
}

async function run(stack: Stack, customer: Client, companyId: string, appId: string) {
  const requested = await step("She asks for a run", async () => {
    const run = await ask(
      "request_app_run",
      customer.rpc("request_app_run", {
        app_id: appId,
        company_id: companyId,
        config: { outlier_threshold: 3 },
        idempotency_key: "the-first-run",
      }),
    );
    expect(run.status === "pending", `the run is ${run.status}`);
    tell(dim(`run ${run.id}, waiting`));
    return run;
  });
  const finished = await step("An executor claims it and runs the app in a sandbox", async () => {
    const executor = await startExecutor(stack);
    try {
      const run = await untilFinished(customer, requested.id);
      expect(run.status === "success", `the run is ${run.status}: ${run.error_message}`);
      tell(`${run.status} after ${run.duration_ms} ms, sandbox ${executor.sandbox}`);
      if (executor.warning) {
        tell(yellow(`This machine has no isolating sandbox: ${executor.warning}`));
        tell(yellow("The app is this repository's own; never run a stranger's like that."));
      }
      return run;
    } finally {
      await executor.stop();
    }
  });
  return finished;
}

async function readResults(
  stack: Stack,
  customer: Client,
  run: { id: string; logs_path: string | null },
) {
  await step("Grace reads the log", async () => {
    const log = await ask(
      "downloading the log",
      customer.storage.from("app-logs").download(run.logs_path!),
    );
    tell(dim((await log.text()).trimEnd().split("\n").map((line) => `│ ${line}`).join("\n")));
  });
  await step("… and the result", async () => {
    const output = await ask(
      "reading the result",
      customer.from("app_outputs").select().eq("run_id", run.id).eq("output_type", "result")
        .single(),
    );
    // deno-lint-ignore no-explicit-any -- the app's own format
    const result = output.output_data as any;
    expect(
      result?.rows > 0 && result.regions.length === 4,
      "the result is not what the app computes",
    );
    tell(
      `total revenue ${result.total_revenue}, best region ${result.best_region}, fastest growing ${result.fastest_growing}`,
    );
  });
  return await step(
    "She takes a signed link to the chart, and opens it without signing in",
    async () => {
      const output = await ask(
        "finding the chart",
        customer.from("app_outputs").select().eq("run_id", run.id).eq("output_name", "revenue.svg")
          .single(),
      );
      const signed = await callFunction(stack, customer, "downloads", {
        output_id: output.id,
        expires_in: 300,
        filename: "revenue.svg",
      });
      expect(signed.status === 200, `signing: ${JSON.stringify(signed.body)}`);
      const chart = await fetch(signed.body.signed_url);
      const svg = await chart.text();
      expect(chart.ok && svg.startsWith("<svg"), `the link answers ${chart.status}`);
      const path = await Deno.makeTempFile({ prefix: "stowage-demo-", suffix: ".svg" });
      await Deno.writeTextFile(path, svg);
      tell(`${svg.length} bytes of SVG, kept for you in ${bold(path)}`);
      tell(dim(`${signed.body.signed_url.slice(0, 100)}…`));
      return output.id;
    },
  );
}

async function showOutsider(
  stack: Stack,
  outsider: Client,
  run: { id: string; logs_path: string | null },
  chartId: string,
) {
  await step("Mallory signs up, founds a company too, and looks around", async () => {
    await ask(
      "create_company",
      outsider.rpc("create_company", { slug: "mallory", name: "Mallory Ltd" }),
    );
    for (
      const table of [
        "applications",
        "app_versions",
        "app_storage",
        "app_runs",
        "app_outputs",
      ] as const
    ) {
      const rows = await ask(`reading ${table}`, outsider.from(table).select());
      expect(rows.length === 0, `${table} shows ${rows.length} rows to an outsider`);
      tell(`${table.padEnd(13)} ${green("0 rows")}`);
    }
    const log = await outsider.storage.from("app-logs").download(run.logs_path!);
    expect(log.error, "an outsider downloaded the log");
    tell(`the log       ${green("not found")}`);
    const link = await callFunction(stack, outsider, "downloads", { output_id: chartId });
    expect(link.status === 404, `an outsider's link request answers ${link.status}`);
    tell(`a signed link ${green(`${link.status} ${link.body.title}`)}`);
    const cancelled = await outsider.rpc("cancel_app_run", { run_id: run.id });
    expect(cancelled.error, "an outsider cancelled the run");
    tell(`cancelling    ${green(cancelled.error.message)}`);
  });
}

const COMMAND = {
  name: "demo",
  usage: "",
  help: `
A company publishes an app, another company runs it, and a third sees nothing. Everything is real: a stack of its own on free
ports, users who sign up, an upload that is verified, an executor that runs the app in a sandbox. Exits with 0 only if every
step did what it says; leaves nothing behind but the chart that it names.`,
  options: {},
};

async function tellStory(stack: Stack): Promise<void> {
  const publisher = await signUp(stack, "ada@northwind.example");
  await publish(publisher);
  const customer = await signUp(stack, "grace@harbour.example");
  const { company, app } = await assign(customer);
  const finished = await run(stack, customer, company.id, app.id);
  const chartId = await readResults(stack, customer, finished);
  await showOutsider(stack, await signUp(stack, "mallory@outside.example"), finished, chartId);
}

await runCommand(COMMAND, async () => {
  const interruption = interrupted();
  const began = performance.now();
  const dataDir = await Deno.makeTempDir({ prefix: "stowage-demo-" });
  console.log(
    `\n${
      bold("Stowage")
    }: a company publishes an app, another runs it, nobody sees more than they may.\n`,
  );
  const starting = step(
    "A local stack starts: Postgres, REST, Auth, Storage, Edge Functions",
    async () => {
      const stack = await startStack({
        ...{ dataDir, port: 0, dbPort: 0, seed: false, durable: false },
        signal: interruption,
      });
      tell(dim(`${stack.apiUrl}, migrations applied by the Supabase CLI`));
      return stack;
    },
  );
  try {
    await Promise.race([starting.then(tellStory), failing(interruption)]);
  } catch (error) {
    hush();
    const why = interruption.aborted
      ? "it was interrupted; what it had started is gone."
      : error instanceof Error
      ? error.message
      : error;
    console.error(`\n${red("The demo stopped:")} ${why}\n`);
    return interruption.aborted ? 130 : 1;
  } finally {
    await stopExecutors();
    await starting.then((stack) => stack.stop(), () => {});
    await removeServerDirectory(`${dataDir}/postgres`);
    await Deno.remove(dataDir, { recursive: true });
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`\n${green("Every step did what it says.")} ${dim(`${seconds} s`)}`);
  console.log(
    `Next: ${bold("npm start")} for a stack to build on, ${
      bold("npm test")
    } for every rule, tested.\n`,
  );
});

/** Aborted by a signal; further ones change nothing, since it is ending. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => controller.abort());
  }
  return controller.signal;
}

function failing(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(signal.reason));
  return promise;
}
