import { z } from "zod";
import type { Client } from "../../_shared/caller.ts";
import { APP_LOGS } from "../../_shared/storage_paths.ts";
import { fromDatabase, fromStorage, isMissingObject } from "../../_shared/upstream_errors.ts";
import { listOperation, ok, type Place } from "../crud.ts";
import { CREATED, list, listQuery, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { id, time } from "../schema.ts";
import { read, type Resource } from "../store.ts";
import { runs } from "./runs.ts";

const TYPES = ["stdout", "stderr", "file", "metric", "result", "error"] as const;

const outputs: Resource = {
  name: "Output",
  table: "app_outputs",
  schema: z.object({
    id,
    run_id: id,
    output_type: z.enum(TYPES),
    output_name: z.string(),
    output_data: z.unknown().describe("Small results. Not on pages of a list."),
    output_bucket: z.string().nullable(),
    output_path: z.string().nullable().describe("Name of the object, for large ones."),
    file_size: z.int().nullable().describe("Bytes."),
    created_at: time,
  }),
  list: {
    filters: { output_type: oneOf(TYPES, "One or more types, parted by commas."), ...CREATED },
    sorts: { created_at: { type: "time" } },
    defaultSort: "created_at",
    tieBreaker: "id",
    omits: ["output_data"],
  },
};

const place: Place = {
  resource: outputs,
  tag: "Runs",
  one: "Output",
  many: "Outputs",
  path: "/apps/:appId/runs/:runId/outputs",
  params: z.object({ appId: id, runId: id }),
  itemPath: "/apps/:appId/runs/:runId/outputs/:outputId",
  itemParams: z.object({ appId: id, runId: id, outputId: id }),
  within: ({ runId }) => ({ run_id: runId }),
  key: ({ runId, outputId }) => ({ run_id: runId, id: outputId }),
  sample: {
    params: { appId: SAMPLE.app, runId: SAMPLE.run },
    itemParams: { appId: SAMPLE.app, runId: SAMPLE.run, outputId: SAMPLE.output },
    item: {
      id: SAMPLE.output,
      run_id: SAMPLE.run,
      output_type: "result",
      output_name: "result",
      output_data: { regions: 4, total: 1200 },
      output_bucket: null,
      output_path: null,
      file_size: null,
      created_at: SAMPLE.time,
    },
  },
};

/** Outputs name their run alone: whether that is one of the app is the run's to say. */
async function requireRun(client: Client, appId: string, runId: string): Promise<void> {
  await read(client, { ...runs, columns: ["id"] }, { app_id: appId, id: runId });
}

export const outputOperations: Operation[] = [
  operation({
    ...listOperation(place, {
      summary: "List what a run put out",
      description:
        "Logs, results, metrics, errors and files. Files are fetched through the function downloads, given `{ output_id }`.",
      query: { output_type: "result,metric" },
    }),
    params: z.object({ appId: id, runId: id }),
    query: listQuery(outputs.list),
    handle: async ({ caller, params: { appId, runId }, query, url }) => {
      await requireRun(caller.client, appId, runId);
      return await list(caller.client, outputs, { run_id: runId }, query, url);
    },
  }),
  operation({
    id: "getOutput",
    method: "GET",
    path: place.itemPath,
    tag: "Runs",
    summary: "Get one output, with its data",
    params: z.object({ appId: id, runId: id, outputId: id }),
    status: 200,
    returns: { one: outputs },
    example: { params: place.sample.itemParams, response: place.sample.item },
    handle: async ({ caller, params: { appId, runId, outputId } }) => {
      await requireRun(caller.client, appId, runId);
      return ok(await read(caller.client, outputs, { run_id: runId, id: outputId }));
    },
  }),
  operation({
    id: "getRunLogs",
    method: "GET",
    path: "/apps/:appId/runs/:runId/logs",
    tag: "Runs",
    summary: "Read the log of a run",
    description:
      "As text, as far as it is written: empty before the run has started, and growing while it runs.",
    params: z.object({ appId: id, runId: id }),
    query: z.strictObject({
      stream: z.enum(["stdout", "stderr"]).default("stdout").describe("Which of the two logs."),
    }),
    status: 200,
    returns: { text: "Hello from the sandbox\n" },
    example: { params: place.sample.params, query: { stream: "stdout" } },
    handle: async ({ caller, params: { appId, runId }, query: { stream }, request }) => {
      await requireRun(caller.client, appId, runId);
      const names = await logObjects(caller.client, runId, stream);
      return new Response(request.method === "HEAD" ? null : concatenated(caller.client, names), {
        headers: { "content-type": "text/plain; charset=utf-8" },
      });
    },
  }),
];

/** The objects that the log consists of, in order: parts while it grows, one object at the end. */
async function logObjects(client: Client, runId: string, stream: string): Promise<string[]> {
  const { data, error } = await client.from("app_outputs").select("output_data, output_path")
    .eq("run_id", runId).eq("output_type", stream).maybeSingle();
  if (error) throw fromDatabase(error);
  const parts = (data?.output_data as { parts?: unknown } | null)?.parts;
  if (Array.isArray(parts) && parts.every((part) => typeof part === "string")) return parts;
  return data?.output_path ? [data.output_path] : [];
}

/** The objects' bytes one after another; the next one is asked for when the one before has been read. */
function concatenated(client: Client, names: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from((async function* () {
    for (const name of names) {
      const { data, error } = await client.storage.from(APP_LOGS).download(name).asStream();
      // Parts are put together at the end of a run: what is gone from under us is in the whole by now.
      if (error && isMissingObject(error)) return;
      if (error) throw fromStorage(error);
      yield* data;
    }
  })());
}
