/**
 * The scope of a network permission: hosts, on the ports of the web or one that is named. Manifests are validated by it, and
 * executors open what it reads.
 */
import { isPublicAddress, parseAddress } from "../addresses.ts";

export interface Grant {
  /** Lower case, without a dot at the end. With `subdomains`: of all names below, not of itself. */
  host: string;
  subdomains: boolean;
  ports: number[];
}

/** Where a scope names no port. */
const WEB_PORTS = [80, 443];
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/**
 * Reads a permission's scope: `host`, `host:port`, `*.domain`, `*.domain:port`, an address, `[address]:port`.
 * @returns the reason as a text where it is none of these
 */
export function parseGrant(scope: string): Grant | string {
  const text = scope.trim().toLowerCase();
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d+))?$/.exec(text);
  const isBareV6 = parseAddress(text)?.bits === 128;
  const [, name, port] = isBareV6 ? [text, text] : bracketed ?? plain ?? [];
  if (name === undefined || (bracketed && parseAddress(name)?.bits !== 128)) {
    return `${JSON.stringify(scope)} is not host, host:port or *.domain`;
  }
  if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65535)) {
    return `${JSON.stringify(scope)} names no port from 1 to 65535`;
  }
  const subdomains = name.startsWith("*.");
  const host = cleanHost(subdomains ? name.slice(2) : name);
  if (host === null || (subdomains && (parseAddress(host) !== null || !host.includes(".")))) {
    return `${JSON.stringify(scope)} does not name a host; all hosts cannot be granted`;
  }
  return { host, subdomains, ports: port === undefined ? WEB_PORTS : [Number(port)] };
}

/** Why a manifest's network permission cannot be given; null where it can. */
export function scopeRefusal(scope: string): string | null {
  const grant = parseGrant(scope);
  if (typeof grant === "string") return grant;
  // Names are resolved for each connection, and what they lead to is checked there.
  return parseAddress(grant.host) === null || isPublicAddress(grant.host)
    ? null
    : `${JSON.stringify(scope)} is not an address of the public Internet`;
}

/** What every such scope looks like, for JSON Schema: it takes no less than `parseGrant`, but some that it refuses. */
export const SCOPE_PATTERN = String
  .raw`^\s*(?:(?:\*\.[\w-]+\.)?[\w-]+(?:\.[\w-]+)*\.?(?::\d+)?|\[?[0-9A-Fa-f:.]+\]?(?::\d+)?)\s*$`;

/** The name as it is compared; null where it is neither a name of the DNS nor an address. */
export function cleanHost(text: string): string | null {
  const host = text.toLowerCase().replace(/\.$/, "");
  if (parseAddress(host) !== null) return host;
  const labels = host.split(".");
  // A name whose last part is a number is an address in some spelling that a resolver may know.
  const numeric = /^(0x[0-9a-f]*|\d+)$/.test(labels.at(-1)!);
  return host.length <= 253 && !numeric && labels.every((label) => LABEL.test(label)) ? host : null;
}
