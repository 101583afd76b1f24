/** Names of packages, and what is the same for names that people take for each other. */

/** The same rule as `private.is_package_name` in the database. */
export function isPackageName(value: string): boolean {
  return value.length <= 100 && /^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$/.test(value);
}

/** The same as `private.package_name_key`: case, and which of "-", "_" and "." is used, do not count. */
export function packageNameKey(value: string): string {
  return value.toLowerCase().replaceAll(/[_.]/g, "-");
}

export interface PackageName {
  namespace: string;
  name: string;
}

/** `namespace/name`, also with a leading `@`; null if it is neither. */
export function parsePackageId(id: string): PackageName | null {
  const parts = id.replace(/^@/, "").split("/");
  if (parts.length !== 2 || !parts.every(isPackageName)) return null;
  return { namespace: parts[0], name: parts[1] };
}

export function packageId({ namespace, name }: PackageName): string {
  return `${namespace}/${name}`;
}
