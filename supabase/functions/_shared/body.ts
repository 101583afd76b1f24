import type { z } from "zod";
import { AppError, type Mistake } from "./errors.ts";
import { findUnstorable } from "./json_values.ts";
import { BODY_DEADLINE_MS, MAX_JSON_BODY_BYTES, MAX_REPORTED_ERRORS } from "./limits.ts";
import { normalizeMediaType } from "./media_types.ts";
import { mistakesOf } from "./mistakes.ts";

/** The request's body, at most `limit` bytes; 413 if it is larger, whatever its Content-Length says; 408 if it stalls. */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = new AppError("request_too_large", `At most ${limit} bytes are taken.`);
  if (Number(request.headers.get("content-length") ?? 0) > limit) {
    await request.body?.cancel();
    throw tooLarge;
  }
  const { parts, size } = await readParts(request, limit, tooLarge);
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

async function readParts(request: Request, limit: number, tooLarge: AppError) {
  const reader = request.body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader?.cancel().catch(() => {});
  }, BODY_DEADLINE_MS);
  try {
    for (let next = await reader?.read(); next && !next.done; next = await reader!.read()) {
      size += next.value.length;
      if (size > limit) throw tooLarge;
      parts.push(next.value);
    }
  } catch (error) {
    await reader?.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
  if (late) throw new AppError("request_timeout");
  return { parts, size };
}

export function mediaTypeOf(request: Request): string {
  return normalizeMediaType(request.headers.get("content-type") ?? "");
}

/** The request's JSON body as what the schema says; every mistake in it at once. */
export async function readJson<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  if (mediaTypeOf(request) !== "application/json") {
    await request.body?.cancel();
    throw new AppError("unsupported_media_type", "Send application/json.");
  }
  return parseInput(parseJson(await readBytes(request, MAX_JSON_BODY_BYTES)), schema);
}

function parseJson(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new AppError("invalid_request", "The body is not valid JSON.");
  }
  const wrong = findUnstorable(value);
  if (wrong) {
    const { at: _, ...mistake } = wrong;
    throw new AppError("invalid_request", told(mistake), {
      errors: [mistake],
    });
  }
  return value;
}

/** One mistake in a sentence; what concerns the whole has no path. */
function told({ path, message }: Mistake): string {
  return path === "" ? message : `${path}: ${message}`;
}

/** Checks a value of a request against a schema. */
export function parseInput<T>(value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const errors = mistakesOf(result.error.issues.slice(0, MAX_REPORTED_ERRORS))
    .slice(0, MAX_REPORTED_ERRORS)
    .map(({ at: _, ...mistake }) => mistake);
  throw new AppError(
    "invalid_request",
    errors.map(told).join("; "),
    { errors },
  );
}
