import { z } from "zod";
import { parseInput, readBytes } from "../_shared/body.ts";
import { AppError, invalidField } from "../_shared/errors.ts";
import { MAX_MULTIPART_FILE_BYTES, MAX_MULTIPART_OVERHEAD_BYTES } from "../_shared/limits.ts";
import {
  APP_STORAGE_TYPES,
  FILE_TYPES,
  isAppStorageType,
  isArchiveType,
  mediaTypeOfName,
  normalizeMediaType,
} from "../_shared/media_types.ts";
import { isSafePath } from "../_shared/safe_path.ts";
import { isSemver } from "../_shared/semver.ts";

const checksum = z.string().regex(
  /^sha256:[0-9a-f]{64}$/i,
  "must be sha256: and 64 hexadecimal digits",
)
  .transform((text) => text.toLowerCase());

const contentType = z.string().transform(normalizeMediaType)
  .refine(isAppStorageType, `must be one of ${APP_STORAGE_TYPES.join(", ")}`);

const place = {
  app_id: z.uuid("must be an id"),
  version: z.string().refine(isSemver, "must be a semantic version such as 1.4.0"),
  file_type: z.enum(FILE_TYPES),
};

const fileName = z.string().refine(
  isSafePath,
  'must be a relative path of letters, digits and ._@+=,()- without ".."',
);

/** What begins an upload: where the file goes, and what it will be. */
export const beginSchema = z.strictObject({
  ...place,
  file_name: fileName,
  content_type: contentType,
  file_size: z.int().positive(),
  checksum,
}).superRefine(fitsItsType);

export type BeginInput = z.output<typeof beginSchema>;

const formSchema = z.strictObject({
  ...place,
  file_name: fileName.optional(),
  content_type: contentType.optional(),
  checksum: checksum.optional(),
});

interface Fit {
  file_type: string;
  content_type: string;
}

function fitsItsType({ file_type, content_type }: Fit, context: z.RefinementCtx): void {
  if (file_type === "source" && !isArchiveType(content_type)) {
    context.addIssue({
      code: "custom",
      path: ["content_type"],
      message:
        `must be application/zip, application/x-tar or application/gzip for a source, not ${content_type}`,
    });
  }
  if (
    file_type === "manifest" &&
    !["application/json", "application/octet-stream"].includes(content_type)
  ) {
    context.addIssue({
      code: "custom",
      path: ["content_type"],
      message: "must be application/json, or application/octet-stream for YAML, for a manifest",
    });
  }
}

/** What the part says; clients that do not know a file's type call it octets, and then its name says more. */
function typeOf(file: File, name: string): string {
  const said = normalizeMediaType(file.type);
  return said === "" || said === "application/octet-stream" ? mediaTypeOfName(name) : said;
}

/** A file sent in one request, with what begins its upload. */
export interface FormUpload {
  input: BeginInput;
  bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a multipart form: the fields of `beginSchema`, of which file_name, content_type and checksum may be left to the
 * part `file` itself.
 */
export async function readForm(request: Request): Promise<FormUpload> {
  const body = await readBytes(request, MAX_MULTIPART_FILE_BYTES + MAX_MULTIPART_OVERHEAD_BYTES);
  const headers = { "content-type": request.headers.get("content-type") ?? "" };
  let form: FormData;
  try {
    form = await new Response(body, { headers }).formData();
  } catch {
    throw new AppError("invalid_request", "The body is not a multipart form.");
  }
  const file = form.get("file");
  if (!(file instanceof File)) {
    throw invalidField("file", "The form needs a file in the part named file.");
  }
  if (file.size > MAX_MULTIPART_FILE_BYTES) {
    throw new AppError(
      "request_too_large",
      `At most ${MAX_MULTIPART_FILE_BYTES} bytes come in one request; begin an upload.`,
    );
  }
  const fields = [...form.entries()].filter(([name]) => name !== "file");
  const twice = fields.find(([name], index) =>
    fields.findIndex(([other]) => other === name) !== index
  );
  if (twice) throw invalidField(twice[0], "This field is there twice.");
  const given = parseInput(Object.fromEntries(fields), formSchema);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const actual = "sha256:" +
    Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const input = parseInput({
    ...given,
    file_name: given.file_name ?? file.name,
    content_type: given.content_type ?? typeOf(file, given.file_name ?? file.name),
    file_size: bytes.length,
    checksum: given.checksum ?? actual,
  }, beginSchema);
  return { input, bytes };
}
