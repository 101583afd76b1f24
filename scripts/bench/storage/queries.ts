/** Statements that frontends send again and again. */
import type { Client } from "pg";
import type { Sample } from "./dataset.ts";

export interface FrequentQuery {
  name: string;
  sql: string;
  values: unknown[];
  /** Where the service's statement is another: it has to say what row security says for the member. */
  service?: { sql: string; values: unknown[] };
  /** How much the member may take: a ratio, or milliseconds more. */
  most: { ratio: number } | { more: number };
}

/** What the frontend asks for again and again. */
export function frequentQueries(
  sample: Sample,
  ids: { run: string; file: string; object: string },
): FrequentQuery[] {
  const newest = "order by created_at desc, id desc limit 50";
  const files = "select * from app_storage where app_id = $1";
  const byName =
    "select id, name, metadata from storage.objects where bucket_id = 'app-storage' and name = $1";
  return [
    {
      name: "newest 50 runs",
      sql: `select * from app_runs where company_id = $1 ${newest}`,
      values: [sample.companyId],
      most: { ratio: 1.2 },
    },
    {
      name: "newest 50 runs, the member not naming the company",
      sql: `select * from app_runs ${newest}`,
      values: [],
      service: {
        sql: `select * from app_runs where company_id = $1 ${newest}`,
        values: [sample.companyId],
      },
      most: { ratio: Infinity },
    },
    {
      name: "files of an app of its own",
      sql: files,
      values: [sample.ownAppId],
      most: { ratio: 1.2 },
    },
    {
      name: "files of an app that it is assigned",
      sql: files,
      values: [sample.assignedAppId],
      most: { ratio: 1.2 },
    },
    {
      name: "counts by status",
      sql: "select status, count(*) from app_runs where company_id = $1 group by status",
      values: [sample.companyId],
      most: { ratio: 1.2 },
    },
    {
      name: "a run by id",
      sql: "select * from app_runs where id = $1",
      values: [ids.run],
      most: { more: 0.1 },
    },
    {
      name: "a file by id",
      sql: "select * from app_storage where id = $1",
      values: [ids.file],
      most: { more: 0.1 },
    },
    { name: "an object by name", sql: byName, values: [ids.object], most: { more: 0.1 } },
  ];
}

export async function idsOf(client: Client, sample: Sample) {
  const { rows: [run] } = await client.query(
    "select id from app_runs where company_id = $1 limit 1",
    [sample.companyId],
  );
  const { rows: [file] } = await client.query(
    "select id, file_path from app_storage where app_id = $1 limit 1",
    [sample.assignedAppId],
  );
  return { run: run.id, file: file.id, object: file.file_path };
}
