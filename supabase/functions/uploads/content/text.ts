import { AppError } from "../../_shared/errors.ts";
import type { Cursor } from "./cursor.ts";

/** Checks that a stream is UTF-8 text without NUL, and that its beginning is fit for the declared type. */
export async function checkText(cursor: Cursor, mediaType: string): Promise<void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let start = "";
  try {
    for (let chunk = await cursor.some(); chunk; chunk = await cursor.some()) {
      if (chunk.includes(0)) throw notText();
      const text = decoder.decode(chunk, { stream: true });
      // Leading white space may be longer than a chunk.
      if (start.length < START_LENGTH) start = (start + text).trimStart().slice(0, START_LENGTH);
    }
    decoder.decode();
  } catch (error) {
    throw error instanceof TypeError ? notText() : error;
  }
  const markup = /^<(!doctype|html|head|body|script|svg|\?xml|!--)/i.test(start);
  if (mediaType === "text/html" ? !start.startsWith("<") : markup) {
    throw new AppError("content_mismatch", `The file does not begin as ${mediaType} does.`);
  }
}

const START_LENGTH = 32;

function notText(): AppError {
  return new AppError("content_mismatch", "The file is not UTF-8 text.");
}
