import type { Client } from "pg";
import { assert, assertEquals, assertMatch, assertRejects } from "../../testing/assert.ts";
import { startTestStack } from "../../testing/stack.ts";
import { withClient } from "../database.ts";

Deno.test("the database is a hosted project's", async (t) => {
  const stack = await startTestStack({ functions: false, seed: false });
  try {
    await withClient(stack.dbUrl, async (client) => {
      /** Runs as the role postgres in a transaction that is rolled back. */
      const attempt = async (...statements: string[]) => {
        await client.query("begin");
        try {
          let rows: Record<string, unknown>[] = [];
          for (const statement of statements) rows = (await client.query(statement)).rows;
          return rows;
        } finally {
          await client.query("rollback");
        }
      };
      const refused = (sqlstate: string, ...statements: string[]) =>
        assertRejects(() => attempt(...statements), Error).then((error) =>
          assertEquals(
            (error as Error & { code: string }).code,
            sqlstate,
            `${statements}: ${error.message}`,
          )
        );

      await t.step(
        "Postgres 17, and migrations are done by a role that is no superuser",
        async () => {
          const [row] = await attempt(
            `select current_user as name, rolsuper, rolbypassrls, rolcreaterole,
          current_setting('server_version') as version from pg_roles where rolname = current_user`,
          );
          assertMatch(String(row.version), /^17\./);
          assertEquals([row.name, row.rolsuper, row.rolbypassrls, row.rolcreaterole], [
            "postgres",
            false,
            true,
            true,
          ]);
          await refused("42501", "select pg_read_file('/etc/passwd')");
          await refused("42501", "copy (select 1) to program 'true'");
        },
      );

      await t.step("migrations went through the CLI, and are recorded", async () => {
        const files = [];
        for await (
          const entry of Deno.readDir(new URL("../../../supabase/migrations", import.meta.url))
        ) {
          if (entry.name.endsWith(".sql")) files.push(entry.name.split("_")[0]);
        }
        const rows = await attempt(
          "select version from supabase_migrations.schema_migrations order by version",
        );
        assertEquals(rows.map((row) => row.version), files.sort());
      });

      await t.step("extensions", async () => {
        const rows = await attempt(
          "create extension pgtap with schema extensions",
          "create extension citext with schema extensions",
          "select extname, extversion, nspname from pg_extension join pg_namespace as n on n.oid = extnamespace",
        );
        const found = Object.fromEntries(rows.map((row) => [row.extname, row]));
        assertMatch(String(found.pgtap.extversion), /^1\.3/);
        for (const name of ["pgtap", "citext", "pgcrypto", "uuid-ossp"]) {
          assertEquals(found[name]?.nspname, "extensions", name);
        }
        await attempt(
          "create extension pgtap with schema extensions",
          "select plan(1)",
          "select has_table('auth', 'users', 'there are users')",
          "select * from finish()",
        );
      });

      await t.step("what is new in schema public is not exposed by itself", async () => {
        const rows = await attempt(
          "create table public.forgotten (id int generated always as identity)",
          `select grantee, privilege_type from information_schema.table_privileges
           where table_name = 'forgotten' and grantee in ('anon', 'authenticated', 'service_role')
             and privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')`,
        );
        assertEquals(rows, []);
        for (const role of ["anon", "authenticated", "service_role"]) {
          await refused(
            "42501",
            "create table public.forgotten (id int)",
            `set local role ${role}`,
            "table public.forgotten",
          );
        }
      });

      await t.step("schemas auth and storage belong to the platform", async () => {
        await refused("42501", "create table auth.mine (id int)");
        await refused("42501", "alter table auth.users add column mine int");
        await refused("42501", "alter table storage.objects disable row level security");
        await refused("42501", "create index on storage.objects (name)");
        await refused("42501", "drop table storage.objects cascade");
        await refused("42501", "drop function auth.uid() cascade");
        await refused("42501", "comment on table storage.objects is 'mine'");
        await refused("42501", "set local role supabase_storage_admin");
      });

      await t.step("but policies, triggers and references are the project's", async () => {
        await attempt(
          "create policy mine on storage.objects for select to anon using (name = 'x')",
          "alter policy mine on storage.objects using (name = 'y')",
          "drop policy mine on storage.objects",
        );
        await attempt(
          "create function public.on_user() returns trigger language plpgsql as 'begin return new; end'",
          "create trigger on_user after insert on auth.users for each row execute function public.on_user()",
        );
        await attempt(
          "create table public.profiles (id uuid primary key references auth.users on delete cascade)",
          "insert into auth.users (id, email) values (gen_random_uuid(), 'a@example.com')",
          "insert into public.profiles select id from auth.users",
          "drop table public.profiles cascade",
        );
        await attempt(
          "create table public.news (id int)",
          "alter publication supabase_realtime add table public.news",
        );
      });

      await t.step("claims are read as there", async () => {
        const [row] = await attempt(
          `select set_config('request.jwt.claims', '{"sub":"5eed0000-0000-4000-8000-000000000001","role":"authenticated","email":"a@b.c"}', true)`,
          "select auth.uid(), auth.role(), auth.email(), auth.jwt() ->> 'sub' as sub",
        );
        assertEquals(Object.values(row), [
          "5eed0000-0000-4000-8000-000000000001",
          "authenticated",
          "a@b.c",
          "5eed0000-0000-4000-8000-000000000001",
        ]);
        const [none] = await attempt("select auth.uid(), auth.role()");
        assertEquals(Object.values(none), [null, null]);
      });

      await t.step("roles become only what they may", async () => {
        await canBecome(stack.dbUrl, "authenticator", ["anon", "authenticated", "service_role"], [
          "postgres",
          "supabase_admin",
        ]);
        await canBecome(stack.dbUrl, "supabase_storage_admin", ["anon", "service_role"], [
          "postgres",
          "supabase_admin",
        ]);
        await attempt("set local role authenticated", "reset role", "set local role service_role");
        await refused("42501", "set local role supabase_admin");
      });

      await t.step("objects are not deleted behind the Storage server's back", async () => {
        await client.query("insert into storage.buckets (id, name) values ('b', 'b')");
        await client.query("insert into storage.objects (bucket_id, name) values ('b', 'o')");
        const error = await assertRejects(() => attempt("delete from storage.objects"), Error);
        assertMatch(error.message, /Direct deletion from storage tables is not allowed/);
      });
    });
  } finally {
    await stack.stop();
  }
});

async function canBecome(
  dbUrl: string,
  login: string,
  allowed: string[],
  denied: string[],
): Promise<void> {
  const url = dbUrl.replace("//postgres:", `//${login}:`);
  await withClient(url, async (client: Client) => {
    for (const role of allowed) {
      await client.query(`set role ${role}`);
      await client.query("reset role");
    }
    for (const role of denied) {
      const error = await assertRejects(() => client.query(`set role ${role}`), Error);
      assert(error.message.includes("permission denied to set role"), error.message);
    }
  });
}
