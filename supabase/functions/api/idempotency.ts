/** Creating once, however often the same request comes; see the migration that keeps what was created. */
import { z } from "zod";
import type { Caller } from "../_shared/caller.ts";
import type { Json } from "../_shared/database.types.ts";
import { AppError } from "../_shared/errors.ts";
import { fromDatabase } from "../_shared/upstream_errors.ts";
import type { Answer } from "./operation.ts";

export interface Idempotency {
  key: string;
  fingerprint: string;
}

interface Creation {
  resource_id: string;
  answer: unknown;
  age_seconds: number;
}

/** Headers for the one statement that creates; the database remembers the key along with it. */
export type Mark = <T extends { setHeader(name: string, value: string): T }>(statement: T) => T;

/** How long the first request is given to keep its answer, before the resource is shown as it is now. */
const ANSWER_KEPT_WITHIN_SECONDS = 10;
const POLLS = 10;
const POLL_MS = 100;

/**
 * Runs `create`, or answers as it did before: with the answer that was kept, or with the resource as it is now, if
 * whoever created it died before keeping one. The key for another request: 409 `idempotency_key_reused`. The first
 * request not answered yet: 409 `idempotency_key_in_use`.
 */
export async function createOnce(
  caller: Caller,
  idempotency: Idempotency | undefined,
  create: (mark: Mark) => Promise<Answer>,
  show: (resourceId: string) => Promise<Answer>,
): Promise<Answer> {
  if (!idempotency) return await create((statement) => statement);
  const before = await find(caller, idempotency);
  if (before) return await replay(caller, idempotency, before, show);
  let answer: Answer;
  try {
    answer = await create((statement) =>
      statement.setHeader("x-idempotency-key", idempotency.key)
        .setHeader("x-idempotency-fingerprint", idempotency.fingerprint)
    );
  } catch (error) {
    // Whatever was in the way may be what the same request made a moment ago.
    const meanwhile = await find(caller, idempotency);
    if (meanwhile) return await replay(caller, idempotency, meanwhile, show);
    throw error;
  }
  const { error } = await caller.client.rpc("keep_api_answer", {
    idempotency_key: idempotency.key,
    // As text, since its entity tag is that of the very bytes.
    answer: { ...answer, body: JSON.stringify(answer.body) } as Json,
  });
  // The thing is there, and can be shown without what should have been kept.
  if (error) console.warn(JSON.stringify({ level: "warning", message: "an answer was not kept" }));
  return answer;
}

async function find(caller: Caller, { key, fingerprint }: Idempotency) {
  const { data, error } = await caller.client.rpc("find_api_creation", {
    idempotency_key: key,
    fingerprint,
  }).maybeSingle();
  if (error) throw fromDatabase(error);
  return data as Creation | null;
}

async function replay(
  caller: Caller,
  idempotency: Idempotency,
  first: Creation,
  show: (resourceId: string) => Promise<Answer>,
): Promise<Answer> {
  let creation = first;
  for (let polls = 0; polls < POLLS && isPending(creation); polls++) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    creation = await find(caller, idempotency) ?? creation;
  }
  if (isPending(creation)) throw new AppError("idempotency_key_in_use");
  const answer = kept(creation.answer) ?? await show(creation.resource_id);
  return { ...answer, headers: { ...answer.headers, "idempotency-replayed": "true" } };
}

/** What is kept is the caller's own, and theirs to overwrite. Nothing, if it is none that was given here. */
function kept(answer: unknown): Answer | undefined {
  const { success, data } = keptAnswer.safeParse(answer);
  if (!success) return undefined;
  try {
    return { ...data, body: JSON.parse(data.body) };
  } catch {
    return undefined;
  }
}

const header = z.string().regex(/^[ -~]*$/);
const keptAnswer = z.object({
  status: z.literal(201),
  body: z.string(),
  headers: z.object({ "location": header, "etag": header, "cache-control": header }).partial()
    .optional(),
});

function isPending({ answer, age_seconds }: Creation): boolean {
  return answer === null && age_seconds < ANSWER_KEPT_WITHIN_SECONDS;
}
