/** Which namespaces the files may go to, asked before anything is done: a dry run answers what a real one would. */
import { CommandError } from "../command/errors.ts";
import { packageNameKey } from "../../supabase/functions/_shared/registry/names.ts";
import type { LegacyFile } from "./walk.ts";
import { type Namespace, namespaces, type Service, slugOf } from "./registry.ts";

export interface Places {
  /** There already, and open to this import. */
  present: string[];
  /** Nobody's, to be claimed for the company. */
  free: string[];
  /** Why files may not go there, by namespace, or by `namespace/name`. */
  refused: Map<string, string>;
}

/** As the table's check has it: paths of the packages function, and the longest. */
const RESERVED_WORDS = ["jobs", "resolve", "search", "stats"];
const LONGEST = 63;

/**
 * @param companyId whose the namespaces have to be, or become; without one they have to be somebody's
 * @throws CommandError if there is no such company
 */
export async function findPlaces(
  service: Service,
  files: LegacyFile[],
  companyId: string | undefined,
): Promise<Places> {
  if (companyId !== undefined && await slugOf(service, companyId) === undefined) {
    throw new CommandError(`--company ${companyId}: there is no such company.`);
  }
  const taken = await namespaces(service);
  const byKey = new Map([...taken.keys()].map((name) => [packageNameKey(name), name]));
  const places: Places = { present: [], free: [], refused: refuseLookalikes(files) };
  for (const name of new Set(files.map(({ namespace }) => namespace))) {
    const owner = taken.get(name);
    const reason = owner
      ? refuseOwned(name, owner, companyId)
      : refuseFree(name, byKey.get(packageNameKey(name)), companyId);
    if (reason) places.refused.set(name, reason);
    else {
      places[owner ? "present" : "free"].push(name);
      byKey.set(packageNameKey(name), name);
    }
  }
  return places;
}

function refuseOwned(name: string, owner: Namespace, companyId?: string): string | undefined {
  if (companyId === undefined || owner.company_id === companyId) return undefined;
  const whose = owner.company_id === null
    ? "is reserved, and no company's"
    : `belongs to the company ${owner.slug} (${owner.company_id})`;
  return `The namespace ${name} ${whose}, not to the one that --company names.`;
}

function refuseFree(name: string, similar?: string, companyId?: string): string | undefined {
  if (RESERVED_WORDS.includes(name)) return `No namespace can be called ${name}.`;
  if (name.length > LONGEST) return `A namespace has ${LONGEST} characters at most.`;
  if (similar !== undefined) return `The namespace ${name} could be mistaken for ${similar}.`;
  if (companyId === undefined) return `Nobody has the namespace ${name}: name a company for it.`;
}

/** Packages of one directory that would be mistaken for each other: the first one is taken. */
function refuseLookalikes(files: LegacyFile[]): Map<string, string> {
  const first = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const { namespace, name } of files) {
    const key = `${namespace}/${packageNameKey(name)}`;
    const before = first.get(key);
    if (before === undefined) first.set(key, name);
    else if (before !== name) {
      refused.set(`${namespace}/${name}`, `The package ${name} could be mistaken for ${before}.`);
    }
  }
  return refused;
}
