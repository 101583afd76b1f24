import { z } from "zod";
import {
  DEFAULT_DOWNLOAD_SECONDS,
  DEFAULT_TOKEN_SECONDS,
  MAX_BATCH_ITEMS,
  MAX_DOWNLOAD_SECONDS,
  MAX_FILE_NAME_LENGTH,
  MAX_TOKEN_DOWNLOADS,
  MAX_TOKEN_LABEL_LENGTH,
  MAX_TOKEN_SECONDS,
} from "../_shared/limits.ts";
import { APP_LOGS, APP_STORAGE } from "../_shared/storage_paths.ts";

const expiresIn = z.int().min(1).max(MAX_DOWNLOAD_SECONDS);

/** A name to save a file under: no path, and nothing invisible but what joins letters and emoji. */
const fileName = z.string().min(1).max(MAX_FILE_NAME_LENGTH)
  .regex(
    /^(?:[\u200c\u200d]|[^/\\\p{Cc}\p{Cf}\u2028\u2029])+$/u,
    "must be a file name without a path",
  );

const item = z.strictObject({
  file_id: z.uuid().optional().describe("Row of app_storage."),
  output_id: z.uuid().optional().describe("Row of app_outputs that has a file."),
  path: z.string().min(1).max(1024).optional().describe("Name of an object."),
  bucket: z.enum([APP_STORAGE, APP_LOGS]).optional().describe(
    "Of path; by default from its shape.",
  ),
  filename: fileName.optional().describe(
    "What the browser saves it as; by default the last part of its path.",
  ),
  inline: z.boolean().optional().describe("Shown by the browser, not saved."),
}).superRefine((value, context) => {
  const named = [value.file_id, value.output_id, value.path].filter((part) => part !== undefined);
  if (named.length !== 1) {
    context.addIssue({
      code: "custom",
      path: [],
      message: "Name one of file_id, output_id and path.",
    });
  }
  if (value.bucket !== undefined && value.path === undefined) {
    context.addIssue({ code: "custom", path: ["bucket"], message: "The bucket goes with a path." });
  }
  if (value.inline && value.filename !== undefined) {
    context.addIssue({
      code: "custom",
      path: ["inline"],
      message: "What is shown inline has no file name.",
    });
  }
});

export type DownloadItem = z.output<typeof item>;

const single = item.safeExtend({ expires_in: expiresIn.default(DEFAULT_DOWNLOAD_SECONDS) });

const batch = z.strictObject({
  items: z.array(item).min(1).max(MAX_BATCH_ITEMS),
  expires_in: expiresIn.default(DEFAULT_DOWNLOAD_SECONDS),
});

export type DownloadRequest = { items: DownloadItem[]; expires_in: number; isBatch: boolean };

/** One download, or `{ items: [...] }` for several. */
export const downloadSchema: z.ZodType<DownloadRequest> = z.unknown().transform(
  (value, context) => {
    const isBatch = typeof value === "object" && value !== null && "items" in value;
    const result = (isBatch ? batch : single).safeParse(value, { reportInput: true });
    if (!result.success) {
      context.issues.push(...result.error.issues as never[]);
      return z.NEVER;
    }
    if ("items" in result.data) return { ...result.data, isBatch };
    const { expires_in, ...only } = result.data;
    return { items: [only], expires_in, isBatch };
  },
);

/** What `create_download_token` makes. */
export const TOKEN_SECRET = /^swd_[A-Za-z0-9_-]{43}$/;

/** A download token to be made. */
export const tokenSchema = z.strictObject({
  file_id: z.uuid().optional().describe("Row of app_storage."),
  output_id: z.uuid().optional().describe("Row of app_outputs that has a file."),
  path: z.string().min(1).max(1024).optional().describe(
    "file_path of a row of app_storage: app_{appId}/{version}/{file}.",
  ),
  max_downloads: z.int().min(1).max(MAX_TOKEN_DOWNLOADS).optional().describe(
    "How often the file may be fetched; any number if it is left out.",
  ),
  expires_in: z.int().min(1).max(MAX_TOKEN_SECONDS).default(DEFAULT_TOKEN_SECONDS).describe(
    "Seconds.",
  ),
  label: z.string().trim().min(1).max(MAX_TOKEN_LABEL_LENGTH).optional(),
  filename: fileName.optional().describe(
    "What the file is saved as; by default the last part of its path.",
  ),
  company_id: z.uuid().optional().describe(
    "In whose name; by default the company through which the caller reads the file.",
  ),
}).superRefine(({ file_id, output_id, path }, context) => {
  if ([file_id, output_id, path].filter((part) => part !== undefined).length !== 1) {
    context.addIssue({
      code: "custom",
      path: [],
      message: "Name one of file_id, output_id and path.",
    });
  }
});

export type TokenRequest = z.output<typeof tokenSchema>;
