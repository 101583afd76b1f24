/** Which names buckets and objects may have. The alphabet is S3's safe one, as the real server has it. */
import { errors } from "./errors.ts";

const OBJECT_KEY = /^[A-Za-z0-9_/!.*'() &$=@;:+,?-]+$/;
const BUCKET_NAME = /^[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-5][0-9a-f]{3}-[089ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
/** Names that end so belong to analytics buckets. */
const RESERVED_SUFFIX = "--table-s3";
/** A folder without files is kept alive by an empty file of this name. */
const FOLDER_PLACEHOLDER = ".emptyFolderPlaceholder";

export function assertObjectKey(key: string): void {
  if (!OBJECT_KEY.test(key)) throw errors.invalidKey(key);
}

export function assertBucketName(name: string): void {
  if (!BUCKET_NAME.test(name)) throw errors.invalidBucketName();
}

/** The stricter rules for a bucket that is being made. */
export function assertNewBucketName(name: string): void {
  if (name.trim() !== name || name.endsWith(RESERVED_SUFFIX)) throw errors.invalidBucketName();
  assertBucketName(name);
}

export const isUuid = (value: string | undefined): boolean => UUID.test(value ?? "");

export const isFolderPlaceholder = (key: string): boolean => key.endsWith(FOLDER_PLACEHOLDER);
