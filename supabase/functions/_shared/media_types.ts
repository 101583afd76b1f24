/** What `app_storage.file_type` takes. */
export const FILE_TYPES = ["manifest", "source", "build", "asset", "dist", "config"] as const;
export type FileType = (typeof FILE_TYPES)[number];

/** What the bucket `app-storage` takes. */
export const APP_STORAGE_TYPES = [
  "application/json",
  "application/javascript",
  "text/javascript",
  "text/html",
  "text/css",
  "application/zip",
  "application/x-tar",
  "application/gzip",
  "application/octet-stream",
  "image/png",
  "image/jpeg",
  "image/svg+xml",
] as const;
export type AppStorageType = (typeof APP_STORAGE_TYPES)[number];

/** Names that browsers and tools use for the same thing. */
const ALIASES: Record<string, AppStorageType> = {
  "application/x-zip-compressed": "application/zip",
  "application/x-gzip": "application/gzip",
  "application/tar": "application/x-tar",
  "application/x-javascript": "application/javascript",
  "image/jpg": "image/jpeg",
};

/** The media type without parameters, lower case, under its one name. */
export function normalizeMediaType(value: string): string {
  const bare = value.split(";", 1)[0].trim().toLowerCase();
  return Object.hasOwn(ALIASES, bare) ? ALIASES[bare] : bare;
}

const EXTENSIONS: Record<string, AppStorageType> = {
  json: "application/json",
  js: "text/javascript",
  mjs: "text/javascript",
  html: "text/html",
  css: "text/css",
  zip: "application/zip",
  tar: "application/x-tar",
  gz: "application/gzip",
  tgz: "application/gzip",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  svg: "image/svg+xml",
};

/** The media type that a file's name says, and octets for what it does not say. */
export function mediaTypeOfName(name: string): AppStorageType {
  const extension = /\.([a-z]+)$/i.exec(name)?.[1].toLowerCase() ?? "";
  return Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : "application/octet-stream";
}

export function isAppStorageType(value: string): value is AppStorageType {
  return (APP_STORAGE_TYPES as readonly string[]).includes(value);
}

/** The types that a source archive may have. */
export function isArchiveType(value: string): boolean {
  return value === "application/zip" || value === "application/x-tar" ||
    value === "application/gzip";
}

/**
 * Whether a browser that shows such a file runs what is in it: HTML, SVG, and XML, which may contain either. The policy on
 * storage.objects has the same rule.
 */
export function isActiveType(mediaType: string): boolean {
  return /html|xml/i.test(mediaType);
}
