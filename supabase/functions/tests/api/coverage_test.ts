import { z } from "zod";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { listEntry } from "../../api/list.ts";
import { templateOf } from "../../api/openapi.ts";
import type { Operation } from "../../api/operation.ts";
import { test } from "../world.ts";
import { type Case, casesOf, KINDS, operations, PLANNED } from "./cases.ts";
import { api, type ApiAnswer, withApiWorld } from "./world.ts";

const world = withApiWorld();

test("every operation has its cases, and every case its operation", () => {
  assertEquals(PLANNED.sort(), operations.map(({ id }) => id).sort());
  return Promise.resolve();
});

for (const operation of operations) {
  const cases = casesOf(operation);
  for (const kind of KINDS) {
    const tried = cases[kind];
    if ("never" in tried) continue;
    test(`${operation.id}: ${kind} is ${tried.status} ${tried.code ?? ""}`.trim(), async () => {
      const answer = await send(operation, tried);
      assertEquals([answer.status, answer.body?.code], [tried.status, tried.code], answer.text);
      if (tried.status >= 400) assertProblem(answer, tried);
      else assertShape(operation, answer);
      if (kind === "outsider" && answer.status === 200) assertEquals(answer.body.data, []);
    });
  }
}

async function send({ path, method }: Operation, { actor, scene }: Case): Promise<ApiAnswer> {
  const { params = {}, query, body, headers } = await scene(world());
  const filled = templateOf(path).replace(
    /\{(\w+)\}/g,
    (_, name) => encodeURIComponent(params[name]),
  );
  return await api(world(), actor, filled, { method, query, json: body, headers });
}

function assertProblem({ headers, body, text }: ApiAnswer, { field }: Case): void {
  assertEquals(headers.get("content-type"), "application/problem+json");
  assertEquals(body.instance, `urn:uuid:${headers.get("x-request-id")}`);
  if (field !== undefined) assertEquals(body.errors?.[0]?.path, field, text);
  assert(!/\bat .*\.ts:\d+|postgres|pg_|constraint/i.test(text), text);
}

/** The answer is what the OpenAPI document says, and nothing more. */
function assertShape({ returns }: Operation, { body, text, headers }: ApiAnswer): void {
  if ("nothing" in returns) return assertEquals(text, "");
  if ("text" in returns) {
    return assertEquals(headers.get("content-type"), "text/plain; charset=utf-8");
  }
  assert(headers.get("etag"), "it has an ETag");
  const schema = "one" in returns
    ? returns.one.schema.strict()
    : "page" in returns
    ? z.strictObject({
      data: z.array(listEntry(returns.page).strict()),
      next_cursor: z.string().nullable(),
    })
    : returns.document;
  const { error } = schema.safeParse(body);
  assertEquals(error?.issues, undefined, text);
}
