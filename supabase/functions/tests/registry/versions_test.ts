/** The order of versions in SQL and in TypeScript against npm's `semver`, and ranges against it. */
import semver from "semver";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { seededRandom } from "../../../../scripts/test/cron/cases.ts";
import { startTestDatabase } from "../../../../scripts/testing/database.ts";
import { compileRange, highestMatch, satisfies } from "../../_shared/registry/ranges.ts";
import { isPackageName, packageNameKey } from "../../_shared/registry/names.ts";
import { compareVersions, type ParsedVersion, parseVersion } from "../../_shared/semver.ts";

const random = seededRandom(5);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];

const NUMBERS = ["0", "1", "2", "3", "9", "10", "11", "99", "100", "9007199254740991"];
const IDENTIFIERS = ["0", "1", "2", "10", "11", "alpha", "beta", "rc", "a", "A", "b-1", "-", "0a"];

function randomVersion(): string {
  const core = [pick(NUMBERS), pick(NUMBERS), pick(NUMBERS)].join(".");
  const prerelease = Array.from({ length: Math.floor(random() * 4) }, () => pick(IDENTIFIERS));
  return core + (prerelease.length && random() < 0.6 ? `-${prerelease.join(".")}` : "") +
    (random() < 0.1 ? "+build.7" : "");
}

const parsed = (text: string): ParsedVersion => {
  const version = parseVersion(text);
  assert(version, text);
  return version;
};

Deno.test("versions order alike in SQL, in TypeScript and in npm's semver", async () => {
  const versions = [...new Set(Array.from({ length: 2000 }, randomVersion))];
  // What differs in build metadata alone has no order: then by text.
  const npm = versions.toSorted((a, b) => semver.compare(a, b) || (a < b ? -1 : 1));
  const ours = versions.toSorted((a, b) =>
    compareVersions(parsed(a), parsed(b)) || (a < b ? -1 : 1)
  );
  assertEquals(ours, npm);
  const database = await startTestDatabase();
  const client = await database.connect();
  try {
    const { rows } = await client.query(
      `select v from unnest($1::text[]) v order by private.semver_key(v) collate "C", v collate "C"`,
      [versions],
    );
    assertEquals(rows.map(({ v }) => v), npm);
    const names = ["a", "a-b", "a_b", "A.B", "..", "a--b", "", "a/b", "-a", "x".repeat(101), "é"];
    const { rows: answers } = await client.query(
      "select n, private.is_package_name(n) as ok, private.package_name_key(n) as key from unnest($1::text[]) n",
      [names],
    );
    for (const { n, ok, key } of answers) {
      assertEquals(isPackageName(n), ok, n);
      if (ok) assertEquals(packageNameKey(n), key);
    }
  } finally {
    await client.end();
    await database.stop();
  }
});

Deno.test("what npm takes for no version, neither do we", () => {
  for (
    const text of ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "9007199254740992.0.0", ""]
  ) {
    assertEquals(parseVersion(text), null, text);
  }
});

const OPERATORS = ["", "^", "~", ">", ">=", "<", "<=", "="];

function randomRange(): string {
  const small = () => String(Math.floor(random() * 4));
  const partial = () => {
    const parts = [small(), small(), small()].slice(0, 1 + Math.floor(random() * 3));
    if (random() < 0.2) parts[parts.length - 1] = "x";
    const full = parts.length === 3 && !parts.includes("x");
    return parts.join(".") + (full && random() < 0.4 ? `-${pick(["alpha", "beta.2", "0"])}` : "");
  };
  const one = () => {
    if (random() < 0.15) return `${partial()} - ${partial()}`;
    return Array.from(
      { length: 1 + Math.floor(random() * 2) },
      () => pick(OPERATORS) + partial(),
    ).join(" ");
  };
  return Array.from({ length: 1 + Math.floor(random() * 2) }, one).join(" || ");
}

Deno.test("the highest match in a range is npm's, for 5,000 random ranges", () => {
  const texts = new Set<string>();
  while (texts.size < 60) {
    const core = [0, 0, 0].map(() => Math.floor(random() * 4)).join(".");
    texts.add(
      core + (random() < 0.4 ? `-${pick(["alpha", "alpha.1", "beta.2", "beta.11", "0"])}` : ""),
    );
  }
  const versions = [...texts].map(parsed).sort((a, b) => compareVersions(b, a));
  let matched = 0;
  for (let round = 0; round < 5000; round++) {
    const text = randomRange();
    const expected = semver.validRange(text) === null
      ? undefined
      : semver.maxSatisfying([...texts], text);
    const range = compileRange(text);
    if (expected === undefined) {
      assertEquals(range, null, text);
      continue;
    }
    assert(range, text);
    const index = highestMatch(versions, range);
    assertEquals(index < 0 ? null : versions[index].text, expected, text);
    if (expected) matched++;
    const any = pick(versions);
    assertEquals(satisfies(any, range), semver.satisfies(any.text, text), `${any.text} in ${text}`);
  }
  assert(matched > 1000);
});

Deno.test("what npm takes for no range, neither do we", () => {
  for (
    const text of ["latest", "^", "1.0.0 ||| 2", ">=1 <", "file:../x", "git+ssh", "^1.0.0 beta"]
  ) {
    assertEquals(compileRange(text), null, text);
  }
  for (const text of ["*", "x", "1", "1.2", "^0.0.3", "~1", ">=1.0.0-rc.1 <2", "1 - 2", ""]) {
    assert(compileRange(text), text);
  }
});
