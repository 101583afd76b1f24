/** What a new cluster is filled with: the platform, the migrations, the seed. */
import { Client } from "pg";
import { applyMigrations } from "./migrations.ts";
import { type Postgres, SUPERUSER } from "./postgres.ts";
import { projectPath } from "./project.ts";

export interface DatabaseOptions {
  jwtSecret: string;
  /** Apply supabase/seed.sql when the database is new. */
  seed: boolean;
}

/** Brings the database to the state of this checkout: whole when new, newer migrations otherwise. */
export async function prepareDatabase(server: Postgres, options: DatabaseOptions): Promise<void> {
  const isNew = await applyPlatform(server, options.jwtSecret);
  await applyMigrations(server.url("postgres"));
  if (isNew && options.seed) await applySeed(server);
}

/** In one transaction, so that it is there wholly or not at all. Returns whether it was not yet. */
async function applyPlatform(server: Postgres, jwtSecret: string): Promise<boolean> {
  return await withClient(server.url(SUPERUSER), async (client) => {
    const { rows } = await client.query(
      "select to_regclass('storage.objects') is not null as done",
    );
    if (rows[0].done) return false;
    const [platform, storage] = await Promise.all([
      Deno.readTextFile(new URL("platform.sql", import.meta.url)),
      Deno.readTextFile(new URL("storage/schema.sql", import.meta.url)),
    ]);
    await client.query("begin");
    await client.query(platform);
    // The file creates its schema where it is missing, and that takes the right to, even where it is not.
    await client.query("grant create on database postgres to supabase_storage_admin");
    await client.query("set local role supabase_storage_admin");
    await client.query(storage);
    await client.query("reset role; reset search_path");
    await client.query("revoke create on database postgres from supabase_storage_admin");
    await client.query(
      `alter database postgres set "app.settings.jwt_secret" = ${client.escapeLiteral(jwtSecret)}`,
    );
    await client.query("commit");
    return true;
  });
}

async function applySeed(server: Postgres): Promise<void> {
  const sql = await Deno.readTextFile(projectPath("supabase/seed.sql")).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  await withClient(server.url("postgres"), (client) => client.query(sql));
}

/** Runs `work` on a connection of its own. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
