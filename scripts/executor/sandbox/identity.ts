/** Whom an app runs as, when the executor is root. */

/** Far above the users of any system, and outside the ranges that containers and services take theirs from. */
const FIRST = 1_900_000_000;
const COUNT = 1_000_000;

/**
 * An unprivileged user id, different for every run, or undefined when this process is no root and cannot choose.
 * Being alone with its id, a run shares no quota and no permission with anything else on the host.
 */
export function sandboxUser(): number | undefined {
  if (Deno.build.os === "windows" || Deno.uid() !== 0) return undefined;
  const random = crypto.getRandomValues(new Uint32Array(1))[0];
  const map = Deno.build.os === "linux" ? Deno.readTextFileSync("/proc/self/uid_map") : "";
  return pickUser(map, random);
}

/** @param map /proc/self/uid_map: in a container without all ids, the choice is among the upper half of those there are */
export function pickUser(map: string, random: number): number {
  const ranges = map.trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([first, , count]) => Number.isFinite(first) && count > 0);
  const has = (id: number) => ranges.some(([first, , count]) => id >= first && id < first + count);
  if (ranges.length === 0 || (has(FIRST) && has(FIRST + COUNT - 1))) return FIRST + random % COUNT;
  const [first, , count] = ranges.reduce((a, b) => b[2] > a[2] ? b : a);
  if (count < 4) return 65534;
  const half = Math.floor(count / 2);
  return first + half + random % (count - half - 1);
}
