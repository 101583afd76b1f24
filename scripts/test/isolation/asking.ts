/** Requests as a stranger makes them, and what an answer gives away. */
import type { Stack } from "../../stack/mod.ts";
import type { TestUser } from "../../testing/stack.ts";
import type { World } from "./world.ts";

/** A user, a token of one's own making, the publishable key alone (`anonymous`), or no key at all (null). */
export type Asker = TestUser | { token: string } | "anonymous" | null;

export interface Question {
  method?: string;
  /** Below the API's address, such as /rest/v1/app_runs. */
  path: string;
  json?: unknown;
  body?: string;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // deno-lint-ignore no-explicit-any -- tests look into what comes
  body: any;
}

export const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

export async function ask(stack: Stack, asker: Asker, question: Question): Promise<Answer> {
  const { method = "GET", path, json, headers } = question;
  const response = await fetch(stack.apiUrl + path, {
    method,
    redirect: "manual",
    headers: {
      ...credentials(stack, asker),
      ...(json !== undefined && { "content-type": "application/json" }),
      ...headers,
    },
    body: json !== undefined ? JSON.stringify(json) : question.body,
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "") && text !== "";
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : text,
  };
}

function credentials(stack: Stack, asker: Asker): Record<string, string> {
  if (asker === null) return {};
  const apikey = stack.publishableKey;
  if (asker === "anonymous") return { apikey };
  return { apikey, authorization: `Bearer ${"token" in asker ? asker.token : asker.accessToken}` };
}

/** Of each id another one, which is nobody's: the same each time. */
export class Twins {
  #twins = new Map<string, string>();

  /** The same value with an id that does not exist in the place of every id. */
  of<T>(value: T): T {
    return JSON.parse(JSON.stringify(value).replace(UUID, (id) => this.#twin(id.toLowerCase())));
  }

  #twin(id: string): string {
    const known = this.#twins.get(id);
    if (known) return known;
    const twin = crypto.randomUUID();
    this.#twins.set(id, twin);
    return twin;
  }
}

/** Headers that say when and in which request, which differ for the same answer. */
const INCIDENTAL =
  /^((x-)?ratelimit.*|date|x-request-id|x-correlation-id|sb-request-id|server-timing|age)$/;

/** What a caller can tell two answers apart by: all of them but ids, and the names that the caller said. */
export function outline({ status, headers, text }: Answer, said: string[] = []): string {
  const told = [...headers].filter(([name]) => !INCIDENTAL.test(name)).map((pair) =>
    pair.join(": ")
  );
  const whole = [status, ...told, text].join("\n").replace(UUID, "‹id›");
  return said.map((name) => name.replace(UUID, "‹id›"))
    .reduce((masked, name) => masked.replaceAll(name, "‹name›"), whole);
}

/** The ids of `secret` that a caller was told without having named them. */
export function leaks(answer: Answer, question: Question, secret: Set<string>): string[] {
  const asked = JSON.stringify(question).toLowerCase();
  const told = (answer.text + JSON.stringify([...answer.headers])).toLowerCase();
  return (told.match(UUID) ?? []).filter((id) => secret.has(id) && !asked.includes(id));
}

/** Every id in the database but those that the stranger owns and those that are shown to everybody: the catalogue's, and what is kept how long by default. */
export async function secretsOf(world: World): Promise<Set<string>> {
  const { rows: tables } = await world.db.query(
    `select format('%I.%I', schemaname, tablename) as name from pg_catalog.pg_tables
     where schemaname in ('public', 'private') or (schemaname, tablename) in (('auth', 'users'), ('storage', 'objects'))`,
  );
  const ids = new Set<string>();
  for (const { name } of tables) {
    const { rows } = await world.db.query(`select t::text as text from ${name} t`);
    for (const { text } of rows) for (const id of text.match(UUID) ?? []) ids.add(id);
  }
  const { rows: defaults } = await world.db.query(
    "select id from public.retention_policies where company_id is null",
  );
  for (const { id } of defaults) ids.delete(id);
  const { stranger, strangerId, strangerAppId, publicAppId } = world;
  for (const known of [stranger.id, strangerId, strangerAppId, publicAppId]) ids.delete(known);
  return ids;
}
