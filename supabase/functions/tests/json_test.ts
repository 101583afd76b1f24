import { assertEquals } from "../../../scripts/testing/assert.ts";
import { AppError } from "../_shared/errors.ts";
import { Cursor } from "../uploads/content/cursor.ts";
import { checkJson } from "../uploads/content/json.ts";

async function accepted(text: string): Promise<boolean> {
  const bytes = new TextEncoder().encode(text);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  try {
    await checkJson(new Cursor(stream, () => {}));
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const TEXTS = [
  "",
  " ",
  "1",
  "-0",
  "01",
  "1.",
  ".5",
  "1e5",
  "1e",
  "+1",
  "true",
  "True",
  "nul",
  "null ",
  '"a"',
  '"a',
  '"\\x"',
  '"\\u12g4"',
  '"\\u00e9"',
  '"\t"',
  "[]",
  "[,]",
  "[1,]",
  "[1 2]",
  "[1,2]",
  "[[[]]]",
  "[",
  "]",
  "{}",
  "{,}",
  '{"a"}',
  '{"a":}',
  '{"a":1}',
  '{"a":1,}',
  '{"a":1,"b":[{}]}',
  "{a:1}",
  '{"a" 1}',
  "{]",
  "[}",
  "1 2",
  "{} {}",
  '[1,"a":2]',
  "\u00a01",
  "[1]x",
  '{"a":tru}',
  "NaN",
  "Infinity",
  "'a'",
  "// c\n1",
  "[-]",
  "[1.5e-7,0.1]",
  '{"":{"":""}}',
  "\ufeff1",
];

Deno.test("the streaming check of JSON agrees with JSON.parse", async () => {
  for (const text of TEXTS) assertEquals(await accepted(text), parses(text), JSON.stringify(text));
});

Deno.test("the streaming check of JSON agrees with JSON.parse on damaged texts", async () => {
  const whole = '{"a":[1,-2.5e+3,true,null,"\\u00e9\\n",{}],"b":[[],{"c":"d"}]}';
  for (let index = 0; index < whole.length; index++) {
    for (
      const damaged of [
        whole.slice(0, index) + whole.slice(index + 1),
        whole.slice(0, index) + "," + whole.slice(index),
      ]
    ) {
      assertEquals(await accepted(damaged), parses(damaged), damaged);
    }
  }
});
