/**
 * Quoted values in `or=(…)` and `and=(…)`, on their way into @supabase/lite.
 *
 * PostgREST takes `\"` and `\\` inside quotes for the characters behind the backslash. lite ends the value at any quotation
 * mark, keeps backslashes, counts brackets inside, and keeps the quotation marks of patterns. So what means something to it
 * is sent through in disguise, and unmasked where parameters are bound.
 */
const LOGICAL = /(^|\.)(and|or)$/;
const MEANINGFUL = '"\\(){}, \t\r\n';
/** What stands for each of them: Unicode's characters for use inside a program, which no data has. */
const DISGUISES = [...MEANINGFUL].map((_, at) => String.fromCharCode(0xfdd0 + at));
const DISGUISED = new RegExp(`[${DISGUISES.join("")}]`, "g");
/** Of lite's operators those that take a value as it is, quotation marks included. */
const PATTERN = /(^|\.)(like|ilike|match|imatch)\.$/;

export interface Disguised {
  request: Request;
  /** A parameter as it was sent. Undefined where nothing is disguised. */
  unmask?: (parameter: unknown) => unknown;
}

/** The request with such values disguised; the same one where there are none. */
export function disguiseQuoted(request: Request): Disguised {
  const url = new URL(request.url);
  let changed = false;
  const parameters = [...url.searchParams].map(([name, value]) => {
    if (!LOGICAL.test(name) || !value.includes('"')) return [name, value];
    changed = true;
    return [name, disguiseIn(value)];
  });
  if (!changed) return { request };
  url.search = new URLSearchParams(parameters).toString();
  return { request: new Request(url, request), unmask };
}

function unmask(parameter: unknown): unknown {
  if (Array.isArray(parameter)) return parameter.map(unmask);
  if (typeof parameter !== "string") return parameter;
  return parameter.replace(DISGUISED, (char) => MEANINGFUL[DISGUISES.indexOf(char)]);
}

function disguiseIn(tree: string): string {
  let out = "";
  /** For each bracket that is open, whether it is that of a list of values. */
  const lists: boolean[] = [];
  for (let at = 0; at < tree.length;) {
    const isValue = tree[at] === '"' && (out.endsWith(".") || (lists.at(-1) && /[(,]$/.test(out)));
    const quoted = isValue && /^"((?:[^"\\]|\\.)*)"(?=[,)]|$)/s.exec(tree.slice(at));
    if (quoted) {
      const plain = quoted[1].replace(/\\(.)/gs, "$1").replace(/./gs, (char) => {
        const at = MEANINGFUL.indexOf(char);
        return at < 0 ? char : DISGUISES[at];
      });
      out += PATTERN.test(out) ? plain : `"${plain}"`;
      at += quoted[0].length;
      continue;
    }
    const char = tree[at++];
    if (char === "(") lists.push(/\.in\.$/.test(out));
    if (char === ")") lists.pop();
    out += char;
  }
  return out;
}
