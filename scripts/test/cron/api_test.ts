/** Schedules as a frontend meets them: through supabase-js. */
import { assert, assertEquals } from "../../testing/assert.ts";
import { createUser, serviceClient, startTestStack } from "../../testing/stack.ts";

Deno.test("schedules through supabase-js", async (t) => {
  const stack = await startTestStack({ seed: false, functions: false });
  try {
    const service = serviceClient(stack);
    const admin = await createUser(stack);
    const outsider = await createUser(stack);
    const company = await admin.client.rpc("create_company", { slug: "acme", name: "Acme" });
    assertEquals(company.error, null);
    const companyId = company.data.id;
    const app = await admin.client.from("applications")
      .insert({ slug: "report", name: "Report", publisher_company_id: companyId })
      .select().single();
    assertEquals(app.error, null);
    const appId = app.data.id;
    const expression = "30 2 * * mon-fri";
    let scheduleId = "";

    await t.step("a plain insert gets its next run", async () => {
      const { data, error } = await admin.client.from("app_cron_schedules")
        .insert({
          app_id: appId,
          company_id: companyId,
          cron_expression: expression,
          timezone: "Europe/Berlin",
        })
        .select().single();
      assertEquals(error, null);
      scheduleId = data.id;
      const next = await admin.client.rpc("next_cron_run", {
        expression,
        timezone: "Europe/Berlin",
        after: data.created_at,
      });
      assertEquals(next.error, null);
      assertEquals(Date.parse(data.next_run_at), Date.parse(next.data));
    });

    await t.step("a preview", async () => {
      const { data, error } = await admin.client.rpc("preview_cron_runs", {
        expression: "30 2 * * *",
        timezone: "Europe/Berlin",
        count: 3,
        after: "2025-10-25T00:00:00Z",
      });
      assertEquals(error, null);
      assertEquals(
        data.map((time: string) => new Date(time).toISOString()),
        ["2025-10-25T00:30:00.000Z", "2025-10-26T00:30:00.000Z", "2025-10-27T01:30:00.000Z"],
      );
    });

    await t.step("a wrong expression and a wrong zone name their field", async () => {
      const wrong = await admin.client.from("app_cron_schedules")
        .update({ cron_expression: "61 * * * *" }).eq("id", scheduleId);
      assertEquals(wrong.error?.code, "SW050");
      assertEquals(wrong.error?.message, "minute: 61 is not between 0 and 59.");
      assertEquals(JSON.parse(wrong.error?.details ?? ""), { field: "cron_expression" });
      const zone = await admin.client.rpc("next_cron_run", {
        expression: "@daily",
        timezone: "Mars/Olympus",
      });
      assertEquals(zone.error?.code, "SW051");
      assertEquals(JSON.parse(zone.error?.details ?? ""), { field: "timezone" });
    });

    await t.step("the service ticks; the company sees what was skipped, nobody else", async () => {
      const past = new Date(Date.now() - 10_000).toISOString();
      const due = await service.from("app_cron_schedules")
        .update({ next_run_at: past }).eq("id", scheduleId);
      assertEquals(due.error, null);
      const forbidden = await admin.client.rpc("enqueue_due_app_runs");
      assertEquals(forbidden.error?.code, "42501");

      // The app has no published version yet.
      const ticked = await service.rpc("enqueue_due_app_runs", { max_schedules: 10 });
      assertEquals(ticked.error, null);
      assertEquals(ticked.data.length, 1);
      assertEquals(ticked.data[0].schedule_id, scheduleId);
      assertEquals(ticked.data[0].skip_reason, "not_runnable");
      assertEquals(ticked.data[0].run_id, null);
      const again = await service.rpc("enqueue_due_app_runs");
      assertEquals(again.data, []);

      const skips = await admin.client.from("app_cron_skips")
        .select("reason, message, due_count, first_due_at, app_cron_schedules(cron_expression)")
        .eq("schedule_id", scheduleId);
      assertEquals(skips.error, null);
      assertEquals(skips.data?.length, 1);
      assertEquals(skips.data?.[0].message, "The app has no published version.");
      assertEquals(Date.parse(skips.data?.[0].first_due_at), Date.parse(past));
      const hidden = await outsider.client.from("app_cron_skips").select();
      assertEquals(hidden.data, []);

      const schedule = await admin.client.from("app_cron_schedules")
        .select("next_run_at, is_active").eq("id", scheduleId).single();
      assert(Date.parse(schedule.data?.next_run_at) > Date.now());
      assertEquals(schedule.data?.is_active, true);
    });
  } finally {
    await stack.stop();
  }
});
