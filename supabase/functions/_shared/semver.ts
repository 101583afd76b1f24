const NUMBER = "(0|[1-9][0-9]*)";
const IDENTIFIER = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";

/** Semantic version 2.0.0. The same rule as `private.is_semver` in the database, which also limits the length. */
export const SEMVER = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(-${IDENTIFIER}(\\.${IDENTIFIER})*)?(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$`,
);

export const MAX_VERSION_LENGTH = 64;

export function isSemver(value: string): boolean {
  return value.length <= MAX_VERSION_LENGTH && SEMVER.test(value);
}
