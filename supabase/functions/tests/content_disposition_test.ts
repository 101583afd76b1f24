/** Any name, as RFC 6266 and RFC 8187 have it. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { attachment } from "../_shared/content_disposition.ts";

const CASES: [name: string, fallback: string, extended?: string][] = [
  ["app.zip", "app.zip"],
  ["main (1).css", "main (1).css"],
  ["schön.css", "schon.css", "sch%C3%B6n.css"],
  ["日本語.txt", "_.txt", "%E6%97%A5%E6%9C%AC%E8%AA%9E.txt"],
  ["🚀 launch.json", "_ launch.json", "%F0%9F%9A%80%20launch.json"],
  ["👩‍🚀.png", "_.png", "%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80.png"],
  ["حساب.csv", "_.csv", "%D8%AD%D8%B3%D8%A7%D8%A8.csv"],
  ['say "hi".txt', "say _hi_.txt", "say%20%22hi%22.txt"],
  ["it's 100%.txt", "it's 100_.txt", "it%27s%20100%25.txt"],
  ["a*b;c.txt", "a*b;c.txt"],
  ["ü*'().txt", "u*'().txt", "%C3%BC%2A%27%28%29.txt"],
  // Neither a path nor a header of its own, and no name that is shown backwards.
  ["../../etc/passwd", ".._.._etc_passwd"],
  ["a\\b", "a_b"],
  ["a\r\nSet-Cookie: b=c", "a__Set-Cookie: b=c"],
  ["a\0b", "a_b"],
  ["invoice\u202efdp.exe", "invoice_fdp.exe"],
  ["\u2066x\u2069\u2028y", "_x__y"],
  ["\ud800.txt", "_.txt", "%EF%BF%BD.txt"],
  ["", "download"],
  [" \t ", "_"],
];

Deno.test("a name is given in ASCII and, where that loses something, in full", () => {
  for (const [name, fallback, extended] of CASES) {
    const rest = extended === undefined ? "" : `; filename*=UTF-8''${extended}`;
    assertEquals(attachment(name), `attachment; filename="${fallback}"${rest}`, name);
  }
});

Deno.test("every character can stand in a name, alone and among others", () => {
  for (let code = 0; code <= 0xffff; code += 1) {
    for (const name of [String.fromCodePoint(code), `a${String.fromCodePoint(code)}b.txt`]) {
      const value = attachment(name);
      assert(
        /^attachment; filename="[\x20\x21\x23-\x5b\x5d-\x7e]+"(; filename\*=UTF-8''[A-Za-z0-9!#$&+.^_`|~%-]+)?$/
          .test(value),
        `${code.toString(16)}: ${value}`,
      );
      // It is a header's value, as fetch sees one.
      assertEquals(new Headers({ "content-disposition": value }).get("content-disposition"), value);
    }
  }
});
