/** IP addresses: how they are read, and which are of the public Internet, in no form of anything else. */

/** Ranges of IPv4 that are not the public Internet (IANA's special-purpose registry), and one that is but leads to a cloud's host. */
const REFUSED_V4: [base: string, prefix: number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10], // carrier-grade NAT; clouds keep metadata there, too
  ["127.0.0.0", 8],
  ["168.63.129.16", 32], // Azure's host
  ["169.254.0.0", 16], // link-local, metadata
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24], // 6to4 relays
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved, broadcast
];

/** All of IPv6 that is given out to the public. Loopback, local, mapped, NAT64 and multicast addresses are outside. */
const ALLOWED_V6: [base: string, prefix: number] = ["2000::", 3];
const REFUSED_V6: [base: string, prefix: number][] = [
  ["2001::", 23], // Teredo and other protocol assignments
  ["2001:db8::", 32],
  ["2002::", 16], // 6to4: an IPv4 address in disguise
  ["3fff::", 20],
  ["3ffe::", 16],
];

/** The address as a number and its number of bits; null where the text is no address. */
export function parseAddress(text: string): { bits: 32 | 128; value: bigint } | null {
  const four = parseV4(text);
  if (four !== null) return { bits: 32, value: four };
  const six = parseV6(text);
  return six === null ? null : { bits: 128, value: six };
}

/** Whether the address is one of the public Internet. Anything that is not clearly one is not. */
export function isPublicAddress(text: string): boolean {
  const address = parseAddress(text);
  if (address === null) return false;
  const within = ([base, prefix]: [string, number]) => {
    const { bits, value } = parseAddress(base)!;
    const shift = BigInt(bits - prefix);
    return address.value >> shift === value >> shift;
  };
  if (address.bits === 32) return !REFUSED_V4.some(within);
  return within(ALLOWED_V6) && !REFUSED_V6.some(within);
}

/** Four decimal numbers without leading zeros: other spellings (octal, hexadecimal, fewer parts) are no addresses here. */
function parseV4(text: string): bigint | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    value = value << 8n | BigInt(part);
  }
  return value;
}

function parseV6(text: string): bigint | null {
  if (!text.includes(":") || text.includes("%")) return null;
  const tail = text.slice(text.lastIndexOf(":") + 1);
  const four = tail.includes(".") ? parseV4(tail) : undefined;
  if (four === null) return null;
  const plain = four === undefined
    ? text
    : `${text.slice(0, -tail.length)}${(four >> 16n).toString(16)}:${
      (four & 0xffffn).toString(16)
    }`;
  const halves = plain.split("::");
  if (halves.length > 2) return null;
  const [head, rest] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - head.length - (rest?.length ?? 0);
  if (rest === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array(rest === undefined ? 0 : missing).fill("0"), ...rest ?? []];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return groups.reduce((value, group) => value << 16n | BigInt(`0x${group}`), 0n);
}
