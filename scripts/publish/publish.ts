/** Uploads a packed app as a version, has it verified, and releases it: what a publisher does with supabase-js. */
import { FunctionsHttpError } from "@supabase/supabase-js";
import { CommandError } from "../command/errors.ts";
import type { Client } from "../command/project.ts";
import type { PackedApp } from "./pack.ts";

const BUCKET = "app-storage";
const ARCHIVE_TYPE = "application/zip";

/** The data of a supabase-js answer, or an error that says what was tried. */
export async function ask<T>(
  what: string,
  answer: PromiseLike<{ data: T; error: { message: string } | null }>,
): Promise<NonNullable<T>> {
  const { data, error } = await answer;
  if (error) throw new CommandError(`${what}: ${error.message}`);
  if (data === null || data === undefined) throw new CommandError(`${what}: no answer`);
  return data;
}

/** Begins an upload, sends the bytes, and has them verified. Throws what the server says is wrong. */
export async function uploadApp(client: Client, appId: string, packed: PackedApp): Promise<void> {
  const { upload, path, token } = await invoke(client, "uploads", {
    app_id: appId,
    version: packed.version,
    file_name: packed.fileName,
    file_type: "source",
    content_type: ARCHIVE_TYPE,
    file_size: packed.bytes.length,
    checksum: packed.checksum,
  });
  const file = new Blob([packed.bytes], { type: ARCHIVE_TYPE });
  await ask(
    "sending the bytes",
    client.storage.from(BUCKET).uploadToSignedUrl(path, token, file, { contentType: ARCHIVE_TYPE }),
  );
  await invoke(client, `uploads/${upload.id}/complete`, {});
}

/** Releases a draft. From then on its files never change. */
export async function releaseVersion(client: Client, appId: string, version: string) {
  return await ask(
    "releasing",
    client.from("app_versions").update({ status: "published" })
      .eq("app_id", appId).eq("version", version).select().single(),
  );
}

/** Calls the function uploads; a problem (RFC 9457) is thrown as what it says. */
// deno-lint-ignore no-explicit-any -- the functions' answers have no types
async function invoke(client: Client, name: string, body: Record<string, unknown>): Promise<any> {
  const { data, error } = await client.functions.invoke(name, { body });
  if (!error) return data;
  if (!(error instanceof FunctionsHttpError)) {
    throw new CommandError(`The upload got no answer: ${error.context?.message ?? error.message}`);
  }
  const problem = await error.context.json().catch(() => ({ title: error.message }));
  const { title, detail, message, code, errors = [] } = problem;
  const mistakes = errors.filter((mistake: { message: string }) => mistake.message !== detail)
    .map(({ path, message }: { path: string; message: string }) => `\n  ${path}: ${message}`);
  const said = errors.length > 1 ? title : detail ?? title ?? message;
  throw new CommandError(
    `The upload was refused: ${said}${code ? ` (${code})` : ""}${mistakes.join("")}`,
  );
}
