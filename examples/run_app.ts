// Runs an app, and prints its log: npx deno run -A examples/run_app.ts
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../supabase/functions/_shared/database.types.ts";

const url = Deno.env.get("SUPABASE_URL")!;
const supabase = createClient<Database>(url, Deno.env.get("SUPABASE_PUBLISHABLE_KEY")!);
const credentials = { email: "grace@harbour.example", password: "stowage-demo" };
const { error } = await supabase.auth.signInWithPassword(credentials);
if (error) throw error;

const { data: company } = await supabase.from("companies")
  .select("id").eq("slug", "harbour").single().throwOnError();
const { data: app } = await supabase.from("applications")
  .select("id").eq("slug", "regional-sales").single().throwOnError();

const { data: requested } = await supabase.rpc("request_app_run", {
  app_id: app.id,
  company_id: company.id,
  config: { outlier_threshold: 3 },
  idempotency_key: crypto.randomUUID(), // asking twice gives the same run
}).throwOnError();

let run = requested;
while (run.status === "pending" || run.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  ({ data: run } = await supabase.from("app_runs")
    .select().eq("id", run.id).single().throwOnError());
}
console.log(`${run.status} after ${run.duration_ms} ms`, run.error_message ?? "");
const log = await supabase.storage.from("app-logs").download(run.logs_path!);
console.log(await log.data?.text());
await supabase.auth.signOut();
