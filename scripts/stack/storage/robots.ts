/** The `X-Robots-Tag` that an upload may set: checked, because it is sent to everyone who downloads. */
import { errors } from "./errors.ts";

const PLAIN = /^(all|noindex|nofollow|none|nosnippet|indexifembedded|notranslate|noimageindex)$/;
const WITH_VALUE = /^(max-snippet|max-image-preview|max-video-preview|unavailable_after):\s*(.*)$/;
/** A comma followed by something that starts a rule or names a crawler; those inside a date do not. */
const DATE_END =
  /,\s*(?=(?:all|noindex|nofollow|none|nosnippet|indexifembedded|notranslate|noimageindex|max-snippet|max-image-preview|max-video-preview|unavailable_after|[a-zA-Z0-9_-]+:))/;

/** Throws InvalidRequest with the first thing that is wrong. */
export function assertRobotsTag(value: string): void {
  if (value.trim() === "") {
    throw errors.invalidRobotsTag("X-Robots-Tag header value must be a non-empty string");
  }
  for (const rule of splitRules(value.trim())) {
    if (rule === "") throw errors.invalidRobotsTag("X-Robots-Tag header contains empty rule");
    const withValue = WITH_VALUE.exec(rule);
    if (withValue) {
      assertRuleValue(withValue[1], withValue[2].trim());
    } else if (!PLAIN.test(rule)) {
      assertCrawlerRule(rule);
    }
  }
}

/** `crawler: rules` */
function assertCrawlerRule(rule: string): void {
  const colon = rule.indexOf(":");
  if (colon === -1) throw errors.invalidRobotsTag(`Invalid X-Robots-Tag rule: "${rule}"`);
  const rules = rule.slice(colon + 1).trim();
  if (rules === "") {
    throw errors.invalidRobotsTag(
      `X-Robots-Tag user agent "${rule.slice(0, colon).trim()}" has no rules specified`,
    );
  }
  assertRobotsTag(rules);
}

function splitRules(value: string): string[] {
  const rules: string[] = [];
  let rest = value;
  while (rest !== "") {
    const [rule] = rest.split(rest.startsWith("unavailable_after:") ? DATE_END : ",", 1);
    rules.push(rule.trim());
    rest = rest.slice(rule.length).replace(/^,/, "").trim();
  }
  return rules;
}

function assertRuleValue(rule: string, value: string): void {
  if (value === "") throw errors.invalidRobotsTag(`X-Robots-Tag rule "${rule}" requires a value`);
  const mustBe = (what: string, holds: boolean) => {
    if (!holds) {
      throw errors.invalidRobotsTag(
        `X-Robots-Tag "${rule}" value must be ${what}, got: "${value}"`,
      );
    }
  };
  if (rule === "max-image-preview") {
    mustBe("one of: none, standard, large", ["none", "standard", "large"].includes(value));
  } else if (rule === "unavailable_after") {
    mustBe("a valid date", !Number.isNaN(new Date(value).getTime()));
  } else {
    mustBe("an integer >= -1", /^-?\d+$/.test(value) && Number(value) >= -1);
  }
}
