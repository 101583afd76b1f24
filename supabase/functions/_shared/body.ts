import type { z } from "zod";
import { AppError } from "./errors.ts";
import { MAX_JSON_BODY_BYTES } from "./limits.ts";
import { normalizeMediaType } from "./media_types.ts";
import { mistakesOf } from "./mistakes.ts";

/** The request's body, at most `limit` bytes; 413 if it is larger, whatever its Content-Length says. */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = new AppError("request_too_large", `At most ${limit} bytes are taken.`);
  if (Number(request.headers.get("content-length") ?? 0) > limit) {
    await request.body?.cancel();
    throw tooLarge;
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > limit) throw tooLarge;
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
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
  const bytes = await readBytes(request, MAX_JSON_BODY_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new AppError("invalid_request", "The body is not valid JSON.");
  }
  return parseInput(value, schema);
}

/** Checks a value of a request against a schema. */
export function parseInput<T>(value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const errors = mistakesOf(result.error.issues).map(({ at: _, ...mistake }) => mistake);
  throw new AppError(
    "invalid_request",
    errors.map(({ path, message }) => `${path}: ${message}`).join(" "),
    { errors },
  );
}
