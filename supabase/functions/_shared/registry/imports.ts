/** What a version needs, as rows: packages from its YAML, and files from the imports of its .proto files. */
import type { Mistake } from "../errors.ts";
import { MAX_PACKAGE_IMPORTS } from "../limits.ts";
import { mistake } from "../mistakes.ts";
import type { DeclaredDependency } from "./document.ts";
import { packageId } from "./names.ts";
import { isWellKnownImport, parseProto, type ProtoImport } from "./proto.ts";

/** A row of `package_dependencies`, as `publish_package` takes it. */
export interface DependencyRow {
  namespace: string | null;
  name: string | null;
  range: string | null;
  import_path: string | null;
  source: "yaml" | "proto";
  resolution: "package" | "file" | "well_known" | "unresolved";
  from_file: string | null;
}

export interface SourceFile {
  path: string;
  text: string;
}

export interface ReadFile extends SourceFile {
  protoPackage: string | null;
  imports: ProtoImport[];
}

/** Reads the .proto files among these; others have nothing to say. All mistakes at once. */
export function readFiles(files: SourceFile[]): { files: ReadFile[]; errors: Mistake[] } {
  const errors: Mistake[] = [];
  const read = files.map((file) => {
    const nothing = { ...file, protoPackage: null, imports: [] };
    if (!file.path.endsWith(".proto")) return nothing;
    const result = parseProto(file.text, file.path);
    if (!result.ok) {
      errors.push(...result.errors);
      return nothing;
    }
    return { ...file, protoPackage: result.package, imports: result.imports };
  });
  if (read.reduce((sum, { imports }) => sum + imports.length, 0) > MAX_PACKAGE_IMPORTS) {
    const message = `All files together have more than ${MAX_PACKAGE_IMPORTS} imports.`;
    errors.push(mistake("too_many", ["files"], message));
  }
  return { files: read, errors };
}

export function yamlDependencyRows(dependencies: DeclaredDependency[]): DependencyRow[] {
  return dependencies.map(({ namespace, name, range, importPath }) => ({
    ...{ namespace, name, range, import_path: importPath },
    ...{ source: "yaml", resolution: "package", from_file: null },
  }));
}

/** Imports that neither the version's own files nor the compiler have: whoever needs them looks into packages. */
function foreignImports(files: ReadFile[]): string[] {
  const own = new Set(files.map(({ path }) => path));
  return [
    ...new Set(
      files.flatMap(({ imports }) => imports.map(({ path }) => path))
        .filter((path) => !own.has(path) && !isWellKnownImport(path)),
    ),
  ];
}

/** The paths that a package has, in the version that was chosen; none if none was. */
export type ListFiles = (dependency: DeclaredDependency) => Promise<string[] | undefined>;

/** How many packages are asked at once. */
const ASKED_AT_ONCE = 10;

/** The imports of files, each found or not: other packages are asked only where the version's own files do not suffice. */
export async function resolveImports(
  files: ReadFile[],
  dependencies: DeclaredDependency[],
  listFiles: ListFiles,
): Promise<DependencyRow[]> {
  const filesOf = new Map<string, Set<string>>();
  if (foreignImports(files).length > 0) {
    for (let from = 0; from < dependencies.length; from += ASKED_AT_ONCE) {
      await Promise.all(
        dependencies.slice(from, from + ASKED_AT_ONCE).map(async (dependency) => {
          const paths = await listFiles(dependency);
          if (paths) filesOf.set(packageId(dependency), new Set(paths));
        }),
      );
    }
  }
  return protoDependencyRows(files, dependencies, filesOf);
}

/**
 * Finds each import: a file of the same version, one that comes with every compiler, or a file of a package that the YAML
 * names, `filesOf` being the paths of those. A dependency with an import path has its files below that.
 */
function protoDependencyRows(
  files: ReadFile[],
  dependencies: DeclaredDependency[],
  filesOf: ReadonlyMap<string, ReadonlySet<string>>,
): DependencyRow[] {
  const own = new Set(files.map(({ path }) => path));
  const rowOf = (path: string, from: string): DependencyRow => {
    const row = { import_path: path, source: "proto", from_file: from } as const;
    const none = { namespace: null, name: null, range: null };
    if (own.has(path)) return { ...row, ...none, resolution: "file" };
    if (isWellKnownImport(path)) return { ...row, ...none, resolution: "well_known" };
    const owner = dependencies.find((dependency) => has(dependency, path, filesOf));
    if (!owner) return { ...row, ...none, resolution: "unresolved" };
    const { namespace, name, range } = owner;
    return { ...row, namespace, name, range, resolution: "package" };
  };
  return files.flatMap(({ path, imports }) =>
    [...new Set(imports.map((one) => one.path))].map((imported) => rowOf(imported, path))
  );
}

function has(
  dependency: DeclaredDependency,
  path: string,
  filesOf: ReadonlyMap<string, ReadonlySet<string>>,
): boolean {
  const files = filesOf.get(packageId(dependency));
  if (!files) return false;
  const { importPath } = dependency;
  if (importPath !== null && path.startsWith(`${importPath}/`)) {
    if (files.has(path.slice(importPath.length + 1))) return true;
  }
  return files.has(path);
}
